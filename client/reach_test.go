package client

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/nat"
	"campagnol/punch/simnet"
	"campagnol/rdv"
	"campagnol/rdv/wire"
)

// noHairpin is a NAT at which two hosts behind it cannot meet outside.
var noHairpin = simnet.NAT{Filtering: simnet.AddressAndPortDependent, Ports: simnet.Random}

// reachVPN runs f with a VPN whose server has the channel.
func reachVPN(t *testing.T, f func(v *vpn)) {
	t.Helper()
	inBubble(t, func(v *vpn) {
		v.ourServer(rdv.Strict)
		f(v)
	})
}

// reachable starts a node that tells nothing but what edit says.
func (v *vpn) reachable(conn *simnet.Conn, vpnAddr string, edit func(*Config)) *node {
	v.t.Helper()
	return v.nodeOn(conn, vpnAddr, v.authentic(AuthYes, nil, func(c *Config) {
		c.LocalAddr = netip.AddrPort{}
		if edit != nil {
			edit(c)
		}
	}))
}

// offers makes a node tell where it can be reached.
func (n *node) offers(list ...punch.Candidate) {
	n.t.Helper()
	if err := n.client.Offer(context.Background(), "test", list); err != nil {
		n.t.Fatal(err)
	}
}

// pathTo returns where a node sends what is for another.
func (n *node) pathTo(other *node) netip.AddrPort {
	n.t.Helper()
	for _, p := range n.status().Peers {
		if p.VPNAddr == other.vpn {
			return p.Addr
		}
	}
	return netip.AddrPort{}
}

// tried returns what became of a node's last try at another, for people.
func (n *node) tried(other *node) string {
	n.t.Helper()
	got, ok, err := n.client.Tried(context.Background(), other.vpn)
	if err != nil {
		n.t.Fatal(err)
	}
	if !ok {
		return "nothing"
	}
	var s []string
	for _, o := range got.Outcomes {
		s = append(s, o.String())
	}
	return strings.Join(s, " | ")
}

func hostAt(addr string) punch.Candidate {
	return punch.Candidate{Addr: netip.MustParseAddrPort(addr), Kind: punch.Host}
}

func configuredAt(addr, scope string) punch.Candidate {
	return punch.Candidate{Addr: netip.MustParseAddrPort(addr), Kind: punch.Configured, Scope: scope}
}

// TestOneSiteWithoutHairpin: two hosts at one site meet in their own network, which
// they can only by what they say of it; without, they do not.
func TestOneSiteWithoutHairpin(t *testing.T) {
	for _, says := range []bool{true, false} {
		t.Run(fmt.Sprint(says), func(t *testing.T) {
			reachVPN(t, func(v *vpn) {
				home := v.home(1, noHairpin)
				alice := v.reachable(home.Listen("192.168.1.2:5000"), "10.9.0.1", nil)
				bob := v.reachable(home.Listen("192.168.1.3:5000"), "10.9.0.2", nil)
				pass(time.Second)
				if says {
					alice.offers(hostAt("10.250.0.9:5000"), hostAt("192.168.1.2:5000")) // the first is in no network that bob knows
					bob.offers(hostAt("192.168.1.3:5000"))
				}
				pass(time.Second)
				if !says {
					alice.send(bob.vpn, "anybody?")
					pass(8 * time.Second)
					if s := alice.state(bob); s == "ESTABLISHED" {
						v.t.Errorf("%s without knowing of each other's network: the test does not test", s)
					}
					return
				}
				if took := bob.ping(alice, 5*time.Second); took > 120*time.Millisecond {
					v.t.Errorf("the first reply took %v", took)
				}
				if got := bob.pathTo(alice).String(); got != "192.168.1.2:5000" {
					v.t.Errorf("bob reaches alice at %v", got)
				}
				const want = "10.250.0.9:5000 (host): silent | 192.168.1.2:5000 (host): heard, chosen | "
				if got := bob.tried(alice); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, " (observed): silent") {
					v.t.Errorf("bob tried %s, want %s", got, want)
				}
			})
		})
	}
}

