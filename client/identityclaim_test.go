package client

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"testing"
	"time"

	"campagnol/pki/pkitest"
	"campagnol/punch/simnet"
	"campagnol/rdv/wire"
)

// TestClaims: what two hosts claim belongs to the newer certificate, whoever comes
// first, and to the other one when the first has gone.
func TestClaims(t *testing.T) {
	for _, c := range []struct {
		name   string
		second time.Duration // how much older its certificate is
		wins   bool
	}{
		{"an older certificate", time.Minute, false},
		{"an equal one", 0, false},
		{"a newer one", -time.Minute, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				alice := v.host(1, "alice", []string{"10.9.0.1"})
				first := v.host(2, "first", []string{"10.9.0.2", "10.9.0.9"}, routes("172.16.0.0/16"))
				second := v.host(3, "second", []string{"10.9.0.3", "10.9.0.9"}, routes("172.16.0.0/16"), issued(c.second))
				alice.ping(first, 5*time.Second)
				alice.ping(second, 5*time.Second)
				for _, a := range []string{"10.9.0.9", "172.16.3.4"} {
					v.check(a, passage{alice, first, "10.9.0.1", a, !c.wins}, passage{alice, second, "10.9.0.1", a, c.wins},
						passage{first, alice, a, "10.9.0.1", !c.wins}, passage{second, alice, a, "10.9.0.1", c.wins})
				}
				alice.logs("Two peers claim the same", "network=10.9.0.9/32", "=first", "=second")
				alice.logs("Two peers claim the same", "network=172.16.0.0/16", "=first", "=second")
				v.check("their own", passage{alice, first, "10.9.0.1", "10.9.0.2", true}, passage{alice, second, "10.9.0.1", "10.9.0.3", true})

				loser, winner := second, first
				if c.wins {
					loser, winner = first, second
				}
				winner.stop()
				pass(time.Second)
				v.check("the winner has gone", passage{alice, loser, "10.9.0.1", "10.9.0.9", true},
					passage{loser, alice, "172.16.3.4", "10.9.0.1", true})
			})
		})
	}
}

// TestClaimOwnAddress: who comes with another's own address gets no tunnel by an
// older certificate, and takes the address by a newer one.
func TestClaimOwnAddress(t *testing.T) {
	for _, newer := range []bool{false, true} {
		t.Run(fmt.Sprintf("newer=%v", newer), func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				age := time.Minute
				if newer {
					age = -age
				}
				alice := v.host(1, "alice", []string{"10.9.0.1"})
				both := v.host(2, "both", []string{"10.9.0.2", "10.9.0.3"})
				alice.ping(both, 5*time.Second)
				other := v.host(3, "other", []string{"10.9.0.3", "10.9.0.2"}, issued(age))
				v.check("other comes", passage{other, alice, "10.9.0.3", "10.9.0.1", newer})
				v.check("then", passage{both, alice, "10.9.0.3", "10.9.0.1", !newer})
				if newer {
					alice.logs("a newer certificate has its address", "name=both")
					alice.logs("Two peers claim the same", "network=10.9.0.2/32", "=both", "=other")
				} else {
					alice.logs("Error during DTLS handshake", `certificate \"other\" refused`, `belongs to \"both\"`, "code=claimed", "hint=")
				}
				if n := alice.sessions(); n != 1 {
					v.t.Errorf("%d sessions, want 1", n)
				}
			})
		})
	}
}

// TestClaimSameAddress: an older certificate with another key does not replace an open
// session at its own address either, even if no pin rules it out; a newer one does.
func TestClaimSameAddress(t *testing.T) {
	for _, newer := range []bool{false, true} {
		t.Run(fmt.Sprintf("newer=%v", newer), func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				age := time.Minute
				if newer {
					age = -age
				}
				alice := v.host(1, "alice", []string{"10.9.0.1"})
				first := v.host(2, "first", []string{"10.9.0.2"})
				alice.ping(first, 5*time.Second)
				first.kill()
				pass(10 * time.Second) // the RDV forgets it; alice does not
				other := v.host(3, "other", []string{"10.9.0.2"}, issued(age))
				v.check("other comes", passage{other, alice, "10.9.0.2", "10.9.0.1", newer})
				if name := alice.status().Peers[0].Name; (name == "other") != newer {
					v.t.Errorf("alice has a tunnel with %q", name)
				}
				if rs := alice.refusalOf(other.vpn); (len(rs) == 1 && rs[0].Code == "claimed") == newer {
					v.t.Errorf("refusals: %+v", rs)
				}
				pass(5 * time.Minute) // nobody has heard of the first one since
				v.check("when the first has gone", passage{other, alice, "10.9.0.2", "10.9.0.1", true})
			})
		})
	}
}

// TestOneHostOneTunnel: a host that comes back under another of its addresses takes
// over what it had.
func TestOneHostOneTunnel(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.host(1, "alice", []string{"10.9.0.1"})
		leaf := v.ca.Issue(v.t, "bob", pkitest.Addrs("10.9.0.2", "10.9.0.3"))
		bob := v.member(2, "10.9.0.2", leaf)
		alice.ping(bob, 5*time.Second)
		bob.kill()
		again := v.member(3, "10.9.0.3", leaf)
		v.check("the other address", passage{again, alice, "10.9.0.3", "10.9.0.1", true},
			passage{alice, again, "10.9.0.1", "10.9.0.2", true},
			passage{again, alice, "10.9.0.2", "10.9.0.1", true})
		if n := alice.sessions(); n != 1 {
			v.t.Errorf("%d sessions, want 1", n)
		}
		alice.logs("the host has a newer one", "other=10.9.0.3")
	})
}

// TestAbsorbTry: packets for another address of a peer, for which the RDV was asked
// in vain so far, go over the tunnel when that is open.
func TestAbsorbTry(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.host(1, "alice", []string{"10.9.0.1"})
		bob := v.host(2, "bob", []string{"10.9.0.2", "10.9.0.3"})
		v.net.Drop(func(p simnet.Packet) bool { return p.Kind == simnet.Kind(wire.Reject) })
		alice.send(netip.MustParseAddr("10.9.0.3"), "for the other address")
		alice.send(bob.vpn, "for the first")
		pass(time.Second)
		got := bob.texts()
		slices.Sort(got)
		if want := []string{"for the first", "for the other address"}; !slices.Equal(got, want) {
			v.t.Errorf("bob received %q, want %q", got, want)
		}
		if ps := alice.status().Peers; len(ps) != 1 {
			v.t.Errorf("peers %+v, want bob alone", ps)
		}
	})
}

// TestStagedElsewhere: a packet that waited for the gateway of a network does not go
// to it when its new certificate no longer has that network.
func TestStagedElsewhere(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.host(1, "alice", []string{"10.9.0.1"})
		bob := v.host(2, "bob", []string{"10.9.0.2"}, routes("192.168.7.0/24"))
		alice.ping(bob, 5*time.Second)
		bob.stop()
		pass(10 * time.Second)
		bob = v.host(3, "bob", []string{"10.9.0.2"}, issued(-time.Minute))
		before := alice.status().Drops["dest"]
		v.check("the network is lost", passage{alice, bob, "10.9.0.1", "192.168.7.9", false})
		if alice.client.table.Load().networks != nil {
			v.t.Error("the network is still known")
		}
		if alice.sessions() != 1 || alice.status().Drops["dest"] != before+1 {
			v.t.Errorf("%d sessions, %d packets without destination, want 1 and %d", alice.sessions(), alice.status().Drops["dest"], before+1)
		}
	})
}

func mustURL(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}
