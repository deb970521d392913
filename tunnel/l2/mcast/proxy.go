package mcast

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// A proxy reports on one VLAN and family what peers want (RFC 4605 section 4.2), as
// a host with all their memberships would.
type proxy struct {
	active  bool
	records []gmp.Record // to send at the end of the call
	general time.Time    // the answer to a general query; zero: none
	since   time.Time    // that query
	answers map[key]*answer
}

// An answer is due about one group.
type answer struct {
	at      time.Time
	since   time.Time    // of the query
	sources []netip.Addr // empty: about the whole group
}

// maxAnswers bounds the answers of one proxy; what is more is answered all at once.
const maxAnswers = 64

// A meshGroup is what peers want of a group.
type meshGroup struct {
	key
	members []member // by port

	told         want // what the routers at our TAP know of it
	mode         bool // the filter mode is to be told again
	allow, block []netip.Addr
	left         int // reports of the change that are to be sent
	alarm        alarm
}

// A member is what one peer wants.
type member struct {
	port uint32
	want
}

func (m *meshGroup) find(port uint32) (int, bool) {
	return slices.BinarySearchFunc(m.members, port, func(x member, p uint32) int { return comparePorts(x.port, p) })
}

// together returns what all peers want.
func (m *meshGroup) together() (w want) {
	for _, x := range m.members {
		w = w.merge(x.want)
	}
	return w
}

// peerWants notes what a peer wants of a group.
func (s *Snooper) peerWants(port uint32, k key, w want) {
	m := s.mesh[k]
	if m == nil {
		if w.mode == gone {
			return
		}
		m = &meshGroup{key: k}
		m.alarm = alarm{index: -1, owner: m}
		s.mesh[k] = m
	}
	i, found := m.find(port)
	switch {
	case w.mode == gone && found:
		m.members = slices.Delete(m.members, i, i+1)
	case w.mode == gone:
	case found:
		m.members[i].want = w
	default:
		m.members = slices.Insert(m.members, i, member{port, w})
	}
	s.views.touch(k)
	if sd := s.sideOf(k); sd != nil && sd.proxy.active {
		m.changed(s, sd)
	}
	m.tidy(s)
}

// tidy forgets a group that nobody wants, and whose end has been told.
func (m *meshGroup) tidy(s *Snooper) {
	if len(m.members) == 0 && m.left == 0 {
		delete(s.mesh, m.key)
		s.waking.set(&m.alarm, time.Time{})
	}
}

// sideOf returns the VLAN and family of a group, or nil.
func (s *Snooper) sideOf(k key) *side {
	v := s.vlans[k.vid]
	if v == nil {
		return nil
	}
	if k.group.Is4() {
		return v.sides[0]
	}
	return v.sides[1]
}

// reported says whether a group is one for reports (RFC 3376 section 5, RFC 3810
// section 6).
func reported(group netip.Addr) bool {
	sc := gmp.ScopeOf(group)
	return sc == gmp.Wide || sc == gmp.Link
}

// changed reports a change to the routers (RFC 3376 section 5.1).
func (m *meshGroup) changed(s *Snooper, sd *side) {
	now, was := m.together(), m.told
	if now.equal(was) || !reported(m.group) {
		return
	}
	m.told = now
	switch {
	case (now.mode == exclude) != (was.mode == exclude), now.mode == gone:
		m.mode = true
	case now.mode == exclude:
		m.add(minus(was.sources, now.sources), minus(now.sources, was.sources))
	default:
		m.add(minus(now.sources, was.sources), minus(was.sources, now.sources))
	}
	m.left = s.cfg.Robustness
	m.send(s, sd)
}

// add merges a change of sources with what is to be told again.
func (m *meshGroup) add(allow, block []netip.Addr) {
	m.allow = union(minus(m.allow, block), allow)
	m.block = union(minus(m.block, allow), block)
}

// send reports the change once more.
func (m *meshGroup) send(s *Snooper, sd *side) {
	switch {
	case m.mode && m.told.mode == exclude:
		sd.report(s, gmp.Record{Type: gmp.ToEx, Group: m.group, Sources: m.told.sources})
	case m.mode:
		sd.report(s, gmp.Record{Type: gmp.ToIn, Group: m.group, Sources: m.told.sources})
	default:
		if len(m.allow) > 0 {
			sd.report(s, gmp.Record{Type: gmp.Allow, Group: m.group, Sources: m.allow})
		}
		if len(m.block) > 0 {
			sd.report(s, gmp.Record{Type: gmp.Block, Group: m.group, Sources: m.block})
		}
	}
	if m.left--; m.left > 0 {
		// Unsolicited Report Interval, RFC 3376 section 8.11
		s.waking.set(&m.alarm, s.now.Add(s.random(time.Second)))
		return
	}
	m.forget(s)
}

// forget drops what was to be told again.
func (m *meshGroup) forget(s *Snooper) {
	m.mode, m.allow, m.block, m.left = false, nil, nil, 0
	s.waking.set(&m.alarm, time.Time{})
}

func (m *meshGroup) due(s *Snooper) {
	if sd := s.sideOf(m.key); sd != nil && sd.proxy.active && m.left > 0 {
		m.send(s, sd)
	} else {
		m.forget(s)
	}
	m.tidy(s)
}