// TestInnerNetwork: one host is in the network between two NATs, and the other behind
// both. They come from one public address, at which they cannot meet.
func TestInnerNetwork(t *testing.T) {
	reachVPN(t, func(v *vpn) {
		office := v.home(1, noHairpin)
		desk := office.Behind("172.16.0.20", noHairpin)
		alice := v.reachable(office.Listen("172.16.0.2:5000"), "10.9.0.1", nil)
		bob := v.reachable(desk.Listen("192.168.1.3:5000"), "10.9.0.2", nil)
		pass(time.Second)
		alice.offers(hostAt("172.16.0.2:5000"))
		bob.offers(hostAt("192.168.1.3:5000"))
		pass(time.Second)
		bob.ping(alice, 5*time.Second)
		if got := bob.pathTo(alice).String(); got != "172.16.0.2:5000" {
			v.t.Errorf("bob reaches alice at %v", got)
		}
		if got := alice.pathTo(bob).Addr().String(); got != "172.16.0.20" {
			v.t.Errorf("alice reaches bob at %v, want the inner NAT", got)
		}
	})
}

// TestScopes: a place is tried by who can reach the network that it is in, before all
// others, and by nobody else.
func TestScopes(t *testing.T) {
	const place = "172.16.0.20:7000"
	for _, c := range []struct {
		name    string
		scopes  []string
		reached bool
	}{
		{"in the scope", []string{"lab", "office"}, true},
		{"in another", []string{"lab"}, false},
		{"in none", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			reachVPN(t, func(v *vpn) {
				// A provider's network, in which alice's NAT has an address. At the
				// provider's NAT nobody meets who is behind it.
				provider := v.home(1, noHairpin)
				home := provider.Behind("172.16.0.20", noHairpin)
				home.Forward(7000, netip.MustParseAddrPort("192.168.1.2:5000"))
				alice := v.reachable(home.Listen("192.168.1.2:5000"), "10.9.0.1", func(cfg *Config) {
					cfg.Configured = []punch.Candidate{configuredAt(place, "office")}
				})
				bob := v.reachable(provider.Listen("172.16.0.3:5000"), "10.9.0.2", func(cfg *Config) { cfg.Scopes = c.scopes })
				pass(time.Second)
				punched := false
				v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
					if verdict == simnet.Sent && p.From == bob.conn && p.Dst.String() == place {
						punched = true
					}
				})
				bob.send(alice.vpn, "ping")
				pass(8 * time.Second)
				if punched != c.reached || (bob.state(alice) == "ESTABLISHED") != c.reached {
					v.t.Errorf("punched to alice's place: %v, and then %s", punched, bob.state(alice))
				}
				if c.reached {
					alice.wants("ping", time.Second)
				}
				const want = place + " (configured, scope office): heard, chosen | "
				if got := bob.tried(alice); strings.HasPrefix(got, want) != c.reached {
					v.t.Errorf("bob tried %s", got)
				}
			})
		})
	}
}

// TestForwardedByHand: a place that the configuration names is reached through filters
// that let nothing else in.
func TestForwardedByHand(t *testing.T) {
	reachVPN(t, func(v *vpn) {
		hard := simnet.NAT{Mapping: simnet.AddressAndPortDependent, Filtering: simnet.AddressAndPortDependent, Ports: simnet.Random}
		home := v.home(1, hard)
		home.Forward(7000, netip.MustParseAddrPort("192.168.1.2:5000"))
		alice := v.reachable(home.Listen("192.168.1.2:5000"), "10.9.0.1", func(cfg *Config) {
			cfg.Configured = []punch.Candidate{configuredAt("203.0.113.21:7000", "")}
		})
		bob := v.reachable(v.home(2, hard).Listen("192.168.1.2:5000"), "10.9.0.2", nil)
		pass(time.Second)
		bob.ping(alice, 5*time.Second)
	})
}

