package mcast

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// record applies a record of a host at our TAP.
func (s *Snooper) record(sd *side, mac MAC, m *gmp.Message, r gmp.Record) {
	if sc := gmp.ScopeOf(r.Group); sc == gmp.Always || sc == gmp.Never {
		return
	}
	sources := normal(slices.Clone(r.Sources))
	k := key{sd.vid, r.Group}
	g := s.groups[k]
	if g == nil {
		if g = s.join(k, mac, r.Type, sources); g == nil {
			return
		}
	}
	sd.olderHost(s, g, m)
	g.heard = s.now
	sources, ok := g.compat(s.now, r.Type, sources)
	if !ok {
		return
	}
	until := s.now.Add(s.cfg.membership())
	if m.Newest() {
		was := g.hosts.blind
		g.hosts.note(mac, r.Type, sources, until, s.cfg.MaxHosts, &s.budget)
		if g.hosts.blind && !was {
			s.refuse(Event{Kind: RefusedHost, VID: k.vid, Group: k.group, MAC: mac})
		}
	}
	ask, ok := g.report(r.Type, sources, until, s.cfg.MaxSources)
	if !ok {
		s.refuse(Event{Kind: RefusedSource, VID: k.vid, Group: k.group, MAC: mac})
	}
	s.left(sd, g, ask)
	s.update(g)
}

// join returns a new group, if a record makes one. A leave does not.
func (s *Snooper) join(k key, mac MAC, t gmp.RecordType, sources []netip.Addr) *group {
	if t == gmp.Block || t != gmp.IsEx && t != gmp.ToEx && len(sources) == 0 {
		return nil
	}
	if len(s.groups) >= s.cfg.MaxGroups {
		s.refuse(Event{Kind: RefusedGroup, VID: k.vid, Group: k.group, MAC: mac})
		return nil
	}
	g := &group{key: k, sources: map[netip.Addr]*source{}}
	g.alarm = alarm{index: -1, owner: g}
	s.groups[k] = g
	return g
}

// olderHost notes which versions the group's hosts speak (RFC 3376 section 7.3.1).
func (sd *side) olderHost(s *Snooper, g *group, m *gmp.Message) {
	until := s.now.Add(s.cfg.membership()) // Older Host Present Interval, section 8.13
	switch {
	case m.Newest() || len(m.Records) == 0 || m.Records[0].Type != gmp.IsEx:
	case m.Version == 1 && m.Src.Is4():
		g.v1 = until
	default:
		g.v2 = until
	}
}

// left handles what has to be asked after a report.
func (s *Snooper) left(sd *side, g *group, a ask) {
	if s.cfg.FastLeave && !g.hosts.blind && g.version(s.now) == newest(g.group) {
		now := g.hosts.unwanted(a.sources)
		if len(now) > 0 {
			g.lower(s.now, now)
			a.sources = minus(a.sources, now)
		}
		if a.group && !g.hosts.wantAll() {
			g.lower(s.now, nil)
			a.group = false
		}
	}
	switch {
	case !a.group && len(a.sources) == 0:
	case s.now.Before(sd.other.until):
		// The querier on the link hears the leave as we do. If it does not ask, we do.
		if g.later == nil {
			g.later = &later{at: s.now.Add(s.cfg.LastMember)}
		}
		g.later.group = g.later.group || a.group
		g.later.sources = union(g.later.sources, a.sources)
	default:
		s.ask(g, a)
	}
}

func newest(group netip.Addr) uint8 {
	if group.Is4() {
		return 3
	}
	return 2
}

// ask begins to ask whether anybody is left (RFC 3376 section 6.6.3).
func (s *Snooper) ask(g *group, a ask) {
	at := s.now.Add(s.cfg.leaveTime())
	sources := slices.DeleteFunc(slices.Clone(a.sources), func(x netip.Addr) bool {
		src := g.sources[x]
		return src == nil || !src.timer.After(at)
	})
	byGroup := a.group && g.exclude && g.asks == 0
	if !byGroup && len(sources) == 0 {
		return
	}
	if g.next.IsZero() { // nothing is asked yet
		if s.asking >= s.cfg.MaxQueries {
			s.refuse(Event{Kind: RefusedQuery, VID: g.vid, Group: g.group})
			return
		}
		s.asking++
		g.next = s.now
	}
	if byGroup {
		g.asks = s.cfg.LastMemberCount
		g.lower(at, nil)
	}
	for _, x := range sources {
		g.sources[x].asks = s.cfg.LastMemberCount
	}
	g.lower(at, sources)
	s.inquire(g)
}

