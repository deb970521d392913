package mcast

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// knows makes a snooper know peers that have told all they want.
func knows(t testing.TB, s *Snooper, ports ...uint32) map[uint32]*teller {
	t.Helper()
	out := map[uint32]*teller{}
	for _, p := range ports {
		s.PeerUp(start, p, nil)
		out[p] = &teller{s: s, port: p}
		out[p].tell()
	}
	return out
}

// A teller is a peer that tells.
type teller struct {
	s    *Snooper
	port uint32
	seq  uint32
}

func (x *teller) tell(list ...any) {
	x.seq++
	u := update{stream: 1, seq: x.seq, complete: true}
	for _, e := range list {
		switch e := e.(type) {
		case entry:
			u.entries = append(u.entries, e)
		case router:
			u.routers = append(u.routers, e)
		}
	}
	x.s.Peer(start, x.port, u.append(nil), nil)
}

func wanted(vid uint16, group string, m mode, sources ...string) entry {
	return entry{key{vid, ip(group)}, m, ips(sources...)}
}

// TestView asks for ports of all kinds.
func TestView(t *testing.T) {
	s := New(Config{})
	peers := knows(t, s, 1, 2, 3, 4, 5)
	peers[1].tell(wanted(0, wide, exclude))
	peers[2].tell(wanted(0, wide, include, "10.9.0.1", "10.9.0.2"))
	peers[3].tell(wanted(0, wide, exclude, "10.9.0.1"), wanted(0, wide6, exclude))
	peers[4].tell(router{0, family4})
	peers[5].tell(wanted(5, wide, exclude), router{allVLANs, family6}, wanted(0, "232.1.1.1", include, "10.9.0.1"))
	for _, c := range []struct {
		vid           uint16
		group, source string
		want          string
	}{
		{0, wide, "10.9.0.1", "[1 2 4] false"},
		{0, wide, "10.9.0.2", "[1 2 3 4] false"},
		{0, wide, "10.9.0.3", "[1 3 4] false"},
		{5, wide, "10.9.0.3", "[5] false"},
		{6, wide, "10.9.0.3", "[] false"},
		{0, "239.129.2.3", "10.9.0.3", "[4] false"},
		{0, "232.1.1.1", "10.9.0.1", "[4 5] false"},
		{0, "232.1.1.1", "10.9.0.2", "[4] false"},
		{0, wide6, "2001:db8::1", "[3 5] false"},
		{9, wide6, "2001:db8::1", "[5] false"},
		{0, "224.0.0.5", "10.9.0.3", "[] true"},
		{0, "ff02::1", "fe80::1", "[] true"},
		{0, "ff02::fb", "fe80::1", "[] true"},
		{0, "ff01::fb", "fe80::1", "[] false"},
	} {
		ports, flood := s.View().Ports(c.vid, ip(c.group), ip(c.source))
		if got := fmt.Sprint(ports, flood); got != c.want {
			t.Errorf("VLAN %d, %s from %s: %s, want %s", c.vid, c.group, c.source, got, c.want)
		}
	}
}

func TestUnregistered(t *testing.T) {
	for _, c := range []struct {
		policy Policy
		want   string
	}{{Routers, "[2] false"}, {Flood, "[] true"}, {Drop, "[] false"}} {
		s := New(Config{Unregistered: c.policy})
		peers := knows(t, s, 1, 2)
		peers[2].tell(router{0, family4})
		ports, flood := s.View().Ports(0, ip(wide), ip(sender))
		if got := fmt.Sprint(ports, flood); got != c.want {
			t.Errorf("policy %d: %s, want %s", c.policy, got, c.want)
		}
		peers[1].tell(wanted(0, wide, exclude))
		if ports, flood := s.View().Ports(0, ip(wide), ip(sender)); !slices.Equal(ports, []uint32{1, 2}) || flood {
			t.Errorf("policy %d, joined: %v, %v, want 1 and the router", c.policy, ports, flood)
		}
	}
}

// TestViewImmutable: a view stays as it was; nothing new makes no new view.
func TestViewImmutable(t *testing.T) {
	s := New(Config{})
	peers := knows(t, s, 1, 2)
	peers[1].tell(wanted(0, wide, exclude))
	first := s.View()
	if s.Advance(start.Add(time.Millisecond), nil); s.View() != first {
		t.Error("a new view, and nothing has changed")
	}
	peers[1].tell(wanted(0, wide, exclude))
	if s.View() != first {
		t.Error("a new view after the same entry")
	}
	peers[2].tell(wanted(0, wide, exclude))
	peers[1].tell(wanted(0, wide, gone))
	second := s.View()
	s.PeerDown(start, 2, nil)
	for i, v := range []*View{first, second, s.View()} {
		want := []string{"[1]", "[2]", "[]"}[i]
		if p, _ := v.Ports(0, ip(wide), ip(sender)); fmt.Sprint(p) != want {
			t.Errorf("view %d: %v, want %s", i, p, want)
		}
	}
}

