package simnet

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestGrid(t *testing.T) {
	names := map[string]bool{}
	for _, c := range Grid() {
		if names[c.String()] {
			t.Errorf("two NATs are called %q", c)
		}
		names[c.String()] = true
		if err := c.check(addr("203.0.113.1")); err != nil {
			t.Errorf("%v: %v", c, err)
		}
	}
	if got, want := len(names), 3*3*4*3; got != want {
		t.Errorf("%d NATs, want %d", got, want)
	}
}

// A natRig is a NAT between two hosts and three server endpoints.
type natRig struct {
	t          *testing.T
	n          *Net
	cfg        NAT
	home       *Site
	s11, s12   *Conn // one server address, two ports
	s21        *Conn // another address
	aHost, bee *Host
}

func newNATRig(t *testing.T, n *Net, cfg NAT) *natRig {
	home := n.Internet().Behind("203.0.113.1", cfg)
	return &natRig{
		t:     t,
		n:     n,
		cfg:   cfg,
		home:  home,
		s11:   n.Internet().Listen("198.51.100.1:1"),
		s12:   n.Internet().Listen("198.51.100.1:2"),
		s21:   n.Internet().Listen("198.51.100.2:1"),
		aHost: home.Host("192.168.1.2"),
		bee:   home.Host("192.168.1.3"),
	}
}