// inquire sends the queries about a group whose turn it is, and sets the time of
// the next (RFC 3376 sections 6.6.3.1 and 6.6.3.2).
func (s *Snooper) inquire(g *group) {
	soon := s.now.Add(s.cfg.leaveTime())
	m := gmp.Message{Kind: gmp.Query, Version: newest(g.group), Src: s.source(g.group), Group: g.group,
		MaxResp: s.cfg.LastMember, Robustness: uint8(s.cfg.Robustness), Interval: s.cfg.QueryInterval}
	more, byGroup := false, g.asks > 0
	if byGroup {
		q := m
		q.Suppress = g.timer.After(soon) // somebody has answered
		s.emit(g.vid, &q)
		g.asks--
		more = g.asks > 0
	}
	var fresh, open []netip.Addr
	for x, src := range g.sources {
		if src.asks == 0 {
			continue
		}
		if src.asks--; src.asks > 0 {
			more = true
		}
		if src.timer.After(soon) {
			fresh = append(fresh, x)
		} else {
			open = append(open, x)
		}
	}
	// A host of an older version takes a query with sources for one about the
	// whole group, and one with the S flag adds nothing to that.
	older := g.version(s.now) != newest(g.group)
	if len(open) > 0 && !(older && byGroup) {
		q := m
		q.Sources = normal(open)
		s.emit(g.vid, &q)
	}
	if len(fresh) > 0 && !byGroup && !older {
		q := m
		q.Sources, q.Suppress = normal(fresh), true
		s.emit(g.vid, &q)
	}
	if more {
		g.next = s.now.Add(s.cfg.LastMember)
	} else {
		s.asked(g)
	}
}

// asked says that no queries about the group are to be sent any more.
func (s *Snooper) asked(g *group) {
	if !g.next.IsZero() {
		s.asking--
	}
	g.next = time.Time{}
	g.asks = 0
	for _, src := range g.sources {
		src.asks = 0
	}
}

// due does what the group's timers say.
func (g *group) due(s *Snooper) {
	g.expire(s.now)
	g.hosts.expire(s.now, &s.budget)
	if l := g.later; l != nil && !s.now.Before(l.at) {
		g.later = nil
		s.ask(g, ask{l.group, l.sources})
	}
	if !g.next.IsZero() && !s.now.Before(g.next) {
		s.inquire(g)
	}
	s.update(g)
}

// update follows a change of a group: peers are told, and the next timer is set.
func (s *Snooper) update(g *group) {
	g.expire(s.now)
	if g.empty() {
		s.asked(g)
		g.hosts.clear(&s.budget)
		delete(s.groups, g.key)
		s.waking.set(&g.alarm, time.Time{})
	} else {
		s.waking.set(&g.alarm, g.wake())
	}
	if w := g.want(); !w.equal(g.told) {
		g.told = w
		for _, l := range s.links {
			l.mark(s, g.key)
		}
	}
}

// questioned is somebody else's question about a group: a querier on the link, whose
// answers are due in at most a time (RFC 3376 section 6.6.1, RFC 3810 section 7.6.1).
func (s *Snooper) questioned(k key, sources []netip.Addr, in time.Duration) {
	g := s.groups[k]
	if g == nil {
		return
	}
	if g.later != nil {
		if len(sources) == 0 {
			g.later.group = false
		}
		g.later.sources = minus(g.later.sources, sources)
		if !g.later.group && len(g.later.sources) == 0 {
			g.later = nil
		}
	}
	g.lower(s.now.Add(in), sources)
	s.update(g)
}
