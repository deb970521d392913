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

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// sources are addresses with one letter as their name.
func letters(names string) (out []netip.Addr) {
	for _, c := range names {
		out = append(out, netip.AddrFrom4([4]byte{192, 0, 2, byte(c)}))
	}
	return out
}

func names(list []netip.Addr) string {
	var b strings.Builder
	for _, a := range list {
		b.WriteByte(a.As4()[3])
	}
	return b.String()
}

// Times of the tables.
const (
	tableGroup  = 100 * time.Second // group timer before the report
	tableSource = 50 * time.Second  // timers of sources before it
	tableGMI    = 260 * time.Second // GMI after it
)

// state makes a group from text: "IN ab", or "EX ab|cd".
func state(text string) *group {
	g := &group{key: key{0, ip("239.1.2.3")}, sources: map[netip.Addr]*source{}}
	kind, rest, _ := strings.Cut(text, " ")
	x, y, _ := strings.Cut(rest, "|")
	for _, a := range letters(x) {
		g.sources[a] = &source{timer: start.Add(tableSource)}
	}
	for _, a := range letters(y) {
		g.sources[a] = &source{}
	}
	if g.exclude = kind == "EX"; g.exclude {
		g.timer = start.Add(tableGroup)
	}
	return g
}

// written is the opposite of state. Each source is followed by its timer, unless
// that is the one from before: ! for GMI, = for the group timer of before.
func written(g *group) string {
	var b strings.Builder
	for _, a := range g.wanted() {
		b.WriteString(names([]netip.Addr{a}))
		switch g.sources[a].timer.Sub(start) {
		case tableSource:
		case tableGMI:
			b.WriteByte('!')
		case tableGroup:
			b.WriteByte('=')
		default:
			b.WriteByte('?')
		}
	}
	if !g.exclude {
		return "IN " + b.String()
	}
	timer := ""
	if g.timer.Sub(start) == tableGMI {
		timer = "!"
	}
	return "EX" + timer + " " + b.String() + "|" + names(g.blocked())
}

// transitions are the tables of RFC 3376 sections 6.4.1 and 6.4.2, which are those of
// RFC 3810 sections 7.4.1 and 7.4.2 too.
var transitions = []struct {
	from, report, sources string
	to, ask               string // ask: Q(G,sources), and G for Q(G)
}{
	// INCLUDE (A) IS_IN (B): INCLUDE (A+B); (B)=GMI
	{"IN ab", "IS_IN", "bc", "IN ab!c!", ""},
	{"IN ab", "IS_IN", "", "IN ab", ""},
	{"IN ", "IS_IN", "a", "IN a!", ""},
	// INCLUDE (A) IS_EX (B): EXCLUDE (A*B,B-A); (B-A)=0; Delete (A-B); Group Timer=GMI
	{"IN ab", "IS_EX", "bc", "EX! b|c", ""},
	{"IN ab", "IS_EX", "", "EX! |", ""},
	{"IN ", "IS_EX", "ab", "EX! |ab", ""},
	// EXCLUDE (X,Y) IS_IN (A): EXCLUDE (X+A,Y-A); (A)=GMI
	{"EX ab|cd", "IS_IN", "bcx", "EX ab!c!x!|d", ""},
	{"EX ab|cd", "IS_IN", "", "EX ab|cd", ""},
	// EXCLUDE (X,Y) IS_EX (A): EXCLUDE (A-Y,Y*A); (A-X-Y)=GMI; Delete (X-A), (Y-A); Group Timer=GMI
	{"EX ab|cd", "IS_EX", "bcx", "EX! bx!|c", ""},
	{"EX ab|cd", "IS_EX", "", "EX! |", ""},
	{"EX |", "IS_EX", "a", "EX! a!|", ""},
	// INCLUDE (A) ALLOW (B): INCLUDE (A+B); (B)=GMI
	{"IN ab", "ALLOW", "bc", "IN ab!c!", ""},
	{"IN ab", "ALLOW", "", "IN ab", ""},
	// INCLUDE (A) BLOCK (B): INCLUDE (A); Send Q(G,A*B)
	{"IN ab", "BLOCK", "bc", "IN ab", "b"},
	{"IN ab", "BLOCK", "cd", "IN ab", ""},
	// INCLUDE (A) TO_EX (B): EXCLUDE (A*B,B-A); (B-A)=0; Delete (A-B); Send Q(G,A*B); Group Timer=GMI
	{"IN ab", "TO_EX", "bc", "EX! b|c", "b"},
	{"IN ab", "TO_EX", "", "EX! |", ""},
	// INCLUDE (A) TO_IN (B): INCLUDE (A+B); (B)=GMI; Send Q(G,A-B)
	{"IN ab", "TO_IN", "bc", "IN ab!c!", "a"},
	{"IN ab", "TO_IN", "", "IN ab", "ab"},
	// EXCLUDE (X,Y) ALLOW (A): EXCLUDE (X+A,Y-A); (A)=GMI
	{"EX ab|cd", "ALLOW", "bcx", "EX ab!c!x!|d", ""},
	// EXCLUDE (X,Y) BLOCK (A): EXCLUDE (X+(A-Y),Y); (A-X-Y)=Group Timer; Send Q(G,A-Y)
	{"EX ab|cd", "BLOCK", "bcx", "EX abx=|cd", "bx"},
	{"EX ab|cd", "BLOCK", "", "EX ab|cd", ""},
	// EXCLUDE (X,Y) TO_EX (A): EXCLUDE (A-Y,Y*A); (A-X-Y)=Group Timer; Delete (X-A), (Y-A); Send Q(G,A-Y); Group Timer=GMI
	{"EX ab|cd", "TO_EX", "bcx", "EX! bx=|c", "bx"},
	{"EX ab|cd", "TO_EX", "", "EX! |", ""},
	// EXCLUDE (X,Y) TO_IN (A): EXCLUDE (X+A,Y-A); (A)=GMI; Send Q(G,X-A); Send Q(G)
	{"EX ab|cd", "TO_IN", "bcx", "EX ab!c!x!|d", "aG"},
	{"EX ab|cd", "TO_IN", "", "EX ab|cd", "abG"},
}

