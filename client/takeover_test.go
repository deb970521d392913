package client

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/rdv"
	"campagnol/tunnel"
)

// onlyPeer returns the one peer of a node's status.
func onlyPeer(n *node) PeerStatus {
	n.t.Helper()
	s := n.status().Peers
	if len(s) != 1 {
		n.t.Fatalf("%v has %d peers, want 1", n.vpn, len(s))
	}
	return s[0]
}

// TestLANTakesOver: a session that began over the NAT, which hairpins, goes on within
// the LAN as soon as that works, without a new handshake and without a loss.
func TestLANTakesOver(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.ourServer(rdv.Mixed)
		hairpin := portRestricted
		hairpin.Hairpin = simnet.ExternalSource
		home := v.home(1, hairpin)
		inside := false // the access point lets hosts talk to each other
		v.net.Drop(func(p simnet.Packet) bool {
			return !inside && strings.HasPrefix(p.Dst.String(), "192.168.")
		})
		alice := v.node(home, "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthYes, nil))
		bob := v.node(home, "192.168.1.3:5000", "10.9.0.2", v.authentic(AuthYes, nil))
		pass(time.Second)
		f := newFlow(v, alice, bob, 0)
		if p := onlyPeer(alice); p.Path != "wan" || p.RTT <= 0 || p.Moves != 0 || p.Found != punch.Observed.String() {
			t.Errorf("at first: %+v", p)
		}
		inside = true
		f.flowFor(40 * time.Second)
		for _, n := range v.nodes {
			p := onlyPeer(n)
			if p.Path != "lan" || p.Moves != 1 || !p.Addr.Addr().IsPrivate() || p.RTT <= 0 || p.RTT > 5*time.Millisecond {
				t.Errorf("afterwards: %+v", p)
			}
			if n.logged("The path to the peer has changed") != 1 || n.logged("the peer is in the same network") != 1 {
				t.Error("the log does not say why")
			}
		}
		f.wantGap(2 * flowStep)
		f.wantSame()
		// Somebody pulls a cable: back to where it was.
		inside = false
		f.reset()
		f.flowFor(3 * time.Second)
		f.wantGap(time.Second)
		f.wantSame()
		if p := onlyPeer(alice); p.Path != "wan" || p.Moves != 2 {
			t.Errorf("without LAN: %+v", p)
		}
	})
}

