package client

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// gatewayLog is what a node has reported about gateways.
type gatewayLog struct{ lists [][]Gateway }

// last returns the last report, in short.
func (g *gatewayLog) last() (text string) {
	if len(g.lists) == 0 {
		return "nothing"
	}
	for _, gw := range g.lists[len(g.lists)-1] {
		text += fmt.Sprintf("%s %v %v;", gw.Name, gw.VPNAddr, gw.Networks)
	}
	return text
}

// watchGateways starts a node that reports its gateways.
func (v *vpn) watchGateways(number int, addr string) (*node, *gatewayLog) {
	v.t.Helper()
	g := &gatewayLog{}
	n := v.node(v.home(number, portRestricted), "192.168.1.2:5000", addr, func(c *Config) {
		identifying(c)
		use(v.ca.Issue(v.t, "watcher"))(c)
		c.Gateways = func(list []Gateway) { g.lists = append(g.lists, list) }
	})
	pass(time.Second)
	return n, g
}

// TestGatewaysReported: who is the gateway of which network is reported when it
// changes, and stays so while the gateway has no tunnel.
func TestGatewaysReported(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, log := v.watchGateways(1, "10.9.0.1")
		bob := v.host(2, "bob", []string{"10.9.0.2"}, routes("192.168.9.0/24", "192.168.7.0/24", "fd00:7::/64"))
		carol := v.host(3, "carol", []string{"10.9.0.3"}, routes("192.168.8.0/24"))
		if got := log.last(); got != "nothing" {
			v.t.Errorf("before anything: %s", got)
		}
		alice.ping(bob, 5*time.Second)
		const ofBob = "bob 10.9.0.2 [192.168.7.0/24 192.168.9.0/24 fd00:7::/64];"
		if got := log.last(); got != ofBob {
			v.t.Errorf("one gateway: %s, want %s", got, ofBob)
		}
		alice.ping(carol, 5*time.Second)
		both := ofBob + "carol 10.9.0.3 [192.168.8.0/24];"
		if got := log.last(); got != both {
			v.t.Errorf("two gateways: %s, want %s", got, both)
		}
		count := len(log.lists)
		pass(5 * time.Minute)
		if n := alice.sessions(); n != 0 {
			v.t.Fatalf("%d sessions after minutes", n)
		}
		if len(log.lists) != count {
			v.t.Errorf("tunnels that end change the gateways: %s", log.last())
		}
		s := alice.client.set
		s.AcceptRoutes = false
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		pass(time.Second)
		if got := log.last(); got != "" {
			v.t.Errorf("nothing is accepted: %s", got)
		}
	})
}

// TestGatewayBlocked: a network with an address in it that the tunnels use is reported
// no more.
func TestGatewayBlocked(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, log := v.watchGateways(1, "10.9.0.1")
		bob := v.host(2, "bob", []string{"10.9.0.2"}, routes("192.168.7.0/24", "192.168.9.0/24"))
		alice.ping(bob, 5*time.Second)
		s := alice.client.set
		s.HostAddrs = append(s.HostAddrs, netip.MustParseAddr("192.168.9.77"))
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		pass(time.Second)
		if got, want := log.last(), "bob 10.9.0.2 [192.168.7.0/24];"; got != want {
			v.t.Errorf("got %s, want %s", got, want)
		}
	})
}