func (l *natRig) open(h *Host, port uint16) *Conn {
	l.t.Helper()
	c, err := h.Listen(netip.AddrPortFrom(h.Addrs()[0], port))
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// looksIndependent reports whether one socket has one public port, seen from
// anywhere.
func (l *natRig) looksIndependent() bool {
	return l.cfg.Mapping == EndpointIndependent || l.cfg.Ports == Overloading
}

// checkMapping checks RFC 4787 section 4.1 and 4.2 by what servers see.
func (l *natRig) checkMapping() {
	t := l.t
	a := l.open(l.aHost, 5000)
	p11, p12, p21 := learn(t, a, l.s11), learn(t, a, l.s12), learn(t, a, l.s21)
	for _, p := range []netip.AddrPort{p11, p12, p21} {
		if p.Addr() != addr("203.0.113.1") || p.Port() < 1024 {
			t.Errorf("seen at %v, want the public address and a port from 1024 on", p)
		}
	}
	if got, want := p11 == p21, l.looksIndependent(); got != want {
		t.Errorf("seen at %v and, by another address, at %v", p11, p21)
	}
	if got, want := p11 == p12, l.looksIndependent() || l.cfg.Mapping == AddressDependent; got != want {
		t.Errorf("seen at %v and, by another port, at %v", p11, p12)
	}
	if again := learn(t, a, l.s11); again != p11 {
		t.Errorf("seen at %v, then at %v", p11, again)
	}
	seen := []uint16{p11.Port()}
	for _, p := range []netip.AddrPort{p12, p21} {
		if !slices.Contains(seen, p.Port()) {
			seen = append(seen, p.Port())
		}
	}
	l.checkPorts(seen)
	l.checkTwin(p11.Port())
}

// checkPorts checks the public ports that host a at port 5000 got, in order.
func (l *natRig) checkPorts(seen []uint16) {
	for i, p := range seen {
		switch l.cfg.Ports {
		case Preserving, Overloading:
			if (p == 5000) != (i == 0) {
				l.t.Errorf("port %d of %v: the private port is 5000 and free only at first", i, seen)
			}
		case Sequential:
			if i > 0 && p != seen[i-1]+1 {
				l.t.Errorf("ports %v do not follow each other", seen)
			}
		case Random:
			if p == 5000 || i > 0 && p == seen[i-1]+1 {
				l.t.Errorf("ports %v are not random", seen)
			}
		}
	}
}

// checkTwin uses the private port of host a on another host, where a sent to
// s11, s12 and s21 before and was seen by s11 at port p.
func (l *natRig) checkTwin(p uint16) {
	b := l.open(l.bee, 5000)
	other := l.n.Internet().Listen("198.51.100.3:1")
	if got := learn(l.t, b, other).Port(); (got == 5000) != (l.cfg.Ports == Overloading) {
		l.t.Errorf("a second host with private port 5000, towards a new remote endpoint, got port %d", got)
	}
	got := learn(l.t, b, l.s11).Port()
	if got == p {
		l.t.Errorf("two hosts have port %d towards one remote endpoint", p)
	}
	if again := learn(l.t, l.open(l.aHost, 5009), l.s11).Port(); again == got || again == p {
		l.t.Errorf("a third socket got port %d, which is in use", again)
	}
}

// checkFiltering checks RFC 4787 section 5 by what comes in.
func (l *natRig) checkFiltering() {
	t := l.t
	c := l.open(l.aHost, 5100)
	public := learn(t, c, l.s11)
	for _, x := range []struct {
		name string
		from *Conn
		pass bool
	}{
		{"the contacted endpoint", l.s11, true},
		{"another port of it", l.s12, l.cfg.Filtering <= AddressDependent},
		{"another address", l.s21, l.cfg.Filtering == EndpointIndependent},
	} {
		refused := l.n.Count(Refused)
		send(t, x.from, public, x.name)
		gs := drain(c)
		if got := len(gs) == 1; got != x.pass {
			t.Errorf("from %s: passes = %v, want %v", x.name, got, x.pass)
		}
		if got := l.n.Count(Refused) - refused; (got == 1) == x.pass {
			t.Errorf("from %s: refused %d times", x.name, got)
		}
		if x.pass && len(gs) == 1 && gs[0].from != x.from.LocalAddr() {
			t.Errorf("from %s: came from %v, want %v", x.name, gs[0].from, x.from.LocalAddr())
		}
	}
	none := l.n.Count(NoMapping)
	send(t, l.s11, netip.AddrPortFrom(public.Addr(), 1030), "nobody has this port")
	if got := drain(c); len(got) != 0 || l.n.Count(NoMapping) != none+1 {
		t.Errorf("to a port without mapping: %v came in, %d times no mapping", got, l.n.Count(NoMapping)-none)
	}
}

// checkHairpin checks RFC 4787 section 6 with two hosts that punch holes
// towards each other's public endpoints, as s11 sees them.
func (l *natRig) checkHairpin() {
	t := l.t
	a, b := l.open(l.aHost, 5200), l.open(l.bee, 5201)
	publicA, publicB := learn(t, a, l.s11), learn(t, b, l.s11)
	send(t, a, publicB, "first")
	first := drain(b)
	send(t, b, publicA, "second")
	second := drain(a)
	send(t, a, publicB, "third")
	third := drain(b)

	on := l.cfg.Hairpin != NoHairpinning
	open := l.cfg.Filtering == EndpointIndependent
	for _, x := range []struct {
		name string
		got  []got
		pass bool
	}{
		// b has not sent to a yet.
		{"first", first, on && open},
		// a has sent to b's public endpoint, from its own if that is one.
		{"second", second, on && (open || l.looksIndependent())},
		{"third", third, on && (open || l.looksIndependent())},
	} {
		if got := len(x.got) == 1; got != x.pass {
			t.Errorf("hairpin, %s: passes = %v, want %v", x.name, got, x.pass)
		}
	}
	if len(second) == 0 {
		return
	}
	from := second[0].from
	switch {
	case l.cfg.Hairpin == InternalSource && from != b.LocalAddr():
		t.Errorf("hairpin: came from %v, want the private endpoint %v", from, b.LocalAddr())
	case l.cfg.Hairpin == ExternalSource && (from.Addr() != publicB.Addr() || (from == publicB) != l.looksIndependent()):
		t.Errorf("hairpin: came from %v, want the public endpoint %v", from, publicB)
	}
}

// TestNATGrid measures every NAT that can be described, from both sides.
func TestNATGrid(t *testing.T) {
	for i, cfg := range Grid() {
		t.Run(cfg.String(), func(t *testing.T) {
			for name, check := range map[string]func(*natRig){
				"mapping":   (*natRig).checkMapping,
				"filtering": (*natRig).checkFiltering,
				"hairpin":   (*natRig).checkHairpin,
			} {
				bubble(t, uint64(i), func(t *testing.T, n *Net) {
					check(newNATRig(t, n, cfg))
					if t.Failed() {
						t.Logf("checked %s", name)
					}
				})
			}
		})
	}
}

func TestNATLifetime(t *testing.T) {
	for _, refresh := range []bool{false, true} {
		bubble(t, 1, func(t *testing.T, n *Net) {
			server := n.Internet().Listen("198.51.100.1:1")
			home := n.Internet().Behind("203.0.113.1", NAT{
				Filtering: AddressDependent, Ports: Random, Lifetime: 10 * time.Second, RefreshInbound: refresh,
			})
			c := home.Listen("192.168.1.2:5000")
			public := learn(t, c, server)
			for range 3 { // outbound packets refresh
				time.Sleep(8 * time.Second)
				if got := learn(t, c, server); got != public {
					t.Errorf("after 9s, seen at %v, want %v", got, public)
				}
			}
			time.Sleep(8 * time.Second)
			send(t, server, public, "in time")
			expect(t, "after 9s", c, server.LocalAddr(), "in time")
			time.Sleep(7 * time.Second)
			send(t, server, public, "late")
			if got := len(drain(c)) == 1; got != refresh {
				t.Errorf("17s after the last packet from inside, 8s after one from outside: passes = %v, want %v", got, refresh)
			}
			time.Sleep(11 * time.Second)
			if got := home.Mappings(); got != 0 {
				t.Errorf("%d mappings are left", got)
			}
			if got := learn(t, c, server); got == public {
				t.Error("the new mapping has the old random port")
			}
		})
	}
}

func TestNATDefaultLifetime(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server := n.Internet().Listen("198.51.100.1:1")
		home := n.Internet().Behind("203.0.113.1", NAT{})
		learn(t, home.Listen("192.168.1.2:5000"), server)
		time.Sleep(29 * time.Second)
		if got := home.Mappings(); got != 1 {
			t.Errorf("after 30s: %d mappings, want 1", got)
		}
		time.Sleep(time.Second)
		if got := home.Mappings(); got != 0 {
			t.Errorf("after 31s: %d mappings, want none", got)
		}
	})
}

