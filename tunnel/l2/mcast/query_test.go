package mcast

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// A tap is one snooper, with what it sends to the TAP in words.
type tap struct {
	t      *testing.T
	s      *Snooper
	now    time.Time
	events []Event
}

func newTap(t *testing.T, cfg Config) *tap {
	t.Helper()
	if cfg.MAC == (MAC{}) {
		cfg.MAC = MAC{2, 0xff, 0, 0, 0, 1}
	}
	return &tap{t: t, s: New(cfg), now: start}
}

// words describes what is sent to the TAP: "v3 query 239.1.2.3 [sources] S".
func (p *tap) words(out []Out) (list []string) {
	p.t.Helper()
	for _, x := range out {
		switch x.Kind {
		case Happens:
			p.events = append(p.events, x.Event)
			continue
		case ToPeer:
			continue
		}
		m, err := gmp.Parse(x.Packet)
		if err != nil {
			p.t.Fatalf("sends what is no good: %v", err)
		}
		if want := p.s.source(m.Dst); m.Src != want {
			p.t.Errorf("sends from %v, want %v", m.Src, want)
		}
		list = append(list, words(x.VID, m))
	}
	return list
}

func words(vid uint16, m gmp.Message) string {
	var b strings.Builder
	if vid != 0 {
		fmt.Fprintf(&b, "vlan %d ", vid)
	}
	if m.Kind == gmp.Report {
		fmt.Fprintf(&b, "v%d", m.Version)
		for _, r := range m.Records {
			fmt.Fprintf(&b, " %v %v", r.Type, r.Group)
			if len(r.Sources) > 0 {
				fmt.Fprintf(&b, " (%s)", short(r.Sources))
			}
		}
		return b.String()
	}
	fmt.Fprintf(&b, "v%d query", m.Version)
	if m.Group.IsValid() {
		fmt.Fprintf(&b, " %v", m.Group)
	}
	if len(m.Sources) > 0 {
		fmt.Fprintf(&b, " (%s)", short(m.Sources))
	}
	if m.Suppress {
		b.WriteString(" S")
	}
	fmt.Fprintf(&b, " in %v", m.MaxResp)
	return b.String()
}

// short writes the last bytes of addresses.
func short(list []netip.Addr) string {
	var b strings.Builder
	for i, a := range list {
		if i > 0 {
			b.WriteByte(' ')
		}
		raw := a.AsSlice()
		fmt.Fprint(&b, raw[len(raw)-1])
	}
	return b.String()
}

// expect runs to a time and compares what is sent, each with its time.
func (p *tap) expect(to time.Duration, want ...string) {
	p.t.Helper()
	var got []string
	for {
		at := p.s.Timeout()
		if at.IsZero() || at.After(start.Add(to)) {
			break
		}
		p.now = at
		for _, w := range p.words(p.s.Advance(at, nil)) {
			got = append(got, fmt.Sprintf("%v: %s", at.Sub(start), w))
		}
	}
	p.now = start.Add(to)
	slices.Sort(got) // what is sent at the same time comes in any order
	slices.Sort(want)
	if !slices.Equal(got, want) {
		p.t.Errorf("until %v:\n got %q\nwant %q", to, got, want)
	}
}

// hears gives a message of a host to the snooper and compares what it sends at once.
func (p *tap) hears(m gmp.Message, want ...string) {
	p.t.Helper()
	p.hearsFrom(MAC{2, 7}, m, want...)
}

func (p *tap) hearsFrom(mac MAC, m gmp.Message, want ...string) {
	p.t.Helper()
	got := p.words(p.s.Local(p.now, 0, mac, m.Append(nil), nil))
	if !slices.Equal(got, want) {
		p.t.Errorf("at %v after %s:\n got %q\nwant %q", p.now.Sub(start), words(0, m), got, want)
	}
}

// report4 is a report of IGMP.
func report4(version uint8, kind gmp.RecordType, sources ...string) gmp.Message {
	return gmp.Message{Kind: gmp.Report, Version: version, Src: ip("10.0.0.7"), Records: []gmp.Record{{Type: kind, Group: ip(wide), Sources: ips(sources...)}}}
}