// TestGatewayRecalled: what a client was told of gateways makes another one, later,
// reach what is behind them; but not if the certificate is no longer good.
func TestGatewayRecalled(t *testing.T) {
	inBubble(t, func(v *vpn) {
		first, log := v.watchGateways(1, "10.9.0.1")
		bob := v.host(2, "bob", []string{"10.9.0.2"}, routes("192.168.7.0/24"))
		first.ping(bob, 5*time.Second)
		seen := []Shown{log.lists[len(log.lists)-1][0].Shown}

		alice, log := v.watchGateways(4, "10.9.0.4")
		if err := alice.client.Recall(v.t.Context(), seen); err != nil {
			v.t.Fatal(err)
		}
		pass(time.Second)
		if got, want := log.last(), "bob 10.9.0.2 [192.168.7.0/24];"; got != want {
			v.t.Errorf("recalled %s, want %s", got, want)
		}
		if n := alice.sessions(); n != 0 {
			v.t.Errorf("%d sessions, want none yet", n)
		}
		v.check("on demand", passage{alice, bob, "10.9.0.4", "192.168.7.9", true})

		pass(3 * time.Minute)
		refuse(alice)
		if got := log.last(); got != "" {
			v.t.Errorf("refused, and still known: %s", got)
		}
		if err := alice.client.Recall(v.t.Context(), seen); err != nil {
			v.t.Fatal(err)
		}
		pass(time.Second)
		if got := log.last(); got != "" {
			v.t.Errorf("refused, and recalled: %s", got)
		}
		if cl := &alice.client.claims; cl.asleep != 0 || len(cl.networks) != 0 {
			v.t.Errorf("%d asleep of %d networks are left", cl.asleep, len(cl.networks))
		}
	})
}

// refuse makes a node find all certificates bad, and look again at those of gateways
// without a tunnel.
func refuse(n *node) {
	n.t.Helper()
	n.client.set.Verify = func(time.Time, netip.Addr, [][]byte, bool) error { return errors.New("revoked") }
	if err := n.client.RecheckGateways(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	pass(time.Second)
}

// TestRecallHostile: a list that is none, or too long, does no harm.
func TestRecallHostile(t *testing.T) {
	m := newClaimModel(t)
	c := m.c
	c.set.Verify = func(time.Time, netip.Addr, [][]byte, bool) error { return nil }
	c.set.Identify = func(_ time.Time, vpn netip.Addr, chain [][]byte) (id Identity) {
		id.Name, id.Issued = string(chain[0]), began.Add(time.Duration(len(chain[0]))*time.Hour)
		id.Routes = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("172.30.0.0/16")}
		for i := range 600 {
			id.Routes = append(id.Routes, netip.PrefixFrom(netip.AddrFrom4([4]byte{100, vpn.As4()[3], byte(i), byte(i >> 8)}), 32))
		}
		return id
	}
	chain := func(name string) [][]byte { return [][]byte{[]byte(name)} }
	seen := []Shown{
		{}, {VPNAddr: netip.MustParseAddr("fd00::1"), Chain: chain("six")}, {VPNAddr: netip.MustParseAddr("11.9.9.9"), Chain: chain("elsewhere")},
		{VPNAddr: modelAddrs[0]}, {VPNAddr: modelAddrs[1], Chain: chain("old")}, {VPNAddr: modelAddrs[2], Chain: chain("newer")},
	}
	for i := range 20 {
		seen = append(seen, Shown{VPNAddr: netip.AddrFrom4([4]byte{10, 1, 0, byte(100 + i)}), Chain: chain("x")})
	}
	c.recall(began, seen)
	c.recall(began, seen)
	if n := len(c.claims.networks); n != maxAsleep || c.claims.asleep != maxAsleep {
		t.Errorf("%d networks, %d counted, want %d", n, c.claims.asleep, maxAsleep)
	}
	if cl := c.claims.networks[netip.MustParsePrefix("172.30.0.0/16")]; cl == nil || cl.name != "newer" {
		t.Errorf("of two the newer certificate has the network: %+v", cl)
	}
	for _, k := range []string{"10.1.0.0/16", "0.0.0.0/0"} {
		if c.claims.networks[netip.MustParsePrefix(k)] != nil {
			t.Errorf("%s is behind a peer", k)
		}
	}
	list := c.claims.gateways()
	if !slices.IsSortedFunc(list, func(a, b Gateway) int { return a.VPNAddr.Compare(b.VPNAddr) }) || len(list) < 2 {
		t.Errorf("%d gateways, sorted as they should be?", len(list))
	}
}