// TestNATForgetsPeers checks that a mapping that is kept alive towards one peer
// does not stay open for another.
func TestNATForgetsPeers(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server, peer := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("198.51.100.2:1")
		c := n.Internet().Behind("203.0.113.1", NAT{Filtering: AddressDependent}).Listen("192.168.1.2:5000")
		public := learn(t, c, peer)
		for range 4 {
			time.Sleep(9 * time.Second)
			learn(t, c, server)
		}
		send(t, peer, public, "after 40s")
		rest()
		counts(t, n, map[Verdict]int{Refused: 1})
		if got := waits(c); len(got) != 0 {
			t.Errorf("%v came in", got)
		}
	})
}

func TestNATTableFull(t *testing.T) {
	for _, c := range []struct {
		name string
		nat  NAT
		room int
	}{
		{"limit", NAT{MaxMappings: 3}, 3},
		{"ports", NAT{Ports: Random, FirstPort: 4000, LastPort: 4002}, 3},
		{"sequential ports", NAT{Ports: Sequential, FirstPort: 4000, LastPort: 4002}, 3},
		{"preserving, out of range", NAT{FirstPort: 4000, LastPort: 4000}, 1},
		{"one remote endpoint for all", NAT{Ports: Overloading, FirstPort: 4000, LastPort: 4001}, 2},
	} {
		bubble(t, 1, func(t *testing.T, n *Net) {
			server := n.Internet().Listen("198.51.100.1:1")
			home := n.Internet().Behind("203.0.113.1", c.nat)
			seen := map[netip.AddrPort]bool{}
			for i := range 5 {
				p := learn(t, home.Listen(fmt.Sprintf("192.168.1.%d:5000", i+2)), server)
				if p.IsValid() != (i < c.room) || seen[p] && p.IsValid() {
					t.Errorf("%s: host %d is seen at %v", c.name, i, p)
				}
				if p.IsValid() && c.nat.LastPort != 0 && (p.Port() < c.nat.FirstPort || p.Port() > c.nat.LastPort) {
					t.Errorf("%s: port %d is out of range", c.name, p.Port())
				}
				seen[p] = true
			}
			counts(t, n, map[Verdict]int{TableFull: 5 - c.room})
			time.Sleep(time.Minute)
			if p := learn(t, home.Listen("192.168.1.9:5000"), server); !p.IsValid() {
				t.Errorf("%s: still full after a minute", c.name)
			}
		})
	}
}

