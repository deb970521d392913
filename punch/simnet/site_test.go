package simnet

import (
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"campagnol/punch"
)

// TestSameAddressesBehindTwoNATs checks that private networks are private.
func TestSameAddressesBehindTwoNATs(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server := n.Internet().Listen("198.51.100.1:1")
		var hosts []*Conn
		for _, public := range []string{"203.0.113.1", "203.0.113.2"} {
			hosts = append(hosts, n.Internet().Behind(public, NAT{}).Listen("192.168.1.2:5000"))
		}
		for i, public := range []string{"203.0.113.1:5000", "203.0.113.2:5000"} {
			if got := learn(t, hosts[i], server); got != ap(public) {
				t.Errorf("host %d is seen at %v, want %v", i, got, public)
			}
			send(t, server, ap(public), "to "+public)
			expect(t, "answer", hosts[i], server.LocalAddr(), "to "+public)
		}
		// From one to the other, by the private address: it is its own.
		send(t, hosts[0], ap("192.168.1.2:5000"), "to myself")
		expect(t, "own address", hosts[0], hosts[0].LocalAddr(), "to myself")
		if gs := drain(hosts[1]); len(gs) != 0 {
			t.Errorf("the other host got %v", gs)
		}
	})
}

func TestLAN(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		home := n.Internet().Behind("203.0.113.1", NAT{})
		a, b := home.Listen("192.168.1.2:1"), home.Listen("192.168.1.3:1")
		send(t, a, b.LocalAddr(), "hi")
		expect(t, "in one site", b, a.LocalAddr(), "hi")
		if got := home.Mappings(); got != 0 {
			t.Errorf("the NAT has %d mappings, want none: it was not crossed", got)
		}
		send(t, a, ap("192.168.1.9:1"), "nobody")
		send(t, a, ap("192.168.1.3:9"), "no socket")
		rest()
		counts(t, n, map[Verdict]int{Unreachable: 1, NoSocket: 1})
	})
}

// TestDoubleNAT checks a home behind a provider's NAT.
func TestDoubleNAT(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server := n.Internet().Listen("198.51.100.1:1")
		provider := n.Internet().Behind("203.0.113.1", NAT{Ports: Sequential, FirstPort: 2000, LastPort: 2999})
		home1 := provider.Behind("100.64.0.1", NAT{})
		home2 := provider.Behind("100.64.0.2", NAT{})
		a, b := home1.Listen("192.168.1.2:5000"), home2.Listen("192.168.1.2:5000")
		seenA, seenB := learn(t, a, server), learn(t, b, server)
		if seenA.Addr() != addr("203.0.113.1") || seenA.Port() < 2000 || seenA.Port() > 2999 {
			t.Errorf("a is seen at %v, want the provider's address and range", seenA)
		}
		if seenA == seenB || seenB.Addr() != seenA.Addr() {
			t.Errorf("a and b are seen at %v and %v, want one address and two ports", seenA, seenB)
		}
		send(t, server, seenA, "through both")
		expect(t, "inwards", a, server.LocalAddr(), "through both")

		// Neighbours at one provider reach each other at the outer addresses
		// of their own NATs; full cones let them in.
		send(t, a, ap("100.64.0.2:5000"), "neighbour")
		expect(t, "below the provider", b, ap("100.64.0.1:5000"), "neighbour")

		// By their public endpoints, they would need hairpinning.
		send(t, a, seenB, "hairpin")
		rest()
		counts(t, n, map[Verdict]int{NoHairpin: 1})
		if got := waits(b); len(got) != 0 {
			t.Errorf("b got %v", got)
		}
	})
}

func TestHairpinAtProvider(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server := n.Internet().Listen("198.51.100.1:1")
		provider := n.Internet().Behind("203.0.113.1", NAT{Ports: Sequential, Hairpin: ExternalSource})
		a := provider.Behind("100.64.0.1", NAT{}).Listen("192.168.1.2:5000")
		b := provider.Behind("100.64.0.2", NAT{}).Listen("192.168.1.2:5000")
		seenA, seenB := learn(t, a, server), learn(t, b, server)
		send(t, a, seenB, "hi")
		expect(t, "through the provider's hairpin", b, seenA, "hi")
	})
}

