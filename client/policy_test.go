package client

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"campagnol/pki/policy"
	"campagnol/tunnel"
	"campagnol/tunnel/filter"
)

// filterOf returns Settings.Filter for a node at a VPN address with a policy.
func filterOf(t testing.TB, self netip.Addr, text string) func(netip.Addr, [][]byte) *filter.Filter {
	t.Helper()
	p, err := policy.Parse("policy", text)
	if err != nil {
		t.Fatal(err)
	}
	at := func(a netip.Addr) policy.Member { return policy.Member{Addrs: []netip.Addr{a}} }
	return func(vpn netip.Addr, _ [][]byte) *filter.Filter { return filter.Compile(p, at(self), at(vpn)) }
}

// obeying edits a node's configuration so that it obeys a policy.
func obeying(t testing.TB, text string) func(*Config) {
	return func(c *Config) { c.Filter = filterOf(t, c.VPNAddr, text) }
}

// obey makes a node that runs obey another policy; "" is none.
func (n *node) obey(text string) {
	n.t.Helper()
	s := n.client.set
	s.Filter = nil
	if text != "" {
		s.Filter = filterOf(n.t, n.vpn, text)
	}
	if err := n.client.Apply(n.t.Context(), s); err != nil {
		n.t.Fatal(err)
	}
}

// sendUDP makes the node's host send a datagram to a VPN address.
func (n *node) sendUDP(to netip.Addr, from, port uint16, text string) {
	n.t.Helper()
	b := packetTo(n.vpn, to, text)
	binary.BigEndian.PutUint16(b[20:], from)
	binary.BigEndian.PutUint16(b[22:], port)
	binary.BigEndian.PutUint16(b[24:], uint16(len(b)-20))
	if !n.dev.Inject(b) {
		n.t.Fatal("the device took no packet")
	}
}

// arrives sends a datagram and reports whether the other host gets it.
func (n *node) arrives(to *node, from, port uint16) bool {
	n.t.Helper()
	n.sendUDP(to.vpn, from, port, "hello")
	pass(time.Second)
	return len(to.texts()) == 1
}

// filtered returns how many packets the policy has stopped at a node.
func (n *node) filtered() uint64 { return n.client.drops.Get(tunnel.DropFilter) }

const onlyDNS = "filter 10.9.0.1 -> 10.9.0.2: allow udp/53\nfilter 10.9.0.1 -> 10.9.0.2: deny\n"

// TestPolicyFilter: what the policy denies does not leave, the first packet, for
// which the tunnel is opened, included; answers and the other direction pass.
func TestPolicyFilter(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(obeying(v.t, onlyDNS))
		if alice.arrives(bob, 1000, 54) {
			v.t.Error("the first packet arrives, which the policy denies")
		}
		if alice.state(bob) != "ESTABLISHED" || alice.filtered() != 1 || bob.filtered() != 0 {
			v.t.Errorf("%s, %d and %d packets stopped, want ESTABLISHED, 1 and 0", alice.state(bob), alice.filtered(), bob.filtered())
		}
		for _, c := range []struct {
			from, to   *node
			port, dest uint16
			want       bool
		}{
			{alice, bob, 1000, 53, true},
			{bob, alice, 53, 1000, true},
			{bob, alice, 54, 1000, true}, // a flow of bob's, which nothing denies
			{alice, bob, 1000, 54, true}, // and the answer
			{alice, bob, 1000, 55, false},
			{alice, bob, 1001, 54, false},
		} {
			if got := c.from.arrives(c.to, c.port, c.dest); got != c.want {
				v.t.Errorf("%v port %d to %v port %d arrives: %v, want %v", c.from.vpn, c.port, c.to.vpn, c.dest, got, c.want)
			}
		}
		alice.sendUDP(netip.MustParseAddr("10.9.0.255"), 1000, 53, "all")
		bob.wants("all", time.Second)
	})
}

// TestPolicyReceiver: a peer that does not obey is held to the policy.
func TestPolicyReceiver(t *testing.T) {
	inBubble(t, func(v *vpn) {
		n := 0
		alice, bob := v.pair(func(c *Config) {
			if n++; n == 2 {
				obeying(v.t, onlyDNS)(c)
			}
		})
		if alice.arrives(bob, 1000, 54) || !alice.arrives(bob, 1000, 53) {
			v.t.Error("bob does not obey his own policy")
		}
		if alice.filtered() != 0 || bob.filtered() != 1 || bob.peer(alice).Drops["filter"] != 1 {
			v.t.Errorf("stopped %d and %d, of the peer %v, want 0 and 1", alice.filtered(), bob.filtered(), bob.peer(alice).Drops)
		}
	})
}

// TestPolicyApply: another policy holds for open tunnels at once, and flows that it
// allows go on, with fresh keys too.
func TestPolicyApply(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(rekeyEvery(20 * time.Second))
		if !alice.arrives(bob, 1000, 54) {
			v.t.Error("nothing arrives without a policy")
		}
		bob.obey(onlyDNS + "filter 10.9.0.2 -> 10.9.0.1: deny\n")
		if alice.arrives(bob, 1000, 54) || !alice.arrives(bob, 1000, 53) {
			v.t.Error("the policy does not hold for an open tunnel")
		}
		for range 60 { // three times fresh keys
			if !bob.arrives(alice, 53, 1000) {
				v.t.Fatal("an answer does not pass")
			}
		}
		if n := bob.peer(alice).Rekeys; n < 2 {
			v.t.Errorf("%d times fresh keys, want at least 2", n)
		}
		if bob.arrives(alice, 53, 1001) {
			v.t.Error("what is no answer passes")
		}
		bob.obey("filter all -> all: deny\n")
		if bob.arrives(alice, 53, 1000) || alice.arrives(bob, 1000, 53) {
			v.t.Error("a flow goes on that the new policy denies")
		}
		bob.obey("")
		if !bob.arrives(alice, 53, 1001) || !alice.arrives(bob, 1000, 54) {
			v.t.Error("the policy holds after it has gone")
		}
	})
}

// TestPolicyForgets: nothing is left of a tunnel that is closed, or replaced by one
// of a peer that was started anew.
func TestPolicyForgets(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(func(c *Config) {
			obeying(v.t, onlyDNS)(c)
			c.Timeout = 10 * time.Second
		})
		flows := func() int { return bob.client.flows.Counters().Flows }
		if !alice.arrives(bob, 1000, 53) || flows() != 1 {
			v.t.Fatalf("%d flows, want 1", flows())
		}
		pass(time.Minute)
		if bob.state(alice) != "CLOSED" || flows() != 0 {
			v.t.Errorf("%s, %d flows after a minute of silence, want CLOSED and none", bob.state(alice), flows())
		}
	})
}

// TestPolicySweep: flows of a tunnel that stays are forgotten when they are idle.
func TestPolicySweep(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(func(c *Config) {
			obeying(v.t, onlyDNS)(c)
			c.Timeout = time.Hour
		})
		if !alice.arrives(bob, 1000, 53) {
			v.t.Fatal("nothing arrives")
		}
		pass(15 * time.Minute)
		if n := bob.client.flows.Counters(); n.Flows != 0 || n.Expired != 1 || bob.state(alice) != "ESTABLISHED" {
			v.t.Errorf("%s, %+v, want no flow and one that was idle for too long", bob.state(alice), n)
		}
	})
}
