package client

import (
	"bytes"
	"net/netip"
	"time"

	"campagnol/punch"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
	"campagnol/tunnel/device"
	"campagnol/tunnel/packet"
	"campagnol/tunnel/record"
)

// An inbound is the state of fromNet. Its slices are emptied, not freed, after
// each batch, so that a batch allocates nothing.
type inbound struct {
	c       *Client
	now     tunnel.Stamp
	tmp     record.Scratch
	packets []device.Packet // for the device; they alias the batch from the socket
	spare   []byte          // a copy of a record that two sessions may have sealed
}

// fromNet moves datagrams from the socket to the device until the socket is
// closed.
func (c *Client) fromNet() error {
	in := &inbound{c: c}
	for {
		ds, err := c.cfg.Conn.Receive()
		if err != nil {
			return err
		}
		in.batch(time.Now(), c.table.Load(), ds)
	}
}

// batch handles the datagrams of one read.
func (in *inbound) batch(now time.Time, t *table, ds []punch.Datagram) {
	in.now = in.c.clock.Stamp(now)
	in.packets = in.packets[:0]
	for i := range ds {
		d := &ds[i]
		if d.Segment <= 0 || len(d.Data) <= d.Segment {
			in.datagram(t, d.Addr, d.Data)
			continue
		}
		for b := d.Data; len(b) > 0; {
			n := min(d.Segment, len(b))
			in.datagram(t, d.Addr, b[:n:n])
			b = b[n:]
		}
	}
	if len(in.packets) > 0 {
		if err := in.c.cfg.Device.Write(in.packets); err != nil {
			in.c.drops.Add(tunnel.DropDevice)
		}
	}
}

// datagram sorts by protocol.
func (in *inbound) datagram(t *table, from netip.AddrPort, b []byte) {
	switch wire.KindOf(b) {
	case wire.KindDTLS:
		in.records(t, from, b)
	case wire.KindRendezvous:
		in.message(t, from, b)
	default:
		in.c.drops.Add(tunnel.DropInvalid)
	}
}

func (in *inbound) message(t *table, from netip.AddrPort, b []byte) {
	m, err := wire.Parse(b)
	switch {
	case err != nil:
		in.c.drops.Add(tunnel.DropInvalid)
	case from == t.server:
		in.c.hand(in.c.fromRDV, event{msg: m})
	case m.Type == wire.Punch && t.isPunching(m.IP1):
		in.c.hand(in.c.punches, event{addr: from, msg: m})
	case m.Type == wire.Punch || m.Type == wire.KeepAlive:
		// Late, or to keep a NAT's mapping: nothing to do.
	default:
		in.c.drops.Add(tunnel.DropNoPeer)
	}
}

// records handles a datagram of DTLS records.
func (in *inbound) records(t *table, from netip.AddrPort, b []byte) {
	src, ok := t.source(from)
	if !ok {
		in.c.drops.Add(tunnel.DropNoPeer)
		return
	}
	if len(src.sessions) == 0 {
		in.c.hand(in.c.records, event{addr: from, data: bytes.Clone(b)})
		return
	}
	for len(b) > 0 {
		h, rec, rest, err := record.Split(b)
		if err != nil {
			in.drop(src, tunnel.DropShort)
			return
		}
		if h.Epoch == 0 {
			// A handshake in clear: a new one, or the end of the last. It is
			// not authentic; control looks at it, if it has the time.
			in.c.hand(in.c.records, event{addr: from, data: bytes.Clone(b)})
			return
		}
		in.record(src, from, h, rec)
		b = rest
	}
}

// record opens one protected record with the keys of the peer's sessions, newest
// first.
func (in *inbound) record(src *source, from netip.AddrPort, h record.Header, rec []byte) {
	sessions := src.sessions
	if len(sessions) == 1 && !src.handshaking {
		payload, control, d := sessions[0].Receive(in.now, h, rec, &in.tmp)
		in.received(sessions[0], h, payload, control, d)
		return
	}
	// A failed attempt destroys the record: keep a copy for the next one.
	in.spare = append(in.spare[:0], rec...)
	var first tunnel.Drop
	for i, s := range sessions {
		payload, control, d := s.Receive(in.now, h, rec, &in.tmp)
		if d != tunnel.DropAuth && d != tunnel.DropReplay {
			in.received(s, h, payload, control, d)
			return
		}
		if i == 0 {
			first = d
		}
		copy(rec, in.spare)
	}
	if src.handshaking { // perhaps of the session that is about to begin
		in.c.hand(in.c.records, event{addr: from, data: bytes.Clone(rec)})
		return
	}
	in.drop(src, first)
}