func TestNATSequentialWraps(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server := n.Internet().Listen("198.51.100.1:1")
		home := n.Internet().Behind("203.0.113.1", NAT{Ports: Sequential, FirstPort: 4000, LastPort: 4003})
		var got []uint16
		for i := range 4 {
			got = append(got, learn(t, home.Listen(fmt.Sprintf("192.168.1.2:%d", 5000+i)), server).Port())
		}
		for i := 1; i < 4; i++ {
			want := got[i-1] + 1
			if want == 4004 {
				want = 4000
			}
			if got[i] != want {
				t.Errorf("ports %v, want them in turn from 4000 to 4003", got)
			}
		}
	})
}

// TestOverloadingSharesAPort checks that what comes to a shared port goes to
// the host that it is for.
func TestOverloadingSharesAPort(t *testing.T) {
	for f := EndpointIndependent; f <= AddressAndPortDependent; f++ {
		bubble(t, 1, func(t *testing.T, n *Net) {
			s1, s2 := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("198.51.100.2:1")
			home := n.Internet().Behind("203.0.113.1", NAT{Ports: Overloading, Filtering: f})
			a, b := home.Listen("192.168.1.2:5000"), home.Listen("192.168.1.3:5000")
			if pa, pb := learn(t, a, s1), learn(t, b, s2); pa != pb {
				t.Fatalf("filtering %v: seen at %v and %v, want one port", f, pa, pb)
			}
			send(t, s1, ap("203.0.113.1:5000"), "for a")
			send(t, s2, ap("203.0.113.1:5000"), "for b")
			expect(t, "a's server", a, s1.LocalAddr(), "for a")
			if got := texts(waits(b)); !slices.Equal(got, []string{"for b"}) {
				t.Errorf("filtering %v: b got %q", f, got)
			}
		})
	}
}

// TestSequentialKeepsProgramOrder checks that one goroutine gets its ports in
// the order in which it sends, though everything happens in one instant, and
// over several sockets and calls.
func TestSequentialKeepsProgramOrder(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, seed, func(t *testing.T, n *Net) {
			server := n.Internet().Listen("198.51.100.1:1")
			home := n.Internet().Behind("203.0.113.1", NAT{Mapping: AddressAndPortDependent, Ports: Sequential, FirstPort: 2000, LastPort: 60000})
			s2 := n.Internet().Listen("198.51.100.1:2")
			var conns []*Conn
			for i := range 5 {
				conns = append(conns, home.Listen(fmt.Sprintf("192.168.1.%d:5000", i+2)))
			}
			for _, c := range conns {
				send(t, c, server.LocalAddr(), "x")
				send(t, c, s2.LocalAddr(), "x")
			}
			var got []uint16
			byPort := map[uint16]uint16{}
			n.Observe(func(p Packet, v Verdict) {
				if v == Translated {
					got = append(got, p.Src.Port())
					byPort[p.Src.Port()] = p.Dst.Port()
				}
			})
			rest()
			if len(got) != 10 {
				t.Fatalf("seed %d: %d mappings, want 10", seed, len(got))
			}
			for i, p := range got {
				want := got[0] + uint16(i)
				if want > 60000 {
					want -= 58001
				}
				if p != want || byPort[p] != uint16(i%2+1) {
					t.Errorf("seed %d: ports %v, want them in the order of the sends", seed, got)
				}
			}
		})
	}
}

func TestBehaviourNames(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range []fmt.Stringer{
		EndpointIndependent, AddressDependent, AddressAndPortDependent, Dependence(9),
		Preserving, Sequential, Random, Overloading, PortChoice(9),
		NoHairpinning, ExternalSource, InternalSource, Hairpin(9),
	} {
		if seen[s.String()] || s.String() == "" {
			t.Errorf("%T: %q is not a name of its own", s, s)
		}
		seen[s.String()] = true
	}
	for v := range verdicts + 1 {
		if seen[v.String()] || v.String() == "" {
			t.Errorf("verdict %d: %q is not a name of its own", v, v)
		}
		seen[v.String()] = true
	}
}