// TestViewAgainstReference changes what peers want at random, and compares each view,
// most of which are made from the one before, with what the peers want.
func TestViewAgainstReference(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	s := New(Config{})
	peers := knows(t, s, 1, 2, 3, 4)
	groups := []string{wide, "239.129.2.3", "239.1.2.4", "239.2.2.3"}
	state := map[uint32]map[string]want{}
	routers := map[uint32]bool{}
	for p := range peers {
		state[p] = map[string]want{}
	}
	for range 3000 {
		port := uint32(r.IntN(4) + 1)
		group := groups[r.IntN(len(groups))]
		w := want{mode: mode(r.IntN(3))}
		for _, a := range letters("abc") {
			if r.IntN(2) == 0 {
				w.sources = append(w.sources, a)
			}
		}
		if w.mode == gone || w.mode == include && len(w.sources) == 0 {
			w = want{}
		}
		state[port][group] = w
		if r.IntN(50) == 0 {
			routers[port] = !routers[port]
			peers[port].tell(router{0, map[bool]uint8{true: family4}[routers[port]]})
		}
		peers[port].tell(entry{key{0, ip(group)}, w.mode, w.sources})
		for _, source := range letters("abcd") {
			var want []uint32
			for p := range uint32(4) {
				if routers[p+1] || state[p+1][group].takes(source) {
					want = append(want, p+1)
				}
			}
			if got, flood := s.View().Ports(0, ip(group), source); !slices.Equal(got, want) || flood {
				t.Fatalf("%s from %v: %v, %v, want %v", group, source, got, flood, want)
			}
		}
	}
}

// TestViewManySources: sources beyond what a view tells apart are not lost.
func TestViewManySources(t *testing.T) {
	s := New(Config{})
	for port := range uint32(6) {
		var list []netip.Addr
		for i := range maxEntrySources {
			list = append(list, netip.AddrFrom4([4]byte{10, 9, byte(port), byte(i)}))
		}
		knows(t, s, port)[port].tell(entry{key{0, ip(wide)}, include, list})
		ports, _ := s.View().Ports(0, ip(wide), netip.AddrFrom4([4]byte{10, 9, byte(port), 1}))
		if !slices.Contains(ports, port) || port < 4 && len(ports) != 1 {
			t.Errorf("with %d peers: %v", port+1, ports)
		}
	}
}

// big makes a snooper with 1,000 groups, each joined by 50 peers.
func big(t testing.TB) (*Snooper, map[uint32]*teller) {
	t.Helper()
	s := New(Config{})
	var ports []uint32
	for p := range uint32(50) {
		ports = append(ports, p)
	}
	peers := knows(t, s, ports...)
	for _, p := range ports {
		for from := 0; from < 1000; from += 50 {
			var list []any
			for i := from; i < from+50; i++ {
				e := entry{key{0, numbered(i)}, exclude, nil}
				if i%10 == 0 {
					e.mode, e.sources = include, letters("ab")
				}
				list = append(list, e)
			}
			peers[p].tell(list...)
		}
	}
	return s, peers
}

func TestPortsAllocs(t *testing.T) {
	s, _ := big(t)
	v := s.View()
	source, other := letters("a")[0], letters("z")[0]
	if n := testing.AllocsPerRun(100, func() {
		v.Ports(0, numbered(10), source)
		v.Ports(0, numbered(11), other)
		v.Ports(0, numbered(5000), other)
		v.Ports(0, gmp.AllHosts, other)
	}); n != 0 {
		t.Errorf("Ports allocates %v times", n)
	}
	if p, _ := v.Ports(0, numbered(10), source); len(p) != 50 {
		t.Errorf("goes to %d peers, want 50", len(p))
	}
}

func BenchmarkPorts(b *testing.B) {
	s, _ := big(b)
	v := s.View()
	source := letters("a")[0]
	groups := make([]netip.Addr, 1000)
	for i := range groups {
		groups[i] = numbered(i)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		v.Ports(0, groups[i], source)
		if i++; i == len(groups) {
			i = 0
		}
	}
}

// BenchmarkViewChange is a new view after one peer has joined or left one group.
func BenchmarkViewChange(b *testing.B) {
	s, peers := big(b)
	s.View()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		peers[7].tell(entry{key{0, numbered(1)}, mode(i % 2 * 2), nil})
		s.View()
	}
}

// BenchmarkViewAll is a new view after something about all groups, as a new peer.
func BenchmarkViewAll(b *testing.B) {
	s, _ := big(b)
	b.ReportAllocs()
	for b.Loop() {
		s.views.all = true
		s.View()
	}
}
