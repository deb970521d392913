package mcast

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// A vlan is one VLAN at our TAP.
type vlan struct {
	vid   uint16
	sides [2]*side // IPv4 and IPv6
}

// A side is one VLAN at our TAP, for one of IPv4 and IPv6: the querier there, the
// routers, and what we report to them.
type side struct {
	vid   uint16
	v4    bool
	alarm alarm

	startup int       // general queries that come sooner
	next    time.Time // general query; zero: somebody else sends them

	other other // querier
	v1    time.Time
	v2    time.Time // queriers of older versions were heard, which count until then
	asked time.Time // until when somebody there wants to hear reports

	router time.Time // there is a multicast router until then; zero: none

	proxy proxy
}

// An other is a querier on the link that is not us.
type other struct {
	addr  netip.Addr
	until time.Time
}

// enter returns a VLAN, which may be new; nil if there are too many.
func (s *Snooper) enter(vid uint16) *vlan {
	if v := s.vlans[vid]; v != nil {
		return v
	}
	if len(s.vlans) >= s.cfg.MaxVLANs && vid != 0 {
		s.refuse(Event{Kind: RefusedVLAN, VID: vid})
		return nil
	}
	v := &vlan{vid: vid, sides: [2]*side{{vid: vid, v4: true}, {vid: vid}}}
	for _, sd := range v.sides {
		sd.alarm = alarm{index: -1, owner: sd}
		sd.proxy.answers = map[key]*answer{}
	}
	s.vlans[vid] = v
	for _, sd := range v.sides {
		sd.listening(s)
		if s.up {
			sd.restart(s)
		}
	}
	return v
}

// sorted returns the VLANs in order.
func (s *Snooper) sorted() []*vlan {
	out := make([]*vlan, 0, len(s.vlans))
	for _, v := range s.vlans {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b *vlan) int { return int(a.vid) - int(b.vid) })
	return out
}

// restart begins to query, unless another does.
func (sd *side) restart(s *Snooper) {
	if s.now.Before(sd.other.until) {
		return
	}
	sd.startup, sd.next = s.cfg.Robustness, s.now
	sd.due(s)
}

// wake sets the alarm.
func (sd *side) wake(s *Snooper) {
	at := sd.next
	for _, t := range []time.Time{sd.other.until, sd.router, sd.asked, sd.proxy.general} {
		at = earlier(at, t)
	}
	for _, a := range sd.proxy.answers {
		at = earlier(at, a.at)
	}
	s.waking.set(&sd.alarm, at)
}

// due does what is due in the VLAN.
func (sd *side) due(s *Snooper) {
	over := func(t time.Time) bool { return !t.IsZero() && !s.now.Before(t) }
	if over(sd.other.until) {
		s.happens(Event{Kind: QuerierGone, VID: sd.vid, Addr: sd.other.addr})
		sd.other = other{}
		sd.startup, sd.next = s.cfg.Robustness, s.now
	}
	if over(sd.router) {
		sd.router = time.Time{}
		sd.routersChanged(s, netip.Addr{})
	}
	if over(sd.asked) {
		sd.asked = time.Time{}
		sd.listening(s)
	}
	if over(sd.next) {
		sd.inquire(s)
	}
	sd.answerDue(s)
	sd.wake(s)
}

// inquire sends a general query (RFC 3376 section 6.6.2 and 8.6). It is one of the
// newest version, which hosts of all versions understand as their own.
func (sd *side) inquire(s *Snooper) {
	m := gmp.Message{Kind: gmp.Query, Version: sd.newest(), Src: sd.source(s), MaxResp: s.cfg.ResponseInterval,
		Robustness: uint8(s.cfg.Robustness), Interval: s.cfg.QueryInterval}
	interval := s.cfg.QueryInterval
	if sd.startup > 0 {
		if sd.startup--; sd.startup > 0 {
			interval = s.cfg.QueryInterval / 4 // section 8.6
		}
		m.MaxResp = min(m.MaxResp, startupResponse)
	}
	s.emit(sd.vid, &m)
	sd.next = s.now.Add(interval)
}

func (sd *side) newest() uint8 {
	if sd.v4 {
		return 3
	}
	return 2
}

// source returns the address from which messages come: one that never wins an
// election (RFC 4541 section 2.1.1, rule 1).
func (sd *side) source(s *Snooper) netip.Addr {
	if sd.v4 {
		return netip.IPv4Unspecified()
	}
	return s.cfg.linkLocal()
}