// listening begins or ends to report, as there is or is not somebody to report to:
// a router, or any querier. Switches between us and the hosts learn from the reports
// too that we want the group's packets.
func (sd *side) listening(s *Snooper) {
	active := s.cfg.Report || s.cfg.Mrouter || !sd.router.IsZero() || s.now.Before(sd.asked)
	if active == sd.proxy.active {
		return
	}
	sd.proxy.active = active
	for _, m := range sd.wanted(s) {
		if active {
			m.changed(s, sd)
		} else {
			m.told = want{}
			m.forget(s)
			m.tidy(s)
		}
	}
}

// wanted returns the groups of the VLAN and family that peers want, in order.
func (sd *side) wanted(s *Snooper) (out []*meshGroup) {
	for k, m := range s.mesh {
		if k.vid == sd.vid && k.group.Is4() == sd.v4 {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b *meshGroup) int { return a.compare(b.key) })
	return out
}

// questioned schedules the answer to a query (RFC 3376 section 5.2).
func (sd *side) questioned(s *Snooper, m *gmp.Message) {
	maxResp := m.MaxResp
	if m.Version == 1 {
		maxResp = 10 * time.Second // RFC 2236 section 4
	}
	k := key{sd.vid, m.Group}
	p := &sd.proxy
	if m.Group.IsValid() {
		if mg := s.mesh[k]; mg == nil || len(mg.members) == 0 || !reported(m.Group) {
			return
		}
	}
	at := s.now.Add(sd.delay(s, maxResp, m.Group.IsValid()))
	if !m.Group.IsValid() || len(p.answers) >= maxAnswers && p.answers[k] == nil {
		p.since = s.now
		p.general = earlier(p.general, at)
		return
	}
	sources := normal(slices.Clone(m.Sources))
	switch a := p.answers[k]; {
	case a == nil:
		p.answers[k] = &answer{at, s.now, sources}
	case len(a.sources) == 0 || len(sources) == 0 || len(a.sources)+len(sources) > maxEntrySources:
		p.answers[k] = &answer{earlier(a.at, at), s.now, nil}
	default:
		p.answers[k] = &answer{earlier(a.at, at), s.now, union(a.sources, sources)}
	}
}

// delay returns when to answer. A report of an older version would make the hosts at
// our own TAP keep quiet (RFC 2236 section 3), so that we would not hear of them: we
// let them speak first.
func (sd *side) delay(s *Snooper, maxResp time.Duration, specific bool) time.Duration {
	switch {
	case sd.version(s.now) == sd.newest():
		return s.random(maxResp)
	case specific:
		return maxResp*9/10 + s.random(maxResp/20)
	}
	return maxResp + s.random(maxResp/20)
}

// answerDue sends the answers whose time has come.
func (sd *side) answerDue(s *Snooper) {
	p := &sd.proxy
	if !p.general.IsZero() && !s.now.Before(p.general) {
		p.general = time.Time{}
		clear(p.answers)
		for _, m := range sd.wanted(s) {
			sd.answer(s, m, p.since, nil)
		}
	}
	var due []key
	for k, a := range p.answers {
		if !s.now.Before(a.at) {
			due = append(due, k)
		}
	}
	slices.SortFunc(due, key.compare)
	for _, k := range due {
		a := p.answers[k]
		delete(p.answers, k)
		if m := s.mesh[k]; m != nil {
			sd.answer(s, m, a.since, a.sources)
		}
	}
}

// answer says what peers want of a group, or of some of its sources, after a query.
func (sd *side) answer(s *Snooper, m *meshGroup, since time.Time, sources []netip.Addr) {
	w := m.together()
	if w.mode == gone || !reported(m.group) {
		return
	}
	r := gmp.Record{Type: gmp.IsIn, Group: m.group, Sources: w.sources}
	switch {
	case len(sources) > 0:
		r.Sources = slices.DeleteFunc(slices.Clone(sources), func(a netip.Addr) bool { return !w.takes(a) })
		if len(r.Sources) == 0 {
			return
		}
	case w.mode == exclude:
		r.Type = gmp.IsEx
	}
	// Who has heard an older host report need not hear it from us.
	if g := s.groups[m.key]; g != nil && sd.version(s.now) != sd.newest() && g.heard.After(since) {
		return
	}
	sd.report(s, r)
}

// report adds a record to those that are sent at the end of the call.
func (sd *side) report(s *Snooper, r gmp.Record) {
	if len(sd.proxy.records) == 0 {
		s.reports = append(s.reports, sd)
	}
	sd.proxy.records = append(sd.proxy.records, r)
}

// flush sends the records in the version that the querier speaks.
func (sd *side) flush(s *Snooper) {
	records, v := sd.proxy.records, sd.version(s.now)
	sd.proxy.records = nil
	m := gmp.Message{Kind: gmp.Report, Version: v, Src: sd.source(s), Records: records}
	if v == sd.newest() {
		for _, part := range gmp.Split(m) {
			s.emit(sd.vid, &part)
		}
		return
	}
	for _, r := range records {
		// An older version has no sources: who wants some gets all, and who wants
		// fewer than before keeps the group.
		switch {
		case r.Type == gmp.Block:
			continue
		case r.Type == gmp.ToIn && len(r.Sources) == 0:
			if sd.v4 && v == 1 {
				continue // RFC 1112 knows no leave
			}
		default:
			r.Type = gmp.IsEx
		}
		m.Records = []gmp.Record{{Type: r.Type, Group: r.Group}}
		m.Dst = netip.Addr{}
		s.emit(sd.vid, &m)
	}
}
