package client

import (
	"bytes"

	"campagnol/tunnel"
	"campagnol/tunnel/device"
	"campagnol/tunnel/filter"
	"campagnol/tunnel/l2"
	"campagnol/tunnel/l2/ether"
	"campagnol/tunnel/packet"
	"campagnol/tunnel/segment"
)

// A fabric is the data path's view of the switch among Ethernet frames. It is
// immutable.
type fabric struct {
	view *l2.View
	ways []*route // by port; nil: there is no tunnel
}

// way returns the way to a port, or nil.
func (f *fabric) way(p l2.Port) *route {
	if uint64(p) >= uint64(len(f.ways)) {
		return nil
	}
	return f.ways[p]
}

// withWay returns a copy in which r leads to a port; nil: nothing does.
func (f *fabric) withWay(p l2.Port, r *route) *fabric {
	next := &fabric{view: f.view, ways: make([]*route, max(len(f.ways), int(p)+1))}
	copy(next.ways, f.ways)
	next.ways[p] = r
	return next
}

// frame takes a frame of a peer's.
func (in *inbound) frame(s *tunnel.Session, b []byte) {
	f := in.table.frames
	if f == nil {
		in.refuse(s, tunnel.DropNotIP)
		return
	}
	d := &in.decision
	drop := f.view.FromPeer(f.view.Stamp(in.when), s.Port(), b, d)
	if d.Note.Asks != 0 {
		in.c.noteFrame(d, nil)
	}
	if drop != l2.Kept {
		in.refuse(s, tunnel.DropSwitch)
		return
	}
	if d.Snoop == l2.SnoopOnly {
		return // each node asks its own hosts
	}
	pkt, isIP := segment.Ethernet.Packet(b)
	switch {
	case isIP && s.Filter().In(in.when, pkt) != filter.Pass:
		in.refuse(s, tunnel.DropFilter)
	case isIP && in.ecn != packet.NotECT && s.PeerECN() && !packet.Decapsulate(in.ecn, pkt):
		in.refuse(s, tunnel.DropCE)
	default:
		if r := f.way(s.Port()); r != nil {
			r.clamp(b, &d.Frame)
		}
		in.deliver(b)
	}
}

// refuse counts what a peer has sent and does not pass.
func (in *inbound) refuse(s *tunnel.Session, d tunnel.Drop) {
	in.c.drops.Add(d)
	s.Stats().Drops.Add(d)
}

// deliver gives a packet or a frame to the device, with the batch.
func (in *inbound) deliver(b []byte) {
	if in.large {
		in.joiner.Add(b)
	} else {
		in.packets = append(in.packets, device.Packet{Data: b})
	}
}

// noteFrame hands control what the data path has to tell about a frame, and the
// frame itself if it waits for a tunnel.
func (c *Client) noteFrame(d *l2.Decision, waiting []byte) {
	e := event{note: d.Note}
	if waiting != nil && d.Note.Asks&l2.AskWant != 0 {
		e.data = bytes.Clone(waiting)
	}
	c.hand(c.notes, e)
}

// frame sends a frame of our device, or those that a large one consists of, to where
// the switch says.
func (o *outbound) frame(t *table, p *device.Packet) {
	f, d := t.frames, &o.decision
	drop := f.view.FromTAP(f.view.Stamp(o.when), p.Data, d)
	if d.Note.Asks != 0 {
		var waiting []byte
		if drop == l2.DropNoPort && p.GSO.Kind == segment.None {
			waiting = p.Data
		}
		o.c.noteFrame(d, waiting)
	}
	switch {
	case drop != l2.Kept:
		o.c.drops.Add(tunnel.DropSwitch)
		return
	case d.Class == l2.ClassAnswered:
		o.answer(p.Data)
		return
	case d.Snoop != l2.SnoopNo:
		o.c.hand(o.c.groups, event{data: bytes.Clone(p.Data)})
	}
	if len(d.Ports) == 0 {
		return
	}
	if p.GSO.Kind == segment.None {
		o.frameTo(f, p.Data)
		return
	}
	// Each segment is sealed, for everybody, before the next is cut over it.
	if err := o.cut.Begin(p.Data, p.GSO); err != nil {
		o.c.drops.Add(tunnel.DropDest)
		return
	}
	for seg := o.cut.Next(); seg != nil; seg = o.cut.Next() {
		o.frameTo(f, seg)
	}
}