func TestIPv6IsRoutedThroughNATSites(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server := n.Internet().Listen("[2001:db8:5::1]:1")
		provider := n.Internet().Behind("203.0.113.1", NAT{})
		h := provider.Behind("100.64.0.1", NAT{}).Host("192.168.1.2", "2001:db8:1::2", "fe80::1", "fd00::1")
		c, err := h.Listen(ap("[::]:5000"))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := learn(t, c, server), ap("[2001:db8:1::2]:5000"); got != want {
			t.Errorf("seen at %v, want %v", got, want)
		}
		send(t, server, ap("[2001:db8:1::2]:5000"), "inwards")
		expect(t, "without firewall", c, server.LocalAddr(), "inwards")
		for _, local := range []string{"[fe80::1]:5000", "[fd00::1]:5000"} {
			send(t, server, ap(local), "not routed")
		}
		rest()
		counts(t, n, map[Verdict]int{Unreachable: 2})
		if got, want := h.Addrs(), 4; len(got) != want {
			t.Errorf("Addrs = %v, want %d", got, want)
		}
		panics(t, "an IPv6 address in two sites", func() { n.Internet().Host("2001:db8:1::2") })
	})
}

func TestFirewallFiltering(t *testing.T) {
	for _, c := range []struct {
		name string
		fw   Firewall
		want []string // who gets in: same (the contacted), port, other
	}{
		{"endpoint-independent", Firewall{Filtering: EndpointIndependent}, []string{"same", "port", "other"}},
		{"address-dependent", Firewall{Filtering: AddressDependent}, []string{"same", "port"}},
		{"address-and-port-dependent", Firewall{Filtering: AddressAndPortDependent}, []string{"same"}},
		{"open", Firewall{Filtering: AddressAndPortDependent, Open: true}, []string{"same", "port", "other"}},
	} {
		for _, six := range []bool{false, true} {
			bubble(t, 1, func(t *testing.T, n *Net) {
				inside, s1, s2, s3 := "203.0.113.5:1", "198.51.100.1:1", "198.51.100.1:2", "198.51.100.2:1"
				site := n.Internet().Routed("office", c.fw)
				if six {
					inside, s1, s2, s3 = "[2001:db8:1::5]:1", "[2001:db8:5::1]:1", "[2001:db8:5::1]:2", "[2001:db8:5::2]:1"
					site = n.Internet().Behind("203.0.113.1", NAT{})
					site.SetFirewall(c.fw)
				}
				in := site.Listen(inside)
				same, port, other := n.Internet().Listen(s1), n.Internet().Listen(s2), n.Internet().Listen(s3)
				send(t, same, in.LocalAddr(), "too early")
				rest()
				if got := waits(in); (len(got) != 0) != c.fw.Open {
					t.Errorf("%s: before anything was sent, %v came in", c.name, got)
				}
				if got := learn(t, in, same); got != in.LocalAddr() {
					t.Errorf("%s: seen at %v, want the host's own address", c.name, got)
				}
				send(t, same, in.LocalAddr(), "same")
				rest()
				send(t, port, in.LocalAddr(), "port")
				rest()
				send(t, other, in.LocalAddr(), "other")
				if got := texts(drain(in)); !slices.Equal(got, c.want) {
					t.Errorf("%s, IPv6 %v: %q came in, want %q", c.name, six, got, c.want)
				}
			})
		}
	}
}