// source returns the address from which messages about a group come.
func (s *Snooper) source(group netip.Addr) netip.Addr {
	if group.Is4() {
		return netip.IPv4Unspecified()
	}
	return s.cfg.linkLocal()
}

// query obeys a query that was heard on the link.
func (sd *side) query(s *Snooper, m *gmp.Message) {
	robustness, interval := int(m.Robustness), m.Interval
	if robustness == 0 {
		robustness = s.cfg.Robustness
	}
	if interval == 0 {
		interval = s.cfg.QueryInterval
	}
	// Other Querier Present Interval (RFC 3376 section 8.5); older versions are
	// spoken for about as long (section 8.12). Memberships end by our own times: a
	// querier that asks less often than we would does not keep us quiet for longer.
	present := time.Duration(robustness)*interval + m.MaxResp/2
	router := s.now.Add(min(max(present, s.cfg.LastMember), maxHello))
	ours := time.Duration(s.cfg.Robustness)*s.cfg.QueryInterval + s.cfg.ResponseInterval/2
	until := s.now.Add(min(max(present, s.cfg.LastMember), ours))
	switch {
	case m.Version == 1 && sd.v4:
		sd.v1 = until
	case m.Version < sd.newest():
		sd.v2 = until
	}
	if m.Src != sd.source(s) && !m.Src.IsUnspecified() {
		sd.elected(s, m.Src, until, router)
	}
	sd.asked = until
	sd.listening(s)
	sd.questioned(s, m)
	if m.Group.IsValid() && !m.Suppress {
		in := m.MaxResp * time.Duration(robustness)
		if in == 0 {
			in = s.cfg.leaveTime()
		}
		k, sources := key{sd.vid, m.Group}, normal(slices.Clone(m.Sources))
		s.questioned(k, sources, in)
		s.relay(k, sources)
	}
	sd.wake(s)
}

// elected notes a querier of its own on the link, and that it is a router.
func (sd *side) elected(s *Snooper, addr netip.Addr, until, router time.Time) {
	if !sd.other.addr.IsValid() {
		s.happens(Event{Kind: QuerierHere, VID: sd.vid, Addr: addr})
	}
	if !sd.other.addr.IsValid() || !sd.other.addr.Less(addr) {
		sd.other = other{addr, until} // the lower address wins
	}
	sd.next = time.Time{}
	sd.isRouter(s, addr, router)
}

// isRouter notes a multicast router (RFC 4541 section 2.1.1, rule 1).
func (sd *side) isRouter(s *Snooper, addr netip.Addr, until time.Time) {
	if sd.router.IsZero() {
		sd.router = until
		sd.routersChanged(s, addr)
	}
	if until.After(sd.router) {
		sd.router = until
	}
}

// maxHello bounds how long a router is believed to be there after what it said.
const maxHello = time.Hour

// routerSays obeys what a multicast router says about itself.
func (sd *side) routerSays(s *Snooper, m *gmp.Message) {
	switch {
	case m.Kind == gmp.RouterHere:
		lifetime := m.Lifetime
		if lifetime == 0 {
			lifetime = s.cfg.membership()
		}
		sd.isRouter(s, m.Src, s.now.Add(min(lifetime, maxHello)))
	case !sd.router.IsZero() && !s.now.Before(sd.other.until): // and no querier
		sd.router = time.Time{}
		sd.routersChanged(s, m.Src)
	}
	sd.wake(s)
}

// routersChanged tells peers and the link's routers.
func (sd *side) routersChanged(s *Snooper, addr netip.Addr) {
	kind := RouterGone
	if !sd.router.IsZero() {
		kind = RouterHere
	}
	s.happens(Event{Kind: kind, VID: sd.vid, Addr: addr})
	for _, l := range s.links {
		l.markRouter(s, sd.vid)
	}
	sd.listening(s)
}

// families returns for which of them a VLAN has routers at our TAP.
func (s *Snooper) families(vid uint16) (f uint8) {
	if vid == allVLANs {
		if s.cfg.Mrouter {
			return family4 | family6
		}
		return 0
	}
	if v := s.vlans[vid]; v != nil {
		if !v.sides[0].router.IsZero() {
			f |= family4
		}
		if !v.sides[1].router.IsZero() {
			f |= family6
		}
	}
	return f
}

// version returns which version the querier speaks, which is that of our reports.
func (sd *side) version(now time.Time) uint8 {
	switch {
	case now.Before(sd.v1):
		return 1
	case now.Before(sd.v2):
		return sd.newest() - 1
	}
	return sd.newest()
}
