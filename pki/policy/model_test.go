package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// means is the slow way to find out whether a subject means m.
func (p *Policy) means(s subject, m Member) bool {
	switch s.kind {
	case everybody:
		return true
	case byGroup:
		for _, g := range p.groups {
			if g.name == s.text {
				return p.meansAny(g.members, m)
			}
		}
	case byName:
		return slices.ContainsFunc(m.Names, func(n string) bool { return strings.EqualFold(n, s.text) })
	case byPattern:
		return slices.ContainsFunc(m.Names, func(n string) bool {
			label, ok := strings.CutSuffix(strings.ToLower(n), s.text)
			return ok && label != "" && !strings.Contains(label, ".")
		})
	case byRole:
		return slices.ContainsFunc(m.Groups, func(g string) bool { return strings.EqualFold(g, s.text) })
	case byNet:
		return slices.ContainsFunc(m.Addrs, s.net.Contains) ||
			slices.ContainsFunc(m.Routes, func(r netip.Prefix) bool { return s.net.Contains(r.Addr()) && s.net.Bits() <= r.Bits() })
	}
	return false
}

func (p *Policy) meansAny(list []subject, m Member) bool {
	return slices.ContainsFunc(list, func(s subject) bool { return p.means(s, m) })
}

// decide is the slow way to find the rule that decides.
func (p *Policy) decide(t table, a, b Member, through *Member) int {
	for i, r := range p.rules[t] {
		hit := p.meansAny(r.left, a) && p.meansAny(r.right, b) || !r.oneWay && p.meansAny(r.left, b) && p.meansAny(r.right, a)
		if hit && (through == nil || p.meansAny(r.via, *through)) {
			return i
		}
	}
	return -1
}

// A world makes random policies and members out of few words, so that they meet.
type world struct{ *rand.Rand }

func (w world) subject() string {
	n := w.IntN(6)
	return []string{
		"all", fmt.Sprintf("g%d", n), fmt.Sprintf("h%d", n), fmt.Sprintf("h%d.s%d", n, w.IntN(2)), fmt.Sprintf("*.s%d", w.IntN(2)), fmt.Sprintf("role:r%d", n),
		fmt.Sprintf("10.9.0.%d", n), fmt.Sprintf("10.9.%d.0/24", w.IntN(2)), fmt.Sprintf("fd00::%d", n), "fd00::/126", "192.168.0.0/16", fmt.Sprintf("192.168.%d.0/24", n),
	}[w.IntN(12)]
}

func (w world) subjects() string {
	list := []string{w.subject()}
	for w.IntN(2) == 0 {
		list = append(list, w.subject())
	}
	return strings.Join(list, ", ")
}

// pick returns one of the words.
func (w world) pick(words ...string) string { return words[w.IntN(len(words))] }

func (w world) policy() string {
	var b strings.Builder
	fmt.Fprintf(&b, "default %s\n", w.pick("allow", "deny"))
	for i := range 4 {
		members := w.subjects()
		for j := range i + 1 { // no circles
			members = strings.ReplaceAll(members, fmt.Sprintf("g%d", j), "h0")
		}
		fmt.Fprintf(&b, "group g%d = %s\n", i, members)
	}
	for range 1 + w.IntN(100) {
		pair := w.subjects() + " " + w.pick("<->", "->") + " " + w.subjects()
		switch w.IntN(3) {
		case 0:
			fmt.Fprintf(&b, "%s %s\n", w.pick("allow", "deny"), pair)
		case 1:
			fmt.Fprintf(&b, "%s relay: %s through %s\n", w.pick("allow", "deny"), pair, w.subjects())
		case 2:
			fmt.Fprintf(&b, "filter %s: %s %s\n", pair, w.pick("allow", "deny"), w.pick("", "tcp/22", "tcp/20-25, 47", "udp, icmp"))
		}
	}
	return b.String()
}

func (w world) member() Member {
	var m Member
	for w.IntN(3) > 0 {
		m.Names = append(m.Names, w.pick(fmt.Sprintf("h%d", w.IntN(6)), fmt.Sprintf("H%d.s%d", w.IntN(6), w.IntN(2))))
	}
	for w.IntN(3) > 0 {
		m.Addrs = append(m.Addrs, netip.MustParseAddr(w.pick(fmt.Sprintf("10.9.%d.%d", w.IntN(3), w.IntN(6)), fmt.Sprintf("fd00::%d", w.IntN(6)))))
	}
	for w.IntN(3) == 0 {
		m.Groups = append(m.Groups, fmt.Sprintf("r%d", w.IntN(6)))
	}
	for w.IntN(3) == 0 {
		m.Routes = append(m.Routes, netip.MustParsePrefix(w.pick("192.168.0.0/16", "192.168.3.0/24", "192.168.3.64/26", "10.9.0.0/24", "fd00::/64")))
	}
	return m
}