func TestFirewallLifetime(t *testing.T) {
	for _, refresh := range []bool{false, true} {
		bubble(t, 1, func(t *testing.T, n *Net) {
			site := n.Internet().Routed("office", Firewall{Filtering: AddressDependent, Lifetime: 10 * time.Second, RefreshInbound: refresh})
			in, out := site.Listen("[2001:db8:1::5]:1"), n.Internet().Listen("[2001:db8:5::1]:1")
			learn(t, in, out)
			time.Sleep(7 * time.Second)
			send(t, out, in.LocalAddr(), "in time")
			expect(t, "after 8s", in, out.LocalAddr(), "in time")
			time.Sleep(7 * time.Second)
			send(t, out, in.LocalAddr(), "late")
			if got := len(drain(in)) == 1; got != refresh {
				t.Errorf("after 16s, refreshed from outside after 8s: passes = %v, want %v", got, refresh)
			}
			learn(t, in, out)
			site.Restart()
			send(t, out, in.LocalAddr(), "after the restart")
			if got := drain(in); len(got) != 0 {
				t.Errorf("after a restart, %v came in", got)
			}
		})
	}
}

func TestSetPublic(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server := n.Internet().Listen("198.51.100.1:1")
		home := n.Internet().Behind("203.0.113.1", NAT{})
		c := home.Listen("192.168.1.2:5000")
		before := learn(t, c, server)
		send(t, server, before, "overtaken") // is on the way when the address changes
		time.Sleep(10 * time.Millisecond)
		home.SetPublic("203.0.113.99")
		if got := home.Public(); got != addr("203.0.113.99") {
			t.Errorf("Public = %v", got)
		}
		if got := home.Mappings(); got != 0 {
			t.Errorf("%d mappings are left", got)
		}
		send(t, server, before, "to the old address")
		rest()
		counts(t, n, map[Verdict]int{Unreachable: 2})
		send(t, server, ap("203.0.113.99:5000"), "no mapping")
		rest()
		counts(t, n, map[Verdict]int{NoMapping: 1})
		if got, want := learn(t, c, server), ap("203.0.113.99:5000"); got != want {
			t.Errorf("seen at %v, want %v", got, want)
		}
		// The old address is free for somebody else.
		if again := n.Internet().Behind("203.0.113.1", NAT{}); again.key == home.key {
			t.Error("two sites that had one address in turn share their luck")
		}
		panics(t, "SetPublic to a taken address", func() { home.SetPublic("203.0.113.1") })
	})
}

func TestRestart(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server := n.Internet().Listen("198.51.100.1:1")
		home := n.Internet().Behind("203.0.113.1", NAT{})
		c := home.Listen("192.168.1.2:5000")
		public := learn(t, c, server)
		home.Restart()
		send(t, server, public, "hi")
		rest()
		counts(t, n, map[Verdict]int{NoMapping: 1})
		if got := waits(c); len(got) != 0 {
			t.Errorf("after a restart, %v came in", got)
		}
	})
}

func TestForward(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server := n.Internet().Listen("198.51.100.1:1")
		home := n.Internet().Behind("203.0.113.1", NAT{Mapping: AddressAndPortDependent, Filtering: AddressAndPortDependent, Ports: Random})
		c := home.Listen("192.168.1.2:5000")
		home.Forward(7000, c.LocalAddr())
		send(t, server, ap("203.0.113.1:7000"), "uninvited")
		expect(t, "forwarded", c, server.LocalAddr(), "uninvited")
		if got, want := learn(t, c, server), ap("203.0.113.1:7000"); got != want {
			t.Errorf("seen at %v, want the forwarded port", got)
		}
		time.Sleep(time.Hour)
		home.Restart()
		send(t, server, ap("203.0.113.1:7000"), "later")
		expect(t, "after an hour and a restart", c, server.LocalAddr(), "later")

		home.Forward(7001, c.LocalAddr()) // replaces that of 7000
		send(t, server, ap("203.0.113.1:7000"), "old")
		send(t, server, ap("203.0.113.1:7001"), "new")
		expect(t, "moved", c, server.LocalAddr(), "new")
		home.Forward(7001, ap("192.168.1.9:1"))
		send(t, server, ap("203.0.113.1:7001"), "elsewhere")
		rest()
		counts(t, n, map[Verdict]int{NoMapping: 1, Unreachable: 1})
		if got := home.Mappings(); got != 1 {
			t.Errorf("%d mappings: what came in for nobody went out again", got-1)
		}
		home.Forward(7001, netip.AddrPort{})
		send(t, server, ap("203.0.113.1:7001"), "ended")
		rest()
		counts(t, n, map[Verdict]int{NoMapping: 2})
	})
}