// TestQuerier is the schedule of general queries (RFC 3376 sections 8.2, 8.6, 8.7).
func TestQuerier(t *testing.T) {
	p := newTap(t, Config{VLANs: []uint16{7}})
	p.expect(1000 * time.Second) // the TAP is not up
	p = newTap(t, Config{VLANs: []uint16{7}})
	got := p.words(p.s.Up(start, nil))
	if want := []string{"v3 query in 1s", "v2 query in 1s", "vlan 7 v3 query in 1s", "vlan 7 v2 query in 1s"}; !slices.Equal(got, want) {
		t.Errorf("when the TAP comes up: %q, want %q", got, want)
	}
	all := func(at string, in string) []string {
		return []string{at + ": v3 query in " + in, at + ": v2 query in " + in, at + ": vlan 7 v3 query in " + in, at + ": vlan 7 v2 query in " + in}
	}
	sorted := func(to time.Duration, want []string) {
		t.Helper()
		slices.Sort(want)
		var got []string
		for at := p.s.Timeout(); !at.After(start.Add(to)); at = p.s.Timeout() {
			for _, w := range p.words(p.s.Advance(at, nil)) {
				got = append(got, fmt.Sprintf("%v: %s", at.Sub(start), w))
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("until %v:\n got %q\nwant %q", to, got, want)
		}
	}
	sorted(31*time.Second, nil)
	sorted(32*time.Second, all("31.25s", "1s"))
	sorted(157*time.Second, all("2m36.25s", "10s"))
	sorted(282*time.Second, all("4m41.25s", "10s"))
}

// TestQuerierSilent: we are silent while another queries, and begin anew after it.
func TestQuerierSilent(t *testing.T) {
	p := newTap(t, Config{})
	p.s.Up(start, nil)
	p.expect(20 * time.Second)
	p.hears(query("10.0.0.9"))
	p.expect(100*time.Second, "31.25s: v2 query in 1s") // IPv6 has no other
	p.hears(query("10.0.0.9"))
	p.expect(100*time.Second+254*time.Second, "2m36.25s: v2 query in 10s", "4m41.25s: v2 query in 10s")
	p.expect(356*time.Second, "5m55s: v3 query in 1s")
	p.expect(387*time.Second, "6m26.25s: v3 query in 1s")
	var kinds []EventKind
	for _, e := range p.events {
		kinds = append(kinds, e.Kind)
	}
	if want := []EventKind{QuerierHere, RouterHere, QuerierGone, RouterGone}; !slices.Equal(kinds, want) {
		t.Errorf("events %v, want %v", kinds, want)
	}
	// A query without an address is a switch's. It silences nobody.
	p = newTap(t, Config{})
	p.s.Up(start, nil)
	p.hears(query("0.0.0.0"))
	p.expect(32*time.Second, "31.25s: v3 query in 1s", "31.25s: v2 query in 1s")
	if d := p.s.Dump(p.now); d.VLANs[0].IPv4.Router || d.VLANs[0].IPv4.Querier.IsValid() {
		t.Errorf("0.0.0.0 became a querier or a router: %+v", d.VLANs[0])
	}
}

// TestQuerierSeldom: a querier that asks less often than memberships last must not
// make members go dark.
func TestQuerierSeldom(t *testing.T) {
	m := newMesh(t, 2, nil)
	h := m.nodes[1].host(0, false, 3)
	q := m.nodes[1].host(0, false, 3)
	m.run(settled)
	h.join(wide)
	q.query(3000 * time.Second)
	m.run(10 * time.Second)
	m.nodes[0].stream(0, wide, sender, 2000*time.Second)
	m.run(2000 * time.Second)
	if h.gap > period+time.Millisecond || h.got[ip(wide)] < 39000 {
		t.Errorf("%d packets, longest gap %v", h.got[ip(wide)], h.gap)
	}
}

// TestLastMember is RFC 3376 section 6.6.3.1: queries are sent twice, the second with
// the S flag if somebody has answered.
func TestLastMember(t *testing.T) {
	const one, oneS = "v3 query 239.1.2.3 in 1s", "v3 query 239.1.2.3 S in 1s"
	p := newTap(t, Config{})
	p.hears(report4(2, gmp.IsEx))
	p.expect(10 * time.Second)
	p.hears(report4(2, gmp.ToIn), one)
	p.hears(report4(2, gmp.ToIn)) // once more: already asked
	p.expect(11500*time.Millisecond, "11s: "+one)
	p.expect(13 * time.Second)
	if len(p.s.groups) != 0 || p.s.asking != 0 {
		t.Errorf("%d groups, %d asked about", len(p.s.groups), p.s.asking)
	}
	p.hears(report4(3, gmp.ToEx))
	p.expect(20 * time.Second)
	p.hears(report4(3, gmp.ToIn), one)
	p.hears(report4(3, gmp.IsEx)) // stays
	p.expect(25*time.Second, "21s: "+oneS)
	if len(p.s.groups) != 1 || p.s.asking != 0 {
		t.Errorf("%d groups, %d asked about", len(p.s.groups), p.s.asking)
	}
}

// TestLastSources is RFC 3376 section 6.6.3.2.
func TestLastSources(t *testing.T) {
	p := newTap(t, Config{})
	p.hears(report4(3, gmp.IsIn, "10.9.0.1", "10.9.0.2", "10.9.0.3"))
	p.hears(report4(3, gmp.Block, "10.9.0.1", "10.9.0.2"), "v3 query 239.1.2.3 (1 2) in 1s")
	p.hears(report4(3, gmp.IsIn, "10.9.0.2"))
	p.expect(1500*time.Millisecond, "1s: v3 query 239.1.2.3 (1) in 1s", "1s: v3 query 239.1.2.3 (2) S in 1s")
	p.expect(5 * time.Second)
	if g := p.s.groups[key{0, ip(wide)}]; g == nil || short(g.wanted()) != "2 3" {
		t.Errorf("group %+v, want sources 2 and 3", g)
	}
	p.hears(report4(3, gmp.ToIn), "v3 query 239.1.2.3 (2 3) in 1s")
	p.expect(10*time.Second, "6s: v3 query 239.1.2.3 (2 3) in 1s")
	// A host of an older version does not know sources.
	p.hears(report4(3, gmp.ToEx))
	p.hears(report4(3, gmp.Allow, "10.9.0.1"))
	p.hears(report4(2, gmp.IsEx))
	p.hears(report4(3, gmp.Block, "10.9.0.1"))
	p.hears(report4(2, gmp.ToIn), "v3 query 239.1.2.3 in 1s")
	p.expect(12*time.Second, "11s: v3 query 239.1.2.3 in 1s")
}

// TestLastMemberOther: with a querier on the link we leave the question to it, for a
// second.
func TestLastMemberOther(t *testing.T) {
	p := newTap(t, Config{})
	p.hears(query("10.0.0.9"))
	p.hears(report4(3, gmp.ToEx))
	p.hears(report4(3, gmp.ToIn))
	ask := query("10.0.0.9")
	ask.Group, ask.MaxResp = ip(wide), time.Second
	p.hears(ask)
	p.expect(1900 * time.Millisecond)
	if len(p.s.groups) != 1 {
		t.Error("the group ended before its time")
	}
	p.expect(2 * time.Second)
	if len(p.s.groups) != 0 {
		t.Error("the group did not end 2 s after the querier's question")
	}
	p.hears(report4(3, gmp.ToEx))
	p.hears(report4(3, gmp.ToIn))
	p.expect(5*time.Second, "3s: v3 query 239.1.2.3 in 1s", "4s: v3 query 239.1.2.3 in 1s")
	if len(p.s.groups) != 0 {
		t.Error("a leave that the querier has missed ended nothing")
	}
}

// TestFastLeave: the group ends at once when the last host that is known has left.
func TestFastLeave(t *testing.T) {
	one, two := MAC{2, 1}, MAC{2, 2}
	p := newTap(t, Config{FastLeave: true})
	p.hearsFrom(one, report4(3, gmp.ToEx))
	p.hearsFrom(two, report4(3, gmp.ToEx))
	p.hearsFrom(one, report4(3, gmp.ToIn), "v3 query 239.1.2.3 in 1s") // two is there, if it is
	p.hearsFrom(two, report4(3, gmp.IsEx))
	p.expect(3*time.Second, "1s: v3 query 239.1.2.3 S in 1s")
	p.hearsFrom(two, report4(3, gmp.ToIn))
	if len(p.s.groups) != 0 {
		t.Error("the last host has left, and the group is there")
	}
	p.hearsFrom(one, report4(3, gmp.Allow, "10.9.0.1", "10.9.0.2"))
	p.hearsFrom(two, report4(3, gmp.Allow, "10.9.0.2"))
	p.hearsFrom(one, report4(3, gmp.Block, "10.9.0.1"))
	if g := p.s.groups[key{0, ip(wide)}]; g == nil || short(g.wanted()) != "2" {
		t.Error("a source that nobody wants is there, or the other is not")
	}
	p.hearsFrom(two, report4(3, gmp.Block, "10.9.0.2"), "v3 query 239.1.2.3 (2) in 1s")
	// Hosts of older versions cannot be counted: others keep quiet.
	p = newTap(t, Config{FastLeave: true})
	p.hearsFrom(one, report4(2, gmp.IsEx))
	p.hearsFrom(one, report4(2, gmp.ToIn), "v3 query 239.1.2.3 in 1s")
	// Nor can hosts beyond the limit.
	p = newTap(t, Config{FastLeave: true, MaxHosts: 1})
	p.hearsFrom(one, report4(3, gmp.ToEx))
	p.hearsFrom(two, report4(3, gmp.ToEx))
	p.hearsFrom(one, report4(3, gmp.ToIn), "v3 query 239.1.2.3 in 1s")
	if len(p.events) != 1 || p.events[0].Kind != RefusedHost {
		t.Errorf("events %v, want one about a host", p.events)
	}
}