// frameTo seals a frame for each of the ports that were decided.
func (o *outbound) frameTo(f *fabric, b []byte) {
	now := o.now
	if o.decision.Class != l2.ClassUnicast {
		now = 0 // it is no use of the tunnels
	}
	for _, p := range o.decision.Ports {
		r := f.way(p)
		if r == nil {
			continue // it has gone a moment ago
		}
		if now != 0 {
			o.wake(r)
		}
		if r.session.Filter() != nil && !o.c.permitsContent(o.when, r, b) {
			continue
		}
		r.clamp(b, &o.decision.Frame)
		o.seal(r, now, b)
	}
}

// clamp makes a frame that opens a TCP connection ask for segments that fit the path, if
// that is known to be small. f is its header.
func (r *route) clamp(b []byte, f *ether.Frame) {
	if r.limit > 0 {
		l2.ClampMSS(b, f, r.limit-r.session.Overhead())
	}
}

// answer gives the device the answer to the question in a frame, in place of him who
// was asked.
func (o *outbound) answer(question []byte) {
	o.reply = o.decision.AppendAnswer(o.reply[:0], question)
	if err := o.c.cfg.Device.Write([]device.Packet{{Data: o.reply}}); err != nil {
		o.c.drops.Add(tunnel.DropDevice)
	}
}

// refitFrame sends a frame that does not fit r's path in parts of size bytes, or tells
// its sender what fits.
func (o *outbound) refitFrame(r *route, now tunnel.Stamp, b []byte, size int) {
	if o.c.cfg.Ethernet.Fragment && r.session.PeerFragments() {
		head := len(r.session.FragmentHead(o.part[:0]))
		if err := o.split.Begin(b, size-head); err == nil {
			for more := true; more; {
				o.part = r.session.FragmentHead(o.part[:0])
				if o.part, more = o.split.Next(o.part); more {
					o.seal(r, now, o.part)
				}
			}
			return
		}
	}
	o.c.drops.Add(tunnel.DropTooBig)
	if now == 0 || !o.tooBig.take(o.when, tooBigRate, tooBigBurst) {
		return // about what is for everybody, nothing is said
	}
	o.reply = l2.AppendTooBig(o.reply[:0], b, &o.decision.Frame, size)
	if len(o.reply) == 0 {
		return
	}
	if err := o.c.cfg.Device.Write([]device.Packet{{Data: o.reply}}); err != nil {
		o.c.drops.Add(tunnel.DropDevice)
	}
}

// maxAssemblers bounds the peers whose parts of frames are kept at the same time.
const maxAssemblers = 64

// fragment takes a part of a frame, and reports whether payload is one.
func (in *inbound) fragment(s *tunnel.Session, payload []byte) bool {
	part, ok := s.Fragment(payload)
	if !ok {
		return false
	}
	if !in.c.cfg.Ethernet.Fragment {
		in.refuse(s, tunnel.DropSwitch)
		return true
	}
	a := in.parts[s]
	if a == nil {
		if in.parts == nil || len(in.parts) >= maxAssemblers {
			in.parts = map[*tunnel.Session]*l2.Assembler{} // also of sessions that are over
		}
		a = l2.NewAssembler(maxFrame)
		in.parts[s] = a
	}
	frame, err := a.Add(in.table.frames.view.Stamp(in.when), part)
	switch {
	case err != nil:
		in.refuse(s, tunnel.DropSwitch)
	case len(frame) > 0:
		in.frame(s, bytes.Clone(frame)) // the batch keeps it, and the assembler its memory
	}
	return true
}

// maxFrame is the length of the largest frame that is put together, in bytes: one of
// 9,000 bytes with its header and two tags.
const maxFrame = 9022