// TestMove takes a host from one network to another.
func TestMove(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server := n.Internet().Listen("198.51.100.1:1")
		wifi := n.Internet().Behind("203.0.113.1", NAT{})
		mobile := n.Internet().Behind("203.0.113.2", NAT{})
		h := wifi.Host("192.168.1.2")
		roams, err := h.Listen(ap("0.0.0.0:5000"))
		if err != nil {
			t.Fatal(err)
		}
		stays, err := h.Listen(ap("192.168.1.2:6000"))
		if err != nil {
			t.Fatal(err)
		}
		before := learn(t, roams, server)
		learn(t, stays, server)

		send(t, roams, server.LocalAddr(), "last words") // in the instant of the move
		send(t, server, before, "overtaken")
		h.Move(mobile, "10.0.0.7")
		expect(t, "sent before the move", server, before, "last words")
		if h.Site() != mobile || !slices.Equal(h.Addrs(), parseAddrs([]string{"10.0.0.7"})) {
			t.Errorf("the host is at %s with %v", h.Site().name, h.Addrs())
		}
		if got := drain(roams); len(got) != 0 {
			t.Errorf("what was on the way to the old address arrived: %v", got)
		}
		if got, want := learn(t, roams, server), ap("203.0.113.2:5000"); got != want {
			t.Errorf("after the move, seen at %v, want %v", got, want)
		}
		send(t, server, ap("203.0.113.2:5000"), "found")
		expect(t, "after the move", roams, server.LocalAddr(), "found")

		err = stays.Send([]punch.Datagram{{Addr: server.LocalAddr()}})
		if !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("a socket bound to the lost address: error %v, want EADDRNOTAVAIL", err)
		}
		wifi.Host("192.168.1.2") // the address is free
	})
}

func TestMoveInOneSite(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		h := n.Internet().Host("198.51.100.1", "2001:db8::1")
		c, err := h.Listen(ap("0.0.0.0:1"))
		if err != nil {
			t.Fatal(err)
		}
		other := n.Internet().Listen("198.51.100.9:1")
		send(t, other, ap("198.51.100.1:1"), "overtaken")
		time.Sleep(10 * time.Millisecond)
		h.Move(n.Internet(), "198.51.100.2", "2001:db8::1")
		if got := drain(c); len(got) != 0 {
			t.Errorf("what was on the way to the old address arrived: %v", got)
		}
		counts(t, n, map[Verdict]int{Unreachable: 1})
		send(t, other, ap("198.51.100.2:1"), "hi")
		expect(t, "at the new address", c, other.LocalAddr(), "hi")
		if got, want := learn(t, c, other), ap("198.51.100.2:1"); got != want {
			t.Errorf("seen at %v, want %v", got, want)
		}
	})
}

func TestDownAndBlocked(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server := n.Internet().Listen("198.51.100.1:1")
		home := n.Internet().Behind("203.0.113.1", NAT{})
		a, b := home.Listen("192.168.1.2:5000"), home.Listen("192.168.1.3:1")
		learn(t, a, server)
		step := func(name string, set func(bool), want Verdict, lan bool) {
			t.Helper()
			set(true)
			before := n.Count(want)
			send(t, a, server.LocalAddr(), "out")
			send(t, server, ap("203.0.113.1:5000"), "in")
			send(t, b, a.LocalAddr(), "lan")
			rest()
			bad := 2
			if !lan {
				bad = 3
			}
			if got := n.Count(want) - before; got != bad {
				t.Errorf("%s: %v happened %d times, want %d", name, want, got, bad)
			}
			if got := texts(waits(a)); slices.Contains(got, "in") || slices.Contains(got, "lan") != lan {
				t.Errorf("%s: %q arrived", name, got)
			}
			if got := waits(server); len(got) != 0 {
				t.Errorf("%s: %v arrived at the server", name, got)
			}
			set(false)
			learn(t, a, server)
			send(t, server, ap("203.0.113.1:5000"), "back")
			expect(t, name+" is over", a, server.LocalAddr(), "back")
		}
		step("site down", home.SetDown, Down, true)
		step("blocked", home.BlockUDP, Blocked, true)
		step("host down", a.Host().SetDown, Down, false)
	})
}

