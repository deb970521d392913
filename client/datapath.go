package client

import (
	"bytes"
	"net/netip"
	"time"

	"campagnol/punch"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
	"campagnol/tunnel/device"
	"campagnol/tunnel/filter"
	"campagnol/tunnel/l2"
	"campagnol/tunnel/packet"
	"campagnol/tunnel/record"
	"campagnol/tunnel/segment"
)

// An inbound is the state of fromNet. Its slices are emptied, not freed, after
// each batch, so that a batch allocates nothing.
type inbound struct {
	c       *Client
	conn    punch.Conn   // the extra socket that is read; nil: the primary one
	queue   device.Queue // where packets go
	when    time.Time    // of the batch
	now     tunnel.Stamp // likewise
	tmp     record.Scratch
	joiner  segment.Joiner  // of packets for the device; they alias the batch from the socket
	packets []device.Packet // likewise, for a device that takes no large ones
	large   bool            // the device takes large packets
	spare   []byte          // a copy of a record that two sessions may have sealed
	ecn     packet.ECN      // of the datagram
	from    netip.AddrPort  // likewise
	out     *outbound       // what is relayed for others; nil: nothing has been

	table    *table // of the batch
	decision l2.Decision
	parts    map[*tunnel.Session]*l2.Assembler // of frames
}

func newInbound(c *Client, q device.Queue) *inbound {
	o := c.cfg.Device.Offloads()
	return &inbound{c: c, queue: q, large: o.Large, joiner: segment.Joiner{Link: c.cfg.Device.Link(), UDP: o.UDP}}
}

// fromNet moves datagrams from a socket to the device until the socket is closed.
func (c *Client) fromNet(conn punch.Conn, q device.Queue) error {
	in := newInbound(c, q)
	for {
		ds, err := conn.Receive()
		if err != nil {
			return err
		}
		in.batch(time.Now(), c.table.Load(), ds)
	}
}

// batch handles the datagrams of one read.
func (in *inbound) batch(now time.Time, t *table, ds []punch.Datagram) {
	in.when, in.now, in.table = now, in.c.clock.Stamp(now), t
	for i := range ds {
		d := &ds[i]
		in.ecn, in.from = packet.ECN(d.ECN), d.Addr
		// What came in one datagram, or joined to one, came from one peer.
		src, known := t.source(d.Addr)
		size := d.Segment
		if size <= 0 {
			size = len(d.Data)
		}
		if len(d.Data) == 0 {
			in.c.drops.Add(tunnel.DropInvalid)
		}
		for b := d.Data; len(b) > 0; {
			n := min(size, len(b))
			in.datagram(t, src, known, d.Addr, b[:n:n])
			b = b[n:]
		}
	}
	in.flush()
}

// flush writes the batch's packets to the device.
func (in *inbound) flush() {
	packets := in.packets
	if in.large {
		packets = in.joiner.Flush()
	}
	if len(packets) > 0 {
		if err := in.queue.Write(packets); err != nil {
			in.c.drops.Add(tunnel.DropDevice)
		}
	}
	in.packets = in.packets[:0]
	if in.out != nil {
		in.out.flush()
	}
}

// datagram sorts by protocol.
func (in *inbound) datagram(t *table, src *source, known bool, from netip.AddrPort, b []byte) {
	switch kind := wire.KindOf(b); {
	case in.conn != nil && !known && t.isServer(from):
		in.c.drops.Add(tunnel.DropNoPeer) // we do not talk to it from there
	case kind == wire.KindDTLS && known:
		in.records(src, from, b)
	case (kind == wire.KindDTLS || kind == wire.KindGate) && t.channel && t.isServer(from):
		in.c.hand(in.c.channel, event{addr: from, data: bytes.Clone(b)})
	case kind == wire.KindDTLS && in.strays(from, b):
	case kind == wire.KindDTLS:
		in.c.drops.Add(tunnel.DropNoPeer)
	case kind == wire.KindSTUN && in.c.tap.Load().offer(from, b):
	case kind == wire.KindRendezvous:
		in.message(t, known, from, b)
	default:
		in.c.drops.Add(tunnel.DropInvalid)
	}
}

