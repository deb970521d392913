package l2

import (
	"campagnol/tunnel/l2/ether"
)

// A Snoop says whether a frame is for the snooper of multicast groups.
type Snoop uint8

// What is to be done with a frame.
const (
	SnoopNo   Snoop = iota // it is not
	SnoopOnly              // it is for nobody else
	SnoopAlso              // it goes its way as well
)

// A Decision says what happens to a frame. The data path has one for each of its
// goroutines and uses it again and again.
type Decision struct {
	Ports []Port // where the frame goes; immutable, and the switch's
	Class Class
	Snoop Snoop
	Note  Note // for control, unless Asks is 0
	Frame ether.Frame

	answer *neighbour // the answer to the question in the frame
}

// toTAP is where frames from peers go.
var toTAP = []Port{TAP}

// FromTAP decides about a frame from our TAP. Anything but Kept is a drop, which is
// counted; there may be a Note nevertheless.
func (v *View) FromTAP(at Stamp, frame []byte, d *Decision) Drop {
	p := v.ports[TAP]
	return v.finish(at, p, d, v.fromTAP(at, p, frame, d))
}

// FromPeer decides about a frame from a peer. It goes to the TAP or nowhere: no peer
// forwards for others (split horizon), so nothing can go in a circle between them.
func (v *View) FromPeer(at Stamp, from Port, frame []byte, d *Decision) Drop {
	p := v.port(from)
	if p == nil || from == TAP {
		*d = Decision{}
		v.drops.Add(DropNoPort)
		return DropNoPort
	}
	return v.finish(at, p, d, v.fromPeer(at, p, frame, d))
}

// finish counts a decision.
func (v *View) finish(at Stamp, p *port, d *Decision, r Drop) Drop {
	if r == Kept {
		p.passed[d.Class].Add(1)
		return Kept
	}
	d.Ports, d.Snoop = nil, SnoopNo
	p.drops.Add(r)
	v.drops.Add(r)
	if k := alarms[r]; k != NoEvent && p.alarms[r].raise(at) {
		d.Note.Asks |= AskEvent
		d.Note.Event, d.Note.Drop = k, r
	}
	return r
}

func (v *View) fromTAP(at Stamp, p *port, b []byte, d *Decision) Drop {
	if r := v.admit(at, p, b, d); r != Kept {
		return r
	}
	f := &d.Frame
	switch {
	case !f.Dst.IsGroup():
		return v.unicastOut(at, p, b, d)
	case f.Dst.IsReserved():
		d.Class = ClassMulticast
		return v.everywhere(at, p, d, bpduFlow)
	case f.Dst == ether.Broadcast:
		d.Class = ClassBroadcast
		if f.Type == ether.ARP && v.asksARP(at, p, b, d) {
			d.Class = ClassAnswered
			return Kept
		}
		return v.everywhere(at, p, d, broadcastFlow)
	}
	return v.multicastOut(at, p, b, d)
}

// admit reads a frame and decides whether one like it may come from p at all.
func (v *View) admit(at Stamp, p *port, b []byte, d *Decision) Drop {
	*d = Decision{}
	f, err := ether.Parse(b)
	if err != nil {
		return DropInvalid
	}
	d.Frame = f
	d.Note.Port, d.Note.VID, d.Note.MAC = p.id, f.VID, f.Src
	switch {
	case !f.Src.CanSend():
		return DropSource
	case f.Type == ether.MACControl, f.Dst.IsReserved() && !v.passes(f.Dst):
		return DropReserved
	case !v.VLANs.Has(f.VID):
		return DropVLAN
	}
	return v.source(at, p, d)
}

// passes reports whether frames for a reserved address pass.
func (v *View) passes(m ether.MAC) bool {
	return v.STP && (m == ether.BridgeGroup || m == ether.ProviderGroup)
}

// source decides whether the frame's source may be at p, and notes that it is.
func (v *View) source(at Stamp, p *port, d *Decision) Drop {
	e := v.find(d.Frame.VID, d.Frame.Src)
	switch {
	case e == nil:
		if v.Binding == BindStrict && p.id != TAP {
			return DropUnbound
		}
	case e.port == p.id:
		touch(&e.seen, at)
		return Kept
	case e.kind == Own:
		return DropLoop
	case e.fixed():
		return DropPinned
	case aged(&e.seen, at, v.Ageing):
	case e.frozen > at:
		return DropFrozen
	case v.Binding != BindOpen:
		return DropStolen
	}
	if p.full.Load() {
		p.unlearned.Add(1)
	} else if p.learning.take(at, v.learnPace) {
		d.Note.Asks |= AskLearn
		if e != nil {
			e.leaving.Store(int64(at))
		}
	}
	return Kept
}

