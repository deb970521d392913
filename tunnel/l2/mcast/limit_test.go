package mcast

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// kinds counts events.
func (p *tap) kinds() map[EventKind]int {
	n := map[EventKind]int{}
	for _, e := range p.events {
		n[e.Kind]++
	}
	return n
}

// TestGroupLimit: a group beyond the limit is refused loudly, and no other ends.
func TestGroupLimit(t *testing.T) {
	p := newTap(t, Config{MaxGroups: 3})
	join := func(i int, kind gmp.RecordType) {
		m := report4(3, kind)
		m.Records[0].Group = numbered(i)
		p.hears(m)
	}
	for i := range 5 {
		join(i, gmp.ToEx)
		join(i, gmp.IsEx)
	}
	if len(p.s.groups) != 3 || p.s.groups[key{0, numbered(0)}] == nil || p.s.Stats().Refused != 4 {
		t.Errorf("%d groups, %d refused, want the first 3, and 4", len(p.s.groups), p.s.Stats().Refused)
	}
	if n := p.kinds(); n[RefusedGroup] != 1 || p.events[0].Group != numbered(3) || p.events[0].MAC != (MAC{2, 7}) {
		t.Errorf("events %+v, want one about the fourth group", p.events)
	}
	p.now = start.Add(quiet)
	join(4, gmp.IsEx)
	if n := p.kinds(); n[RefusedGroup] != 2 {
		t.Errorf("%d events a minute later, want another", n[RefusedGroup])
	}
}

func TestSourceLimit(t *testing.T) {
	p := newTap(t, Config{MaxSources: 2})
	p.hears(report4(3, gmp.IsIn, "10.9.0.1", "10.9.0.2"))
	p.hears(report4(3, gmp.Allow, "10.9.0.3", "10.9.0.1"))
	g := p.s.groups[key{0, ip(wide)}]
	if got := short(g.wanted()); got != "1 2" || p.kinds()[RefusedSource] != 1 {
		t.Errorf("sources %s, events %v, want 1 2 and one", got, p.events)
	}
	if s := New(Config{MaxSources: 1000}); s.cfg.MaxSources != maxEntrySources {
		t.Errorf("limit %d, want %d: an update holds no more", s.cfg.MaxSources, maxEntrySources)
	}
}

// TestQueryLimit: who cannot be asked about is fed on, rather than cut.
func TestQueryLimit(t *testing.T) {
	p := newTap(t, Config{MaxQueries: 2})
	for i := range 3 {
		m := report4(3, gmp.ToEx)
		m.Records[0].Group = numbered(i)
		p.hears(m)
	}
	queries := 0
	for i := range 3 {
		m := report4(3, gmp.ToIn)
		m.Records[0].Group = numbered(i)
		queries += len(p.words(p.s.Local(p.now, 0, MAC{2, 7}, m.Append(nil), nil)))
	}
	p.reports(5 * time.Second)
	if len(p.s.groups) != 1 || queries != 2 || p.kinds()[RefusedQuery] != 1 || p.s.asking != 0 {
		t.Errorf("%d groups, %d queries, events %v, %d asked about", len(p.s.groups), queries, p.events, p.s.asking)
	}
}

func TestVLANLimit(t *testing.T) {
	p := newTap(t, Config{MaxVLANs: 3})
	m := report4(2, gmp.IsEx)
	for vid := range uint16(10) {
		p.words(p.s.Local(start, vid+1, MAC{2, 7}, m.Append(nil), nil))
	}
	p.words(p.s.Local(start, 4095, MAC{2, 7}, m.Append(nil), nil))
	if len(p.s.vlans) != 3 || len(p.s.groups) != 3 || p.kinds()[RefusedVLAN] != 1 {
		t.Errorf("%d VLANs, %d groups, events %v", len(p.s.vlans), len(p.s.groups), p.events)
	}
	p.words(p.s.VLAN(start, 0, nil)) // frames without a tag are always served
	if len(p.s.vlans) != 4 {
		t.Error("no room for frames without a tag")
	}
}