func (in *inbound) message(t *table, known bool, from netip.AddrPort, b []byte) {
	m, err := wire.Parse(b)
	switch {
	case err != nil:
		in.c.drops.Add(tunnel.DropInvalid)
	case m.Type == wire.KeepAlive && known:
		// It kept a NAT's mapping: nothing to do.
	case t.isServer(from):
		in.c.hand(in.c.fromRDV, event{addr: from, msg: m})
	case m.Type == wire.Punch && t.isPunching(m.IP1):
		in.c.hand(in.c.punches, event{addr: from, conn: in.conn, msg: m})
	case m.Type == wire.Punch || m.Type == wire.KeepAlive:
		// Late, or to keep a NAT's mapping: nothing to do.
	default:
		in.c.drops.Add(tunnel.DropNoPeer)
	}
}

// records handles a datagram of DTLS records.
func (in *inbound) records(src *source, from netip.AddrPort, b []byte) {
	if len(src.sessions) == 0 {
		if in.strays(from, b) {
			return
		}
		in.c.hand(in.c.records, event{addr: from, conn: in.conn, data: bytes.Clone(b)})
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
			in.c.hand(in.c.records, event{addr: from, conn: in.conn, data: bytes.Clone(b)})
			return
		}
		if h.Type == record.WithID {
			in.identified(src, from, h, rec)
		} else {
			in.record(src, from, h, rec)
		}
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
		in.c.hand(in.c.records, event{addr: from, conn: in.conn, data: bytes.Clone(rec)})
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
	case control && in.tmp.Type() == record.ApplicationData && in.relay(s, payload):
	case control && s.Frames() && in.fragment(s, payload):
	case control:
		in.c.hand(in.c.inner, event{addr: in.from, conn: in.conn, session: s, typ: in.tmp.Type(), data: bytes.Clone(payload)})
	case s.Frames():
		in.frame(s, payload)
	case s.Filter().In(in.when, payload) != filter.Pass:
		in.refuse(s, tunnel.DropFilter)
	case in.ecn != packet.NotECT && s.PeerECN() && !packet.Decapsulate(in.ecn, payload):
		in.refuse(s, tunnel.DropCE)
	default:
		in.deliver(payload)
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

// Bounds on what one datagram of the socket may hold, in records of one size: what
// the kernel segments, and the largest UDP payload.
const (
	maxSegments = 64
	maxDatagram = 65507
)

// An outbound is the state of fromDev.
type outbound struct {
	c     *Client
	conn  punch.Conn // where datagrams go, unless they go by via
	via   punch.Conn // the extra socket by which the batch goes; nil: none
	when  time.Time  // of the batch
	now   tunnel.Stamp
	tmp   record.Scratch
	cut   segment.Cutter
	arena []byte           // the records of a batch, one after the other
	ds    []punch.Datagram // pieces of arena
	group group            // the last of ds

	tooBig bucket // of ICMP messages

	decision l2.Decision
	reply    []byte // to a host, in the name of another
	split    l2.Splitter
	part     []byte
}

// A group is a datagram to which records may be added: the route's, of one size,
// of which the last may be shorter, and with one ECN field.
type group struct {
	route *route
	ecn   packet.ECN
	start int // in the arena
	size  int // of a record; 0: no more may be added
	count int
}

func newOutbound(c *Client, conn punch.Conn) *outbound {
	return &outbound{c: c, conn: conn, cut: segment.Cutter{Link: c.cfg.Device.Link()}, arena: make([]byte, 0, arenaSize)}
}

// fromDev moves packets from a queue of the device to a socket until the device is
// closed.
func (c *Client) fromDev(q device.Queue, conn punch.Conn) error {
	o := newOutbound(c, conn)
	for {
		ps, err := q.Read()
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
		p := &ps[i]
		if t.frames != nil {
			o.frame(t, p)
			continue
		}
		if p.GSO.Kind == segment.None {
			o.packet(t, p.Data)
			continue
		}
		// Each segment is sealed before the next is cut over it.
		if err := o.cut.Begin(p.Data, p.GSO); err != nil {
			o.c.drops.Add(tunnel.DropDest)
			continue
		}
		o.large(t, p)
	}
	o.flush()
}

// large sends the segments of a large packet.
func (o *outbound) large(t *table, p *device.Packet) {
	r := o.lookup(t, p.Data)
	if r != nil && !o.c.permits(o.when, r, p.Data) {
		return
	}
	for seg := o.cut.Next(); seg != nil; seg = o.cut.Next() {
		if r != nil {
			o.seal(r, o.now, seg)
		} else {
			o.packet(t, seg)
		}
	}
}

// lookup returns the route of a packet, or nil.
func (o *outbound) lookup(t *table, pkt []byte) *route {
	r := t.wayOf(pkt)
	if r != nil {
		o.wake(r)
	}
	return r
}

// wake tells control that a session is used again after a pause, so that it sees
// whether the peer is still there.
func (o *outbound) wake(r *route) {
	if o.now-r.session.LastOut() > pulsePause {
		o.c.hand(o.c.inner, event{session: r.session, woken: true})
	}
}

// packet sends a packet of our own host on its way.
func (o *outbound) packet(t *table, pkt []byte) {
	info, err := packet.Parse(pkt)
	if err != nil {
		o.c.drops.Add(tunnel.DropDest)
		return
	}
	r, gateway := t.lookup(info.Dst)
	if r != nil {
		o.wake(r)
		if o.c.permits(o.when, r, pkt[:info.Len]) {
			r.clampPacket(pkt[:info.Len])
			o.seal(r, o.now, pkt[:info.Len])
		}
		return
	}
	switch {
	case info.Dst == o.c.cfg.Broadcast, info.Dst == limitedBroadcast, t.multicast && info.Dst.Is4() && info.Dst.IsMulticast():
		o.everywhere(t, pkt[:info.Len])
	case info.Version == 6 && info.Dst.IsMulticast():
		o.multicast6(t, &info, pkt[:info.Len])
	case gateway.IsValid(): // of a network, and without a session
		o.c.hand(o.c.packets, event{dst: gateway, data: bytes.Clone(pkt[:info.Len])})
	case !o.c.mayBePeer(info.Dst):
		// Multicast, link-local IPv6 and what is routed here by mistake: no peer
		// has it.
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
	ip6 := packet.IsIPv6(pkt)
	for _, part := range t.routes.parts {
		for vpn, r := range part {
			if vpn != r.session.Peer() {
				continue // another address of a peer
			}
			if ip6 && !r.session.IPv6() {
				continue // it would take the sender's address for a stranger's
			}
			if o.c.permits(o.when, r, pkt) {
				o.seal(r, 0, pkt)
			}
		}
	}
}

// seal adds a record for r to the batch.
func (o *outbound) seal(r *route, now tunnel.Stamp, pkt []byte) {
	if r.tooBig(pkt) {
		o.refit(r, now, pkt)
		return
	}
	if r.conn != o.via {
		o.flush()
		o.via = r.conn
	}
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
	ecn := o.c.ecnOf(r, pkt)
	if !r.pass(o.when, ecn, o.arena[start:]) {
		o.arena = o.arena[:start]
		return
	}
	o.add(r, start, ecn)
}

// ecnOf returns the ECN field of the datagram for a packet: the packet's own, if
// both ends know what to do with it (RFC 6040 section 4.1).
func (c *Client) ecnOf(r *route, pkt []byte) packet.ECN {
	if !c.cfg.ECN || !r.session.PeerECN() {
		return packet.NotECT
	}
	if r.session.Frames() {
		var isIP bool
		if pkt, isIP = segment.Ethernet.Packet(pkt); !isIP {
			return packet.NotECT
		}
	}
	return packet.ECNOf(pkt)
}

// add puts the record at the end of the arena into the last datagram, if that is
// open for it, or into a new one.
func (o *outbound) add(r *route, start int, ecn packet.ECN) {
	n := len(o.arena) - start
	if g := &o.group; g.route == r && g.ecn == ecn && n <= g.size && g.count < maxSegments && len(o.arena)-g.start <= maxDatagram {
		d := &o.ds[len(o.ds)-1]
		d.Data, d.Segment = o.arena[g.start:], g.size
		g.count++
		if n < g.size {
			g.size = 0 // a shorter one is the last
		}
		return
	}
	o.ds = append(o.ds, punch.Datagram{Addr: r.addr, Data: o.arena[start:], ECN: uint8(ecn)})
	o.group = group{route: r, ecn: ecn, start: start, size: n, count: 1}
}

// flush sends what is in the batch.
func (o *outbound) flush() {
	if len(o.ds) > 0 {
		conn := o.conn
		if o.via != nil {
			conn = o.via
		}
		if err := conn.Send(o.ds); err != nil {
			o.c.drops.Add(tunnel.DropSend)
		}
	}
	o.arena, o.ds, o.group = o.arena[:0], o.ds[:0], group{}
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