// received passes on what a session has opened.
func (in *inbound) received(s *tunnel.Session, h record.Header, payload []byte, control bool, d tunnel.Drop) {
	switch {
	case d != tunnel.Kept:
		in.c.drops.Add(d)
		s.Stats().Drops.Add(d)
		if (d == tunnel.DropNotIP || d == tunnel.DropSource) && s.FirstTime(d) {
			in.c.hand(in.c.inner, event{session: s, drop: d})
		}
	case control:
		in.c.hand(in.c.inner, event{session: s, typ: h.Type, data: bytes.Clone(payload)})
	default:
		in.packets = append(in.packets, device.Packet{Data: payload})
	}
}

func (in *inbound) drop(src *source, d tunnel.Drop) {
	in.c.drops.Add(d)
	if len(src.sessions) > 0 {
		src.sessions[0].Stats().Drops.Add(d)
	}
}

// arenaSize is the room for the records of one batch, in bytes. A batch that
// needs more is sent in several parts.
const arenaSize = 1 << 18

// An outbound is the state of fromDev.
type outbound struct {
	c     *Client
	when  time.Time // of the batch
	now   tunnel.Stamp
	tmp   record.Scratch
	arena []byte           // the records of a batch, one after the other
	ds    []punch.Datagram // pieces of arena
}

func newOutbound(c *Client) *outbound {
	return &outbound{c: c, arena: make([]byte, 0, arenaSize)}
}

// fromDev moves packets from the device to the socket until the device is
// closed.
func (c *Client) fromDev() error {
	o := newOutbound(c)
	for {
		ps, err := c.cfg.Device.Read()
		if err != nil {
			return err
		}
		o.batch(time.Now(), c.table.Load(), ps)
	}
}

// batch handles the packets of one read.
func (o *outbound) batch(now time.Time, t *table, ps []device.Packet) {
	o.when, o.now = now, o.c.clock.Stamp(now)
	for i := range ps {
		o.packet(t, ps[i].Data)
	}
	o.flush()
}

// packet sends a packet of our own host on its way.
func (o *outbound) packet(t *table, pkt []byte) {
	info, err := packet.Parse(pkt)
	if err != nil {
		o.c.drops.Add(tunnel.DropDest)
		return
	}
	if r, ok := t.route(info.Dst); ok {
		if o.now-r.session.LastOut() > pulsePause { // control is to see whether the peer is there
			o.c.hand(o.c.inner, event{session: r.session, woken: true})
		}
		o.seal(r, o.now, pkt[:info.Len])
		return
	}
	switch {
	case info.Dst == o.c.cfg.Broadcast, info.Dst == limitedBroadcast, t.multicast && info.Dst.Is4() && info.Dst.IsMulticast():
		o.everywhere(t, pkt[:info.Len])
	case !o.c.cfg.Network.Contains(info.Dst) || info.Dst == o.c.cfg.VPNAddr:
		// IPv6, multicast and what is routed here by mistake: no peer has it.
		o.c.drops.Add(tunnel.DropDest)
	default:
		o.c.hand(o.c.packets, event{dst: info.Dst, data: bytes.Clone(pkt[:info.Len])})
	}
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// everywhere sends a broadcast over every open tunnel. It does not count as use
// of them.
func (o *outbound) everywhere(t *table, pkt []byte) {
	if t.routes.parts == nil {
		return
	}
	for _, part := range t.routes.parts {
		for _, r := range part {
			o.seal(r, 0, pkt)
		}
	}
}

// seal adds a record for r to the batch.
func (o *outbound) seal(r *route, now tunnel.Stamp, pkt []byte) {
	if len(o.arena)+r.session.Overhead()+len(pkt) > cap(o.arena) {
		o.flush()
	}
	start := len(o.arena)
	var d tunnel.Drop
	o.arena, d = r.session.Seal(now, o.arena, pkt, &o.tmp)
	if d != tunnel.Kept {
		o.c.drops.Add(d)
		return
	}
	if !r.pass(o.when, o.arena[start:]) {
		o.arena = o.arena[:start]
		return
	}
	o.ds = append(o.ds, punch.Datagram{Addr: r.addr, Data: o.arena[start:]})
}

// flush sends what is in the batch.
func (o *outbound) flush() {
	if len(o.ds) > 0 {
		if err := o.c.cfg.Conn.Send(o.ds); err != nil {
			o.c.drops.Add(tunnel.DropSend)
		}
	}
	o.arena, o.ds = o.arena[:0], o.ds[:0]
}

// hand hands e to control, or drops and counts it when control is behind: the
// data path never waits.
func (c *Client) hand(to chan<- event, e event) {
	select {
	case to <- e:
	default:
		c.drops.Add(tunnel.DropQueue)
	}
}