// TestBudget: hosts cannot make us remember more than the budget, and what is
// remembered is given back.
func TestBudget(t *testing.T) {
	p := newTap(t, Config{MaxGroups: 4, MaxHosts: 1000})
	all := p.s.budget
	for i := range 4 {
		for mac := range 500 {
			m := report4(3, gmp.Allow, "10.9.0.1", "10.9.0.2", "10.9.0.3")
			m.Records[0].Group = numbered(i)
			p.words(p.s.Local(p.now, 0, MAC{2, 1, 0, 0, byte(mac >> 8), byte(mac)}, m.Append(nil), nil))
			if p.s.budget < 0 {
				t.Fatalf("budget %d", p.s.budget)
			}
		}
	}
	if p.s.budget > 8 {
		t.Errorf("%d of the budget are left: it is not used", p.s.budget)
	}
	p.reports(300 * time.Second)
	if len(p.s.groups) != 0 || p.s.budget != all {
		t.Errorf("%d groups, budget %d of %d after all is over", len(p.s.groups), p.s.budget, all)
	}
}

// TestEventNames: every kind has a name.
func TestEventNames(t *testing.T) {
	seen := map[string]bool{}
	for k := QuerierHere; k <= BadUpdate; k++ {
		if seen[k.String()] || k.String() == "unknown" {
			t.Errorf("event %d is called %q", k, k)
		}
		seen[k.String()] = true
	}
	if got := (BadUpdate + 1).String(); got != "unknown" {
		t.Errorf("an event that there is not is called %q", got)
	}
}

// TestDump compares the whole of a dump.
func TestDump(t *testing.T) {
	p := newTap(t, Config{})
	p.peer(1)
	peers := knows(t, p.s, 2, 3)
	peers[2].tell(wanted(0, wide, include, "10.9.0.1"), router{0, family4})
	peers[3].tell(wanted(5, wide6, exclude))
	p.hears(query("10.0.0.9"), "v3 ALLOW 239.1.2.3 (1)")
	p.hearsFrom(MAC{2, 8}, report4(3, gmp.IsEx, "10.9.0.7"))
	p.hears(report4(3, gmp.Allow, "10.9.0.6"))
	d := p.s.Dump(start.Add(10 * time.Second))
	b, err := json.Marshal(d.VLANs[0].IPv4)
	if want := `{"querier":"10.0.0.9","querierFor":245000000000,"version":3,"router":true,"routerFor":245000000000,"routers":[2],"reporting":true}`; string(b) != want || err != nil {
		t.Errorf("VLAN 0:\n got %s, %v\nwant %s", b, err, want)
	}
	b, err = json.Marshal(d.Groups)
	want := `[{"vid":0,"group":"239.1.2.3","mode":"exclude","version":3,"for":250000000000,` +
		`"sources":[{"addr":"10.9.0.6","for":250000000000,"blocked":false},{"addr":"10.9.0.7","blocked":true}],` +
		`"hosts":["02:07:00:00:00:00","02:08:00:00:00:00"],"peers":[{"port":2,"mode":"include","sources":["10.9.0.1"]}]},` +
		`{"vid":5,"group":"ff15::1234","peers":[{"port":3,"mode":"exclude"}]}]`
	if string(b) != want || err != nil {
		t.Errorf("groups:\n got %s, %v\nwant %s", b, err, want)
	}
	b, _ = json.Marshal(d.Peers)
	if want := `[{"port":1,"groups":0,"refused":0,"flooded":true,"pending":3},`; !strings.HasPrefix(string(b), want) || len(d.Peers) != 3 {
		t.Errorf("peers %s, want %s…", b, want)
	}
	b, _ = json.Marshal(New(Config{}).Dump(start))
	if want := `{"vlans":[],"groups":[],"peers":[],"stats":{`; !strings.HasPrefix(string(b), want) {
		t.Errorf("nothing: %s, want %s…", b, want)
	}
}