// TestEligible: the network behind a peer contains the address at which
// the peer says it is. A challenge would go through the tunnel, and come back.
func TestEligible(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		alice.ping(bob, 5*time.Second)
		err := alice.client.do(v.t.Context(), func(now time.Time) {
			c := alice.client
			p := c.peers[bob.vpn]
			tab := c.table.Load().withNetwork(netip.MustParsePrefix("192.168.7.0/24"), p.way, bob.vpn)
			tab = tab.withNetwork(netip.MustParsePrefix("192.168.8.0/24"), nil, bob.vpn) // asleep
			c.publish(tab)
			for at, want := range map[string]bool{
				"203.0.113.9:5000": true, "192.168.1.7:5000": true, "[2001:db8::1]:5000": true,
				"192.168.7.2:5000": false, "192.168.8.2:5000": false, // through the tunnel
				"10.9.0.2:5000": false, "10.9.0.77:5000": false, "[::ffff:10.9.0.2]:5000": false, // likewise
				"198.51.100.1:57888": false, // the RDV
				"0.0.0.0:5000":       false, "224.0.0.1:5000": false, "203.0.113.9:0": false,
			} {
				if got := c.eligible(netip.MustParseAddrPort(at)); got != want {
					t.Errorf("%s: %v, want %v", at, got, want)
				}
			}
			sent := len(c.outbox)
			c.introduced(now, p, []punch.Candidate{{Addr: netip.MustParseAddrPort("192.168.7.2:5000"), Kind: punch.Host}, {Addr: netip.MustParseAddrPort("10.9.0.2:5000"), Kind: punch.Host}})
			for range 50 {
				now = now.Add(50 * time.Millisecond)
				c.advancePaths(now, p)
			}
			for _, d := range c.outbox[sent:] {
				if d.Addr != p.at.Addr && d.Addr != v.server {
					t.Errorf("a challenge to %v", d.Addr)
				}
			}
			if _, ok := c.table.Load().source(netip.MustParseAddrPort("192.168.7.2:5000")); ok {
				t.Error("records are taken from an address behind the peer")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestMoveForgetsMTU: what one path carries says nothing of another.
func TestMoveForgetsMTU(t *testing.T) {
	inRoam(t, false, nil, func(r *roamers) {
		f := newFlow(r.vpn, r.alice, r.bob, 0)
		err := r.alice.client.do(r.t.Context(), func(now time.Time) {
			c := r.alice.client
			p := c.peers[r.bob.vpn]
			c.handlePathError(now, punch.PathError{Addr: p.at.Addr, MTU: 1300})
			if p.mtu.Limit() != 1300 || p.way.limit == 0 {
				t.Errorf("MTU %d, limit %d", p.mtu.Limit(), p.way.limit)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		r.bob.conn.Host().Site().SetPublic("203.0.113.99")
		f.flowFor(2 * time.Second)
		err = r.alice.client.do(r.t.Context(), func(now time.Time) {
			p := r.alice.client.peers[r.bob.vpn]
			if p.mtu.Limit() != 0 || p.way.limit != 0 || p.way.addr != p.at.Addr || p.at.Addr.Addr().String() != "203.0.113.99" {
				t.Errorf("path %v, way to %v, MTU %d, limit %d", p.at.Addr, p.way.addr, p.mtu.Limit(), p.way.limit)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		f.wantSame()
	})
}

// TestSourcesFollow: the data path takes records of a session from its path and its
// candidates, with all of its keys, and from nowhere else when it has ended.
func TestSourcesFollow(t *testing.T) {
	inRoam(t, false, nil, func(r *roamers) {
		f := newFlow(r.vpn, r.alice, r.bob, 0)
		r.bob.conn.Host().Site().SetPublic("203.0.113.99")
		f.flowFor(2 * time.Second)
		c := r.alice.client
		look := func(f func(p *peer)) {
			t.Helper()
			if err := c.do(r.t.Context(), func(time.Time) { f(c.peers[r.bob.vpn]) }); err != nil {
				t.Fatal(err)
			}
		}
		var before []*tunnel.Session
		look(func(p *peer) {
			before = p.sessions()
			if len(p.sources) < 2 {
				t.Errorf("sources %v, want the old path among them", p.sources)
			}
			for _, a := range p.sources {
				if s, ok := c.table.Load().source(a); !ok || len(s.sessions) != 1 || s.sessions[0] != p.session {
					t.Errorf("%v is a source of %+v", a, s)
				}
			}
			p.rekey.shown = time.Now().Add(-showSpread) // fresh keys are due
			c.settle(p)
		})
		f.flowFor(8 * time.Second)
		look(func(p *peer) {
			if p.session == before[0] {
				t.Error("there are no fresh keys")
			}
			for _, a := range p.sources {
				if s, ok := c.table.Load().source(a); !ok || s.sessions[0] != p.session {
					t.Errorf("%v is a source of %+v", a, s)
				}
			}
		})
		r.bob.stop()
		pass(oldKeysLife + 2*time.Second)
		err := c.do(r.t.Context(), func(time.Time) {
			if n := c.table.Load().sources.len(); n != 0 || len(c.ends) != 0 {
				t.Errorf("%d sources and %d ends are left", n, len(c.ends))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestRekeyWhileMoving: the peer moves in the middle of a handshake for fresh keys, which
// then goes on over the new path.
func TestRekeyWhileMoving(t *testing.T) {
	for _, after := range []time.Duration{0, 15 * time.Millisecond, 35 * time.Millisecond, 55 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			inRoam(t, false, nil, func(r *roamers) {
				f := newFlow(r.vpn, r.alice, r.bob, 0)
				c := r.alice.client
				if err := c.do(r.t.Context(), func(now time.Time) {
					p := c.peers[r.bob.vpn]
					p.rekey.shown = now.Add(-showSpread)
					c.settle(p)
				}); err != nil {
					t.Fatal(err)
				}
				f.flowFor(after)
				r.bob.conn.Host().Site().SetPublic("203.0.113.99")
				f.flowFor(30 * time.Second)
				f.wantGap(time.Second)
				f.wantSame()
				if p := onlyPeer(r.alice); p.Rekeys != 1 || p.Moves != 1 {
					t.Errorf("%d fresh keys, %d moves, want one of each", p.Rekeys, p.Moves)
				}
				pass(oldKeysLife)
				wantTidy(r.vpn, r.alice, r.bob)
			})
		})
	}
}