// unicastOut decides about a frame from the TAP for one station.
func (v *View) unicastOut(at Stamp, p *port, b []byte, d *Decision) Drop {
	e := v.find(d.Frame.VID, d.Frame.Dst)
	switch {
	case e == nil:
		d.Class = ClassUnknown
		v.want(at, p, b, d, TAP)
		return v.everywhere(at, p, d, unknownFlow)
	case e.leaves(at):
		d.Class = ClassUnknown
		return v.everywhere(at, p, d, unknownFlow)
	case e.port == TAP:
		return DropLocal
	case v.port(e.port) == nil:
		v.want(at, p, b, d, e.port)
		return DropNoPort
	}
	d.Class, d.Ports = ClassUnicast, e.self[:]
	return Kept
}

// everywhere sends a frame to all peers, as far as the limit of its flow allows.
func (v *View) everywhere(at Stamp, p *port, d *Decision, f flow) Drop {
	if len(v.flood) == 0 {
		return DropNoPort
	}
	if !p.flows[f].take(at, v.rates[f]) {
		return flowDrops[f]
	}
	d.Ports = v.flood
	return Kept
}

// multicastOut decides about a frame from the TAP for a group.
func (v *View) multicastOut(at Stamp, p *port, b []byte, d *Decision) Drop {
	d.Class = ClassMulticast
	ip, isIP := ether.ParseIP(b, &d.Frame)
	if !isIP {
		return v.everywhere(at, p, d, multicastFlow)
	}
	if v.snoop(b, &ip, d) {
		return Kept
	}
	if ether.IsND(b, &ip) && v.asksND(at, p, b, &ip, d) {
		d.Class = ClassAnswered
		return Kept
	}
	ports, flood := v.members(d, &ip)
	switch {
	case flood:
		return v.everywhere(at, p, d, multicastFlow)
	case len(ports) == 0:
		return DropNoMember
	}
	d.Ports = ports
	return Kept
}

// snoop sees whether a packet is about the members of groups, and reports whether
// that is all it is.
func (v *View) snoop(b []byte, ip *ether.IP, d *Decision) bool {
	if v.groups == nil {
		return false
	}
	switch ether.MembershipOf(b, ip) {
	case ether.Talk:
		d.Class, d.Snoop = ClassMember, SnoopOnly
		return true
	case ether.RouterSign:
		d.Snoop = SnoopAlso
	}
	return false
}

// members returns who is in the group that a packet is for. What is for a group
// that its frame is not for, all are to have: the members of neither alone would be
// right.
func (v *View) members(d *Decision, ip *ether.IP) (ports []Port, flood bool) {
	if v.groups == nil || ether.GroupMAC(ip.Dst) != d.Frame.Dst {
		return nil, true
	}
	return v.groups.Ports(uint16(d.Frame.VID), ip.Dst, ip.Src)
}

func (v *View) fromPeer(at Stamp, p *port, b []byte, d *Decision) Drop {
	if r := v.admit(at, p, b, d); r != Kept {
		return r
	}
	if r := v.claims(at, p, b, d); r != Kept {
		return r
	}
	f := &d.Frame
	limit := flowCount
	switch {
	case !f.Dst.IsGroup():
		switch e := v.find(f.VID, f.Dst); {
		case e == nil, e.leaves(at):
			d.Class, limit = ClassUnknown, unknownFlow
		case e.port != TAP:
			return DropElsewhere
		}
	case f.Dst.IsReserved():
		d.Class, limit = ClassMulticast, bpduFlow
	case f.Dst == ether.Broadcast:
		d.Class, limit = ClassBroadcast, broadcastFlow
	default:
		d.Class = ClassMulticast
		ip, isIP := ether.ParseIP(b, f)
		if isIP && v.snoop(b, &ip, d) {
			return Kept
		}
		// What is for the members of a group comes because we have asked for
		// it: a film has no limit.
		if !isIP || v.floods(d, &ip) {
			limit = multicastFlow
		}
	}
	if limit != flowCount && !p.flows[limit].take(at, v.rates[limit]) {
		return flowDrops[limit]
	}
	d.Ports = toTAP
	return Kept
}

// floods reports whether a multicast packet is one that all are to have.
func (v *View) floods(d *Decision, ip *ether.IP) bool {
	_, flood := v.members(d, ip)
	return flood
}