// TestModel compares what the index finds with the slow way, and the canonical
// text with the original.
func TestModel(t *testing.T) {
	w := world{rand.New(rand.NewPCG(1, 2))}
	decided := map[bool]int{}
	for range 300 {
		p := parse(t, w.policy())
		again := parse(t, p.Text())
		if again.Text() != p.Text() || again.ID() != p.ID() {
			t.Fatalf("the canonical text reads as another policy:\n%s\n%s", p.Text(), again.Text())
		}
		for range 30 {
			a, b, v := w.member(), w.member(), w.member()
			want := p.talkDefault.decision()
			if i := p.decide(talkTable, a, b, nil); i >= 0 {
				want = p.rules[talkTable][i].decision()
			}
			decided[want.Line > 1]++
			got := p.Talk(a, b)
			if got != want {
				t.Fatalf("%s\n%+v\n%+v\n%v, want %v", p.Text(), a, b, got, want)
			}
			if other := again.Talk(a, b); other.Allowed != got.Allowed {
				t.Fatalf("the canonical text decides %v, the text %v\n%s", other, got, p.Text())
			}
			if got.Allowed {
				if want = noRelay; p.decide(relayTable, a, b, &v) >= 0 {
					want = p.rules[relayTable][p.decide(relayTable, a, b, &v)].decision()
				}
			}
			if got := p.Relay(a, b, v); got != want {
				t.Fatalf("%s\n%+v\n%+v\nthrough %+v\n%v, want %v", p.Text(), a, b, v, got, want)
			}
			checkFilter(t, w, p, a, b)
		}
	}
	if decided[true] < 1000 || decided[false] < 1000 {
		t.Errorf("decided by rules and by default: %v, want both often", decided)
	}
}

// filterMeans is the slow way to find out whether a side of a filter rule means
// a packet of m with the address addr.
func (p *Policy) filterMeans(list []subject, m Member, addr netip.Addr) bool {
	return slices.ContainsFunc(list, func(s subject) bool {
		switch s.kind {
		case byGroup:
			i := slices.IndexFunc(p.groups, func(g group) bool { return g.name == s.text })
			return p.filterMeans(p.groups[i].members, m, addr)
		case byNet:
			return s.net.Contains(addr)
		}
		return p.means(s, m)
	})
}

// checkFilter compares Filter with the slow way, for one packet from an address
// of a to one of b.
func checkFilter(t *testing.T, w world, p *Policy, a, b Member) {
	t.Helper()
	from, ok1 := w.addr(a)
	to, ok2 := w.addr(b)
	if !ok1 || !ok2 {
		return
	}
	want := 0
	for _, r := range p.rules[filterTable] {
		if p.filterMeans(r.left, a, from) && p.filterMeans(r.right, b, to) || !r.oneWay && p.filterMeans(r.right, a, from) && p.filterMeans(r.left, b, to) {
			want = r.line
			break
		}
	}
	got := 0
	in := func(list []netip.Prefix, addr netip.Addr) bool {
		return list == nil || slices.ContainsFunc(list, func(n netip.Prefix) bool { return n.Contains(addr) })
	}
	for _, r := range p.Filter(a, b) {
		if in(r.From, from) && in(r.To, to) {
			got = r.Line
			break
		}
	}
	if got != want {
		t.Fatalf("%s\n%+v\n%+v\na packet from %v to %v: line %d, want %d", p.Text(), a, b, from, to, got, want)
	}
}

// addr returns an address that m may send from.
func (w world) addr(m Member) (netip.Addr, bool) {
	list := m.networks()
	if len(list) == 0 {
		return netip.Addr{}, false
	}
	n := list[w.IntN(len(list))]
	if n.IsSingleIP() || w.IntN(2) == 0 {
		return n.Addr(), true
	}
	b := n.Addr().AsSlice()
	for i := n.Bits(); i < len(b)*8; i++ {
		b[i/8] |= byte(w.IntN(2)) << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a, true
}

// TestShadowModel checks that no pair ever reaches a rule of which a warning
// says so.
func TestShadowModel(t *testing.T) {
	w := world{rand.New(rand.NewPCG(3, 4))}
	warned := 0
	for range 300 {
		p := parse(t, w.policy())
		dead := map[int]bool{}
		for _, x := range p.Warnings() {
			if strings.HasPrefix(x.Text, "no pair reaches") {
				dead[x.Line] = true
			}
		}
		warned += len(dead)
		for range 50 {
			a, b, v := w.member(), w.member(), w.member()
			if d := p.Talk(a, b); d.Line > 1 && dead[d.Line] {
				t.Fatalf("%s\nwarned of line %d, and a pair reached it: %+v, %+v", p.Text(), d.Line, a, b)
			}
			if i := p.decide(relayTable, a, b, &v); i >= 0 && dead[p.rules[relayTable][i].line] {
				t.Fatalf("%s\nwarned of line %d, and a relay reached it", p.Text(), p.rules[relayTable][i].line)
			}
		}
	}
	if warned < 100 {
		t.Errorf("%d rules that no pair reaches, want many", warned)
	}
}
