package l2

import (
	"slices"
	"time"

	"campagnol/tunnel/l2/ether"
)

// A Switch is the machine that owns what the switch knows. It is control's own: it
// has no lock, and makes no goroutine. What it returns is in its View.
type Switch struct {
	view  *View
	next  time.Time // when to look for what has aged; zero: there is nothing
	wants map[want]Stamp
}

// New returns a switch with no port but the TAP.
func New(now time.Time, cfg Config) *Switch {
	s := &settings{Config: cfg.withDefaults(), base: now, hasher: newHasher()}
	s.rates = [flowCount]rate{
		broadcastFlow: newRate(s.Limits.Broadcast),
		unknownFlow:   newRate(s.Limits.Unknown),
		multicastFlow: newRate(s.Limits.Multicast),
		bpduFlow:      newRate(bpduRate),
	}
	s.learnPace, s.wantPace = newRate(learnRate), newRate(wantRate)
	v := &View{settings: s, onDemand: cfg.OnDemand, ports: []*port{TAP: {id: TAP}}}
	v.macs.hash, v.neighbours.hash = s.hasher.mac, s.hasher.ip
	sw := &Switch{view: v, wants: map[want]Stamp{}}
	if cfg.MAC.CanSend() {
		sw.fix(anyVID, cfg.MAC, newEntry(0, TAP, Own))
	}
	return sw
}

// View returns the view of now. It changes with every method that changes
// something; control publishes it then.
func (s *Switch) View() *View { return s.view }

// change returns a copy of the view, which replaces it and which the caller may
// change.
func (s *Switch) change() *View {
	v := *s.view
	s.view = &v
	return &v
}

// SetGroups sets who says where multicast goes; nil: it goes to all.
func (s *Switch) SetGroups(g Groups) { s.change().groups = g }

// SetOnDemand changes Config.OnDemand.
func (s *Switch) SetOnDemand(on bool) {
	if s.view.onDemand != on {
		s.change().onDemand = on
	}
}

// PortUp says that there is a tunnel to a peer. One that is up gets new options and
// keeps the rest.
func (s *Switch) PortUp(p Port, o PortOptions) error {
	if p == TAP || p >= MaxPorts {
		return ErrPort
	}
	o.Addrs = slices.Clone(o.Addrs)
	v := s.change()
	v.ports = append(slices.Clone(v.ports), make([]*port, max(0, int(p)+1-len(v.ports)))...)
	up := &port{id: p, opts: o}
	if old := s.view.ports[p]; old != nil {
		up = old.with(o)
	} else {
		v.flood = append(slices.Clone(v.flood), p)
	}
	v.ports[p] = up
	return nil
}

// with returns a port with other options, and the counts of p. What goroutines still
// count at p while that happens is lost.
func (p *port) with(o PortOptions) *port {
	q := &port{id: p.id, opts: o, macs: p.macs, neighbours: p.neighbours}
	for i := range p.passed {
		q.passed[i].Store(p.passed[i].Load())
	}
	for i := range p.drops {
		q.drops[i].Store(p.drops[i].Load())
		q.alarms[i].last.Store(p.alarms[i].last.Load())
	}
	for i := range p.raised {
		q.raised[i].last.Store(p.raised[i].last.Load())
	}
	for i := range p.flows {
		q.flows[i].full.Store(p.flows[i].full.Load())
	}
	q.unlearned.Store(p.unlearned.Load())
	q.full.Store(p.full.Load())
	q.neighboursFull.Store(p.neighboursFull.Load())
	return q
}

// PortDown says that there is no tunnel to a peer any more. What was learned of it is
// forgotten, so that its stations are looked for; what is static or pinned stays.
func (s *Switch) PortDown(p Port) {
	if p == TAP || s.view.port(p) == nil {
		return
	}
	v := s.change()
	v.ports = slices.Clone(v.ports)
	v.ports[p] = nil
	v.flood = slices.DeleteFunc(slices.Clone(v.flood), func(other Port) bool { return other == p })
	v.macs, _ = v.macs.filter(func(_ key, e *entry) bool { return e.port != p || e.fixed() })
	v.neighbours, _ = v.neighbours.filter(func(_ ipKey, n *neighbour) bool { return n.port != p })
}

// Pin makes an address a peer's own in every VLAN, whether the peer is up or not.
func (s *Switch) Pin(m ether.MAC, p Port) error {
	if p == TAP || p >= MaxPorts {
		return ErrPort
	}
	return s.own(anyVID, m, newEntry(0, p, Pinned))
}

// Unpin takes an address from whom it was pinned for.
func (s *Switch) Unpin(m ether.MAC) { s.disown(anyVID, m, Pinned) }

// AddStatic says where an address is in one VLAN.
func (s *Switch) AddStatic(vid ether.VID, m ether.MAC, p Port) error {
	switch {
	case p >= MaxPorts:
		return ErrPort
	case !vid.Valid():
		return ErrAddress
	}
	return s.own(vid, m, newEntry(0, p, Static))
}

// RemoveStatic takes back what AddStatic has said.
func (s *Switch) RemoveStatic(vid ether.VID, m ether.MAC) { s.disown(vid, m, Static) }

// own makes an address somebody's own, unless it is another's.
func (s *Switch) own(vid ether.VID, m ether.MAC, e *entry) error {
	if !m.CanSend() {
		return ErrAddress
	}
	if old := s.view.find(vid, m); old != nil && old.fixed() && old.port != e.port {
		return ErrTaken
	}
	if vid == anyVID {
		for k, old := range s.view.macs.all() {
			if k.mac() == m && old.fixed() && old.port != e.port {
				return ErrTaken
			}
		}
	}
	s.fix(vid, m, e)
	return nil
}

// fix enters an address that is somebody's own. What was learned of it is wrong, or
// needless.
func (s *Switch) fix(vid ether.VID, m ether.MAC, e *entry) {
	s.forget(func(k key, old *entry) bool {
		return k.mac() == m && (vid == anyVID || k.vid() == vid) && !old.fixed()
	})
	v := s.change()
	k := keyOf(vid, m)
	if vid == anyVID && v.macs.get(v.hasher.mac(k), k) == nil {
		v.pins++
	}
	v.macs = v.macs.with(k, e)
}

func (s *Switch) disown(vid ether.VID, m ether.MAC, kind Kind) {
	k := keyOf(vid, m)
	e := s.view.macs.get(s.view.hasher.mac(k), k)
	if e == nil || e.kind != kind {
		return
	}
	v := s.change()
	v.macs = v.macs.without(k)
	if vid == anyVID {
		v.pins--
	}
}

// forget removes addresses and returns how many they were.
func (s *Switch) forget(which func(key, *entry) bool) int {
	v := s.change()
	rest, gone := v.macs.filter(func(k key, e *entry) bool { return !which(k, e) })
	v.macs = rest
	for _, e := range gone {
		s.count(e, -1)
	}
	return len(gone)
}

// count counts the addresses learned of a port.
func (s *Switch) count(e *entry, n int) {
	p := s.view.port(e.port)
	if p == nil || e.fixed() {
		return
	}
	p.macs += n
	if p.macs < s.quota(p) {
		p.full.Store(false)
	}
}

func (s *Switch) quota(p *port) int {
	if p.id == TAP {
		return s.view.MaxLocal
	}
	return s.view.MaxMACs
}