// TestMovedBehindNewAddress: when the NAT of a client has got another address, the
// client is registered there at once after it was told that it may have moved, and
// otherwise with the next PING.
func TestMovedBehindNewAddress(t *testing.T) {
	reachVPN(t, func(v *vpn) {
		home := v.home(1, portRestricted)
		alice := v.node(home, "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthYes, nil))
		bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", v.authentic(AuthYes, nil))
		pass(10 * time.Second)
		home.SetPublic("203.0.113.77")
		if err := alice.client.Moved(context.Background(), "test"); err != nil {
			v.t.Fatal(err)
		}
		pass(300 * time.Millisecond)
		if got := alice.status().RDV().Endpoint.Addr().String(); got != "203.0.113.77" {
			v.t.Errorf("the server sees alice at %v", got)
		}
		bob.ping(alice, time.Second)
	})
}

// TestMovedNowhere: a client that has not moved asks once or twice, and makes no new
// channel.
func TestMovedNowhere(t *testing.T) {
	reachVPN(t, func(v *vpn) {
		alice, bob := v.pair(v.authentic(AuthYes, nil))
		alice.ping(bob, 5*time.Second)
		sent := v.sent(alice)
		for range 3 {
			if err := alice.client.Moved(context.Background(), "test"); err != nil {
				v.t.Fatal(err)
			}
			pass(time.Second)
		}
		if n := sent(simnet.KindGate); n != 0 {
			v.t.Errorf("%d messages of the gate", n)
		}
		if n := sent(simnet.Kind(wire.Ping)); n < 3 || n > 9 {
			v.t.Errorf("%d PINGs", n)
		}
		alice.ping(bob, time.Second)
		if n := alice.logged("New DTLS connection"); n != 1 {
			v.t.Errorf("%d sessions", n)
		}
	})
}

// TestSessionDoubted: a session in use whose path has ended is tried anew sooner if the
// client is told that it may have moved.
func TestSessionDoubted(t *testing.T) {
	gap := func(told bool) (gap time.Duration) {
		reachVPN(t, func(v *vpn) {
			home := v.home(1, portRestricted)
			alice := v.node(home, "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthYes, nil))
			bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", v.authentic(AuthYes, nil))
			pass(time.Second)
			alice.ping(bob, 5*time.Second)
			for range 20 { // both directions are used
				pass(100 * time.Millisecond)
				alice.send(bob.vpn, "before")
				bob.send(alice.vpn, "before")
			}
			pass(50 * time.Millisecond)
			alice.texts()
			bob.texts()
			home.SetPublic("203.0.113.77")
			if told {
				alice.client.Moved(context.Background(), "test")
			}
			for start := time.Now(); time.Since(start) < 30*time.Second; pass(20 * time.Millisecond) {
				alice.send(bob.vpn, "after")
				bob.send(alice.vpn, "after")
				if slices.Contains(alice.texts(), "after") {
					gap = time.Since(start)
					return
				}
			}
			v.t.Fatal("the session never works again")
		})
		return gap
	}
	told, alone := gap(true), gap(false)
	if told > 2*time.Second || told > alone {
		t.Errorf("%v after it was told, and %v without", told, alone)
	}
}

// TestNATIsPassedOn: SetNAT reaches the server over the channel that stands.
func TestNATIsPassedOn(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(nil)
		alice, _ := v.pair(v.authentic(AuthYes, nil))
		b := nat.Behaviour{Known: true, Translated: true, Mapping: nat.AddressDependent}
		for range 3 { // the same is said once
			if err := alice.client.SetNAT(context.Background(), b); err != nil {
				v.t.Fatal(err)
			}
		}
		pass(time.Second)
		alice.offers(hostAt("192.168.1.2:5000"))
		alice.offers(hostAt("192.168.1.2:5000"))
		pass(time.Second)
		if n := r.count("REGISTER"); n != 4 {
			v.t.Errorf("%d REGISTERs of two clients, want 4", n)
		}
		r.with(func() {
			if len(r.channels) != 2 {
				v.t.Errorf("%d channels", len(r.channels))
			}
		})
	})
}
