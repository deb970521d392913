package mcast

import (
	"slices"
	"testing"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// A peer tells what it wants, and acknowledges what it is told.
type peer struct {
	p    *tap
	port uint32
	seq  uint32
}

func (p *tap) peer(port uint32) *peer {
	p.words(p.s.PeerUp(p.now, port, nil))
	return &peer{p: p, port: port}
}

// wants tells a want, and returns what goes to the TAP at once.
func (x *peer) wants(vid uint16, group string, m mode, sources ...string) []string {
	x.p.t.Helper()
	x.seq++
	u := update{stream: 1, seq: x.seq, complete: true, entries: []entry{{key{vid, ip(group)}, m, ips(sources...)}},
		ackStream: x.p.s.links[x.port].stream, ackNext: uint32(len(x.p.s.links[x.port].flight)) + x.p.s.links[x.port].acked + 1}
	return x.p.words(x.p.s.Peer(x.p.now, x.port, u.append(nil), nil))
}

func (p *tap) want(what string, got []string, want ...string) {
	p.t.Helper()
	if !slices.Equal(got, want) {
		p.t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// reports runs to a time and returns what is sent. The tap is not up, so that there are
// no general queries of our own among it.
func (p *tap) reports(to time.Duration) (list []string) {
	p.t.Helper()
	for at := p.s.Timeout(); !at.IsZero() && !at.After(start.Add(to)); at = p.s.Timeout() {
		list = append(list, p.words(p.s.Advance(at, nil))...)
	}
	p.now = start.Add(to)
	return list
}

// TestStateChanges: a router hears of each change of what the mesh wants, twice (RFC
// 3376 section 5.1, RFC 4605 section 4.2).
func TestStateChanges(t *testing.T) {
	p := newTap(t, Config{Mrouter: true})
	p.words(p.s.VLAN(start, 0, nil))
	a, b := p.peer(1), p.peer(2)
	steps := []struct {
		who  *peer
		m    mode
		s    []string
		want string
	}{
		{a, include, []string{"10.9.0.1", "10.9.0.2"}, "v3 ALLOW 239.1.2.3 (1 2)"},
		{b, include, []string{"10.9.0.2", "10.9.0.3"}, "v3 ALLOW 239.1.2.3 (3)"},
		{a, include, []string{"10.9.0.2"}, "v3 BLOCK 239.1.2.3 (1)"},
		{b, exclude, []string{"10.9.0.2", "10.9.0.4"}, "v3 TO_EX 239.1.2.3 (4)"},
		{a, gone, nil, "v3 BLOCK 239.1.2.3 (2)"},
		{b, exclude, []string{"10.9.0.2"}, "v3 ALLOW 239.1.2.3 (4)"},
		{b, include, []string{"10.9.0.7"}, "v3 TO_IN 239.1.2.3 (7)"},
		{b, gone, nil, "v3 TO_IN 239.1.2.3"},
	}
	for i, c := range steps {
		p.want("at once", c.who.wants(0, wide, c.m, c.s...), c.want)
		p.want("again", p.reports(time.Duration(i+1)*5*time.Second), c.want)
		p.want("no more", p.reports(time.Duration(i+1)*5*time.Second+time.Second))
	}
	if len(p.s.mesh) != 0 {
		t.Errorf("%d groups are left", len(p.s.mesh))
	}
	// A change before the other was told twice: both are told.
	p.want("first", a.wants(0, wide, include, "10.9.0.1", "10.9.0.2"), "v3 ALLOW 239.1.2.3 (1 2)")
	p.want("second", a.wants(0, wide, include, "10.9.0.2", "10.9.0.3"), "v3 ALLOW 239.1.2.3 (2 3) BLOCK 239.1.2.3 (1)")
	p.want("again", p.reports(100*time.Second), "v3 ALLOW 239.1.2.3 (2 3) BLOCK 239.1.2.3 (1)")
	p.want("mode", a.wants(0, wide, exclude), "v3 TO_EX 239.1.2.3")
	p.want("sources after it", a.wants(0, wide, exclude, "10.9.0.9"), "v3 TO_EX 239.1.2.3 (9)")
	p.want("again", p.reports(200*time.Second), "v3 TO_EX 239.1.2.3 (9)")
	p.want("link-local", a.wants(0, "224.0.0.251", exclude))
}

// TestStateChangesOlder: in an older version the mesh joins and leaves, and no more.
func TestStateChangesOlder(t *testing.T) {
	for _, c := range []struct {
		name, group string
		query       gmp.Message
		join, leave string
	}{
		{"IGMPv2", wide, gmp.Message{Kind: gmp.Query, Version: 2, Src: ip("10.0.0.9"), MaxResp: time.Second}, "v2 IS_EX 239.1.2.3", "v2 TO_IN 239.1.2.3"},
		{"IGMPv1", wide, gmp.Message{Kind: gmp.Query, Version: 1, Src: ip("10.0.0.9")}, "v1 IS_EX 239.1.2.3", ""},
		{"MLDv1", wide6, gmp.Message{Kind: gmp.Query, Version: 1, Src: ip("fe80::9"), MaxResp: time.Second}, "v1 IS_EX ff15::1234", "v1 TO_IN ff15::1234"},
	} {
		p := newTap(t, Config{})
		a := p.peer(1)
		p.hears(c.query)
		p.now = start.Add(20 * time.Second)
		p.want(c.name+": join", a.wants(0, c.group, exclude), c.join)
		p.want(c.name+": again", p.reports(30*time.Second), c.join)
		var leaves []string
		if c.leave != "" {
			leaves = []string{c.leave}
		}
		p.want(c.name+": leave", a.wants(0, c.group, gone), leaves...)
		p.want(c.name+": again", p.reports(40*time.Second), leaves...)
		source := "10.9.0.1"
		if ip(c.group).Is6() {
			source = "2001:db8::1"
		}
		p.want(c.name+": sources", a.wants(0, c.group, include, source), c.join)
		p.want(c.name+": leave of sources", a.wants(0, c.group, gone), leaves...)
	}
}

// TestAnswers: queries are answered with what the whole mesh wants, in the version of
// the querier, in time.
func TestAnswers(t *testing.T) {
	p := newTap(t, Config{})
	a, b := p.peer(1), p.peer(2)
	p.want("nobody listens", a.wants(0, wide, include, "10.9.0.1"))
	a.wants(0, "239.1.2.9", exclude, "10.9.0.5")
	a.wants(5, "239.1.2.8", exclude)
	b.wants(0, wide, include, "10.9.0.2")
	b.wants(0, wide6, exclude)
	// The first query makes the router known: everything is new to it.
	p.hears(query("10.0.0.9"), "v3 ALLOW 239.1.2.3 (1 2) TO_EX 239.1.2.9 (5)")
	p.reports(60 * time.Second)
	p.hears(query("10.0.0.9"))
	p.want("general query", p.reports(70*time.Second), "v3 IS_IN 239.1.2.3 (1 2) IS_EX 239.1.2.9 (5)")

	specific := query("10.0.0.9")
	specific.Group, specific.MaxResp = ip(wide), time.Second
	p.hears(specific)
	p.want("specific query", p.reports(71*time.Second), "v3 IS_IN 239.1.2.3 (1 2)")
	specific.Sources = ips("10.9.0.2", "10.9.0.3")
	p.hears(specific)
	p.want("query for sources", p.reports(72*time.Second), "v3 IS_IN 239.1.2.3 (2)")
	specific.Group, specific.Sources = ip("239.1.2.9"), ips("10.9.0.5")
	p.hears(specific)
	p.want("query for a source that is not wanted", p.reports(73*time.Second))
	specific.Sources = ips("10.9.0.6")
	p.hears(specific)
	specific.Sources = ips("10.9.0.7")
	p.hears(specific)
	p.want("two queries for sources", p.reports(74*time.Second), "v3 IS_IN 239.1.2.9 (6 7)")
	specific.Group, specific.Sources = ip("239.1.2.77"), nil
	p.hears(specific)
	p.want("query for a group that nobody wants", p.reports(75*time.Second))
	if n := len(p.s.vlans[0].sides[0].proxy.answers); n != 0 {
		t.Errorf("%d answers are left", n)
	}
}

// TestAnswersOlder: hosts at the TAP speak before us, and what they say we need not.
func TestAnswersOlder(t *testing.T) {
	p := newTap(t, Config{})
	a := p.peer(1)
	a.wants(0, wide, exclude)
	a.wants(0, "239.1.2.9", exclude)
	old := gmp.Message{Kind: gmp.Query, Version: 2, Src: ip("10.0.0.9"), MaxResp: 10 * time.Second}
	p.hears(old, "v2 IS_EX 239.1.2.3", "v2 IS_EX 239.1.2.9")
	p.reports(60 * time.Second)
	p.hears(old)
	p.want("before the hosts", p.reports(70*time.Second))
	p.hears(report4(2, gmp.IsEx))
	p.want("after them", p.reports(71*time.Second), "v2 IS_EX 239.1.2.9")
	old.Group, old.MaxResp = ip("239.1.2.9"), time.Second
	p.hears(old)
	p.want("specific: not at once", p.reports(71*time.Second+900*time.Millisecond))
	p.want("specific: in time", p.reports(72*time.Second), "v2 IS_EX 239.1.2.9")
}

// TestReporting: to whom nobody listens, nothing is reported.
func TestReporting(t *testing.T) {
	p := newTap(t, Config{QueryInterval: 10 * time.Second, ResponseInterval: time.Second})
	a := p.peer(1)
	p.want("nobody", a.wants(0, wide, exclude))
	q := query("0.0.0.0") // a switch's
	q.Interval, q.MaxResp = 10*time.Second, time.Second
	p.hears(q, "v3 TO_EX 239.1.2.3")
	p.reports(30 * time.Second)
	p.want("not any more", a.wants(0, wide, gone))
	p = newTap(t, Config{Report: true})
	p.words(p.s.VLAN(start, 0, nil))
	a = p.peer(1)
	p.want("to anybody", a.wants(0, wide, exclude), "v3 TO_EX 239.1.2.3")
}

// TestManyAnswers: a hostile querier does not make us remember much.
func TestManyAnswers(t *testing.T) {
	p := newTap(t, Config{})
	a := p.peer(1)
	for i := range 200 {
		a.wants(0, numbered(i).String(), exclude)
	}
	p.words(p.s.Local(p.now, 0, MAC{2, 9}, appended(query("10.0.0.9")), nil))
	p.reports(20 * time.Second)
	for i := range 200 {
		q := query("10.0.0.9")
		q.Group = numbered(i)
		p.hears(q)
	}
	sd := p.s.vlans[0].sides[0]
	if n := len(sd.proxy.answers); n != maxAnswers || sd.proxy.general.IsZero() {
		t.Errorf("%d answers, want %d and one for all", n, maxAnswers)
	}
	p.reports(40 * time.Second)
	if n := len(sd.proxy.answers); n != 0 || !sd.proxy.general.IsZero() {
		t.Errorf("%d answers are left", n)
	}
}

func appended(m gmp.Message) []byte { return m.Append(nil) }

// TestRouterThroughMesh: what a router at one node learns is what hosts at the others
// want, and it learns of their leaving within 3 s.
func TestRouterThroughMesh(t *testing.T) {
	each(t, func(t *testing.T, f familyOf, version uint8) {
		m := newMesh(t, 4, nil)
		one, two := m.nodes[1].host(0, f.v6, version), m.nodes[2].host(0, f.v6, version)
		r := m.nodes[0].host(0, f.v6, version)
		m.run(settled)
		r.query(60 * time.Second)
		one.join(f.group)
		two.join(f.group)
		m.run(30 * time.Second)
		// heard counts the records about the group since the last time.
		heard := func() map[gmp.RecordType]int {
			n := map[gmp.RecordType]int{}
			for _, msg := range r.heard {
				for _, rec := range msg.Records {
					if rec.Group == ip(f.group) {
						n[rec.Type]++
					}
				}
			}
			r.heard = nil
			return n
		}
		if n := heard(); n[gmp.IsEx]+n[gmp.ToEx] == 0 {
			t.Errorf("the router has heard %v, want joins", n)
		}
		m.run(100 * time.Second)
		if n := heard(); n[gmp.IsEx] != 1 {
			t.Errorf("the router has heard %v to a query, want one answer", n)
		}
		one.leave(f.group)
		m.run(110 * time.Second)
		if n := heard(); n[gmp.ToIn]+n[gmp.Block] != 0 {
			t.Errorf("the router has heard %v while somebody stays", n)
		}
		two.leave(f.group)
		m.run(114 * time.Second)
		if n := heard(); n[gmp.ToIn] == 0 {
			t.Error("the router has not heard that the last has left")
		}
	})
}