func TestImpossibleNetworks(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		n.Internet().Host("198.51.100.1")
		home := n.Internet().Behind("203.0.113.1", NAT{})
		office := n.Internet().Routed("office", Firewall{})
		office.Host("203.0.113.200")
		for name, f := range map[string]func(){
			"two hosts, one address":          func() { n.Internet().Host("198.51.100.1") },
			"an address of a NAT":             func() { n.Internet().Host("203.0.113.1") },
			"an address of a routed site":     func() { n.Internet().Host("203.0.113.200") },
			"a NAT at a taken address":        func() { n.Internet().Behind("198.51.100.1", NAT{}) },
			"a NAT with an IPv6 address":      func() { n.Internet().Behind("2001:db8::1", NAT{}) },
			"a NAT without address":           func() { n.Internet().Behind("", NAT{}) },
			"a NAT with no such mapping":      func() { n.Internet().Behind("203.0.113.9", NAT{Mapping: 3}) },
			"a NAT with no such filtering":    func() { n.Internet().Behind("203.0.113.9", NAT{Filtering: 3}) },
			"a NAT with no such ports":        func() { n.Internet().Behind("203.0.113.9", NAT{Ports: 4}) },
			"a NAT with no such hairpin":      func() { n.Internet().Behind("203.0.113.9", NAT{Hairpin: 3}) },
			"a NAT with an empty range":       func() { n.Internet().Behind("203.0.113.9", NAT{FirstPort: 9, LastPort: 8}) },
			"a NAT with a negative lifetime":  func() { n.Internet().Behind("203.0.113.9", NAT{Lifetime: -1}) },
			"a NAT with a negative limit":     func() { n.Internet().Behind("203.0.113.9", NAT{MaxMappings: -1}) },
			"two routed sites, one name":      func() { n.Internet().Routed("office", Firewall{}) },
			"no such firewall":                func() { n.Internet().Routed("x", Firewall{Filtering: 3}) },
			"a negative firewall":             func() { home.SetFirewall(Firewall{Lifetime: -1}) },
			"a host without address":          func() { home.Host() },
			"a host at an unspecified one":    func() { home.Host("0.0.0.0") },
			"a host at a multicast one":       func() { home.Host("224.0.0.1") },
			"a host with a zone":              func() { home.Host("fe80::1%eth0") },
			"links of the Internet":           func() { n.Internet().SetLinks(Link{}, Link{}) },
			"the Internet down":               func() { n.Internet().SetDown(true) },
			"the Internet blocked":            func() { n.Internet().BlockUDP(true) },
			"a broken Internet":               func() { n.Internet().SetBroken(false, true) },
			"the Internet's firewall":         func() { n.Internet().SetFirewall(Firewall{}) },
			"the Internet restarted":          func() { n.Internet().Restart() },
			"the Internet's public address":   func() { n.Internet().Public() },
			"a routed site's public address":  func() { office.SetPublic("203.0.113.8") },
			"a routed site's mappings":        func() { office.Mappings() },
			"a routed site's forward":         func() { office.Forward(1, ap("203.0.113.200:1")) },
			"a chance of 2":                   func() { home.SetMedium(Link{Loss: 2}) },
			"a negative delay":                func() { home.SetMedium(Link{Delay: -1}) },
			"a negative chance of copies":     func() { home.SetLinks(Link{Duplicate: -0.1}, Link{}) },
			"a chance that is not one":        func() { home.SetLinks(Link{}, Link{Reorder: nan()}) },
			"a public address that is no one": func() { home.SetPublic("nonsense") },
		} {
			panics(t, name, f)
		}
		// The lock must have been given back every time.
		n.Internet().Host("198.51.100.77")
	})
}

func nan() float64 {
	zero := 0.0
	return zero / zero
}