var recordTypes = map[string]gmp.RecordType{"IS_IN": gmp.IsIn, "IS_EX": gmp.IsEx, "TO_IN": gmp.ToIn, "TO_EX": gmp.ToEx, "ALLOW": gmp.Allow, "BLOCK": gmp.Block}

func TestTransitions(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range transitions {
		seen[c.from[:2]+c.report] = true
		g := state(c.from)
		a, ok := g.report(recordTypes[c.report], letters(c.sources), start.Add(tableGMI), 64)
		ask := names(a.sources)
		if a.group {
			ask += "G"
		}
		if got := written(g); got != c.to || ask != c.ask || !ok {
			t.Errorf("%s, %s (%s): %s, asks %q, want %s and %q", c.from, c.report, c.sources, got, ask, c.to, c.ask)
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d of 12 cases have a row", len(seen))
	}
}

// TestTransitionLimits: what finds no room takes nobody's place.
func TestTransitionLimits(t *testing.T) {
	for _, c := range []struct {
		from, report, sources, to string
		ok                        bool
	}{
		{"IN ab", "ALLOW", "bc", "IN ab!", false},
		{"IN ab", "ALLOW", "ab", "IN a!b!", true},
		{"IN ab", "TO_EX", "bcd", "EX! b|c", true}, // fewer are blocked than could be
		{"EX a|b", "ALLOW", "bc", "EX ab!|", false},
		{"EX a|b", "BLOCK", "c", "EX a|b", true},
	} {
		g := state(c.from)
		_, ok := g.report(recordTypes[c.report], letters(c.sources), start.Add(tableGMI), 2)
		if got := written(g); got != c.to || ok != c.ok {
			t.Errorf("%s, %s (%s), room for 2: %s, %v, want %s, %v", c.from, c.report, c.sources, got, ok, c.to, c.ok)
		}
	}
}

// TestExpire is RFC 3376 sections 6.2.2, 6.2.3 and 6.5.
func TestExpire(t *testing.T) {
	for _, c := range []struct {
		from string
		at   time.Duration
		to   string
	}{
		{"IN ab", tableSource - 1, "IN ab"},
		{"IN ab", tableSource, "IN "},
		{"EX ab|c", tableSource, "EX |abc"},
		{"EX |c", tableGroup - 1, "EX |c"},
		{"EX |c", tableGroup, "IN "},
	} {
		g := state(c.from)
		g.expire(start.Add(c.at))
		if got := written(g); got != c.to {
			t.Errorf("%s after %v: %s, want %s", c.from, c.at, got, c.to)
		}
	}
	g := state("EX a|c") // a was asked for again: it stays when the mode goes
	g.sources[letters("a")[0]].timer = start.Add(tableGMI)
	g.expire(start.Add(tableGroup))
	if got := written(g); got != "IN a!" {
		t.Errorf("the group's timer ran out: %s, want IN a!", got)
	}
}

// TestCompat is RFC 3376 section 7.3.2 and RFC 3810 section 8.3.2.
func TestCompat(t *testing.T) {
	for _, c := range []struct {
		v1, v2 bool
		kind   gmp.RecordType
		want   string // sources that count; "-": the record means nothing
	}{
		{false, false, gmp.Block, "ab"}, {false, false, gmp.ToEx, "ab"}, {false, false, gmp.ToIn, "ab"},
		{false, true, gmp.Block, "-"}, {false, true, gmp.ToEx, ""}, {false, true, gmp.ToIn, "ab"}, {false, true, gmp.Allow, "ab"},
		{true, false, gmp.Block, "-"}, {true, false, gmp.ToEx, ""}, {true, false, gmp.ToIn, "-"}, {true, true, gmp.IsIn, "ab"},
	} {
		g := state("IN ")
		if c.v1 {
			g.v1 = start.Add(1)
		}
		if c.v2 {
			g.v2 = start.Add(1)
		}
		sources, ok := g.compat(start, c.kind, letters("ab"))
		got := names(sources)
		if !ok {
			got = "-"
		}
		if got != c.want {
			t.Errorf("v1 %v, v2 %v, %v: sources %q, want %q", c.v1, c.v2, c.kind, got, c.want)
		}
		if _, ok := g.compat(start.Add(1), gmp.Block, nil); !ok {
			t.Error("older hosts are gone, and BLOCK still means nothing")
		}
	}
}

// TestMerge is RFC 3376 section 3.2, against all sources one by one.
func TestMerge(t *testing.T) {
	all := letters("abcd")
	var wants []want
	for bits := range 8 {
		var list []netip.Addr
		for i, a := range all[:3] {
			if bits>>i&1 != 0 {
				list = append(list, a)
			}
		}
		wants = append(wants, want{exclude, list})
		if len(list) > 0 {
			wants = append(wants, want{include, list})
		}
	}
	wants = append(wants, want{})
	for _, a := range wants {
		for _, b := range wants {
			m := a.merge(b)
			for _, x := range all {
				if got, want := m.takes(x), a.takes(x) || b.takes(x); got != want {
					t.Errorf("%v and %v: takes %v: %v, want %v", a, b, x, got, want)
				}
			}
			if !slices.IsSortedFunc(m.sources, netip.Addr.Compare) {
				t.Errorf("%v and %v: %v is not sorted", a, b, m)
			}
		}
	}
}

// TestHosts follows what hosts want one by one.
func TestHosts(t *testing.T) {
	var h hosts
	budget := 10
	one, two := MAC{2, 1}, MAC{2, 2}
	until := start.Add(time.Minute)
	for i, c := range []struct {
		mac     MAC
		kind    gmp.RecordType
		sources string
		want    string // of hosts one and two
		budget  int
	}{
		{one, gmp.Allow, "ab", "include ab, -", 7},
		{two, gmp.ToEx, "b", "include ab, exclude b", 5},
		{one, gmp.Block, "a", "include b, exclude b", 6},
		{two, gmp.Allow, "b", "include b, exclude ", 7},
		{two, gmp.Block, "c", "include b, exclude c", 6},
		{two, gmp.IsIn, "", "include b, -", 8},
		{one, gmp.Block, "b", "-, -", 10},
	} {
		h.note(c.mac, c.kind, letters(c.sources), until, 2, &budget)
		text := func(x *host) string {
			if x == nil {
				return "-"
			}
			return x.mode.String() + " " + names(x.sources)
		}
		if got := text(h.by[one]) + ", " + text(h.by[two]); got != c.want || budget != c.budget {
			t.Errorf("step %d: %q, budget %d, want %q and %d", i+1, got, budget, c.want, c.budget)
		}
	}
	h.note(one, gmp.Allow, letters("ab"), start.Add(time.Second), 2, &budget)
	h.expire(start.Add(time.Second), &budget)
	if len(h.by) != 0 || budget != 10 {
		t.Errorf("%d hosts, budget %d after their time, want none and 10", len(h.by), budget)
	}
	for i := range 3 {
		h.note(MAC{2, 9, byte(i)}, gmp.IsEx, nil, until, 2, &budget)
	}
	if !h.blind || len(h.by) != 2 {
		t.Errorf("%d hosts, blind %v, want 2 and blind", len(h.by), h.blind)
	}
	h.clear(&budget)
	budget = 2
	h.note(one, gmp.Allow, letters("abcd"), until, 2, &budget)
	if !h.blind || budget < 0 {
		t.Errorf("blind %v, budget %d: sources beyond the budget were noted", h.blind, budget)
	}
}

func (w want) String() string { return fmt.Sprintf("%v(%s)", w.mode, names(w.sources)) }
