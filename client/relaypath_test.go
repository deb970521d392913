package client

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/hard"
	"campagnol/punch/simnet"
	"campagnol/rdv/wire"
)

// A testRelay is a socket of a node at another place of the Internet, as one is whose
// datagrams a relay passes on.
type testRelay struct{ *simnet.Conn }

func (testRelay) Relay() string { return "the relay" }

// relay gives a node a relay, which the RDV names to peers.
func (v *vpn) relay(n *node, at string) testRelay {
	v.t.Helper()
	r := testRelay{v.net.Internet().Listen(at)}
	n.onControl(func(now time.Time) { n.client.share(r) })
	n.offers(punch.Candidate{Addr: netip.MustParseAddrPort(at), Kind: punch.Relayed})
	return r
}

// onControl has the control goroutine of n do something.
func (n *node) onControl(f func(now time.Time)) {
	n.t.Helper()
	if err := n.client.do(n.t.Context(), f); err != nil {
		n.t.Fatal(err)
	}
}

// wantsClass lets a flow pass until the paths of both ends are of a class.
func (f *flow) wantsClass(class string, within time.Duration) time.Duration {
	f.v.t.Helper()
	start := time.Now()
	for time.Since(start) <= within {
		if f.ends[0].peer(f.ends[1]).Path == class && f.ends[1].peer(f.ends[0]).Path == class {
			return time.Since(start)
		}
		f.step()
	}
	f.v.t.Fatalf("the paths are %s and %s after %v, want %s",
		f.ends[0].peer(f.ends[1]).Path, f.ends[1].peer(f.ends[0]).Path, within, class)
	return 0
}

// wantsAll checks that nothing that was said is missing. The flow pauses.
func (f *flow) wantsAll(when string) {
	f.v.t.Helper()
	speaks := f.speaks
	f.speaks = [2]bool{}
	f.flowFor(200 * time.Millisecond)
	f.speaks = speaks
	if got := len(f.seen[0]) + len(f.seen[1]); got != f.n {
		f.v.t.Errorf("%s: %d of %d packets have arrived", when, got, f.n)
	}
}

// A relayedPair is two nodes of which the first has a relay.
type relayedPair struct {
	*flow
	alice, bob *node
	relay      testRelay
	cut        atomic.Bool // nothing passes between them directly
}

// newRelayedPair opens a session that is relayed, since nothing passes directly, between
// two nodes that could meet else.
func newRelayedPair(v *vpn) *relayedPair {
	v.t.Helper()
	r := newRoamers(v, false)
	p := &relayedPair{alice: r.alice, bob: r.bob, relay: v.relay(r.alice, "198.51.100.50:7000")}
	p.cut.Store(true)
	v.net.Drop(func(q simnet.Packet) bool {
		ours := q.From == p.alice.conn || q.From == p.bob.conn
		return p.cut.Load() && ours && q.Dst != v.server && q.Dst != p.relay.LocalAddr()
	})
	p.flow = newFlow(v, r.alice, r.bob, 0)
	p.wantsClass("relay", 0)
	return p
}

// TestRelayedThenDirect: a session that began through a relay goes on directly as soon as
// it can, falls back within a second when that ends, and returns, without losing a packet
// when it moves of its own will, and without doubling any.
func TestRelayedThenDirect(t *testing.T) {
	inBubble(t, func(v *vpn) {
		p := newRelayedPair(v)
		p.wantsAll("through the relay")
		p.cut.Store(false)
		if took := p.wantsClass("wan", 10*time.Second); took > 6*time.Second {
			t.Errorf("direct after %v", took)
		}
		p.flowFor(time.Second)
		p.wantsAll("after the move")
		for _, n := range []*node{p.alice, p.bob} {
			if n.logged("The path to the peer has changed") != 1 {
				t.Errorf("%v has moved more than once", n.vpn)
			}
			n.onControl(func(time.Time) {
				for _, q := range n.client.peers {
					if q.search != nil || q.look != (look{}) {
						t.Errorf("%v still looks for a direct path", n.vpn)
					}
				}
			})
		}

		p.flowFor(30 * time.Second)
		p.reset()
		p.cut.Store(true)
		p.flowFor(45 * time.Second)
		p.wantGap(time.Second)
		p.wantsClass("relay", 0)
		p.cut.Store(false)
		if took := p.wantsClass("wan", 20*time.Second); took > 10*time.Second {
			t.Errorf("direct again after %v", took)
		}
		p.wantSame()
	})
}

// TestRelaySameAddress: the address of the peer by the primary socket and by the relay is
// the same. Neither is taken for the other.
func TestRelaySameAddress(t *testing.T) {
	inBubble(t, func(v *vpn) {
		p := newRelayedPair(v)
		bob := p.bob.publicAddr(p.alice)
		p.alice.onControl(func(now time.Time) {
			c := p.alice.client
			q := c.peers[p.bob.vpn]
			if want := (punch.Endpoint{Addr: bob, Conn: p.relay}); q.at != want || !slices.Contains(q.places, punch.Endpoint{Addr: bob}) {
				t.Errorf("the path is %v of %v, want %v, and the address without the relay beside it", q.at, q.places, want)
			}
			if src, ok := c.table.Load().source(bob); !ok || len(src.sessions) != 1 {
				t.Error("the address is no source of one session")
			}
		})
		p.cut.Store(false)
		p.wantsClass("wan", 10*time.Second)
		p.alice.onControl(func(now time.Time) {
			c := p.alice.client
			q := c.peers[p.bob.vpn]
			if want := (punch.Endpoint{Addr: bob}); q.at != want || q.way.conn != nil || q.way.addr != bob {
				t.Errorf("the path is %v, the way %v by %v", q.at, q.way.addr, q.way.conn)
			}
			if c.ends[bob] != q {
				t.Error("what comes from there is not taken for bob's")
			}
		})
		p.reset()
		p.flowFor(time.Second)
		p.wantGap(200 * time.Millisecond)
	})
}

// TestRelayShown: the status and the log say who passes on what is sent, at both ends, as
// long as somebody does.
func TestRelayShown(t *testing.T) {
	inBubble(t, func(v *vpn) {
		p := newRelayedPair(v)
		if got := p.alice.peer(p.bob).Relay; got != "the relay" {
			t.Errorf("alice's path leads through %q", got)
		}
		if got := p.bob.peer(p.alice).Relay; got != "the peer's relay at 198.51.100.50" {
			t.Errorf("bob's path leads through %q", got)
		}
		p.alice.logs("New DTLS connection opened with peer", `relay="the relay"`)
		p.bob.logs("New DTLS connection opened with peer", "198.51.100.50:7000", "relay=")
		p.cut.Store(false)
		p.wantsClass("wan", 10*time.Second)
		for i, n := range p.ends {
			if got := n.peer(p.ends[1-i]).Relay; got != "" {
				t.Errorf("%v: a direct path leads through %q", n.vpn, got)
			}
			for line := range strings.Lines(n.log.String()) {
				if strings.Contains(line, "The path to the peer has changed") && strings.Contains(line, "relay=") {
					t.Errorf("%v: of a direct path it is logged: %s", n.vpn, line)
				}
			}
		}
		p.flowFor(20 * time.Second)
		p.cut.Store(true)
		p.wantsClass("relay", 2*time.Second)
		p.alice.logs("The path to the peer has changed", `relay="the relay"`)
	})
}

// TestRelayLost: a relay that is given up, with the session on it, costs the session
// nothing if there is another one.
func TestRelayLost(t *testing.T) {
	inBubble(t, func(v *vpn) {
		p := newRelayedPair(v)
		first := p.relay
		p.relay = testRelay{v.net.Internet().Listen("198.51.100.51:7000")}
		bob := p.bob.publicAddr(p.alice)
		p.alice.onControl(func(now time.Time) {
			p.alice.client.share(p.relay)
			q := p.alice.client.peers[p.bob.vpn]
			p.alice.client.reachBy(now, q, p.relay, []punch.Candidate{{Addr: bob, Kind: punch.Observed}})
		})
		p.bob.onControl(func(now time.Time) {
			p.bob.client.introduced(now, p.bob.client.peers[p.alice.vpn], []punch.Candidate{{Addr: p.relay.LocalAddr(), Kind: punch.Relayed}})
		})
		p.flowFor(5 * time.Second)
		p.alice.onControl(func(now time.Time) { p.alice.client.unshare(now, first) })
		p.reset()
		p.flowFor(5 * time.Second)
		if first.Send(nil) == nil {
			t.Error("the relay's socket is open")
		}
		p.wantGap(700 * time.Millisecond)
		p.wantsClass("relay", 0)
		if at := p.alice.explained(p.bob.vpn.String()).Paths[0]; at.Conn != p.relay {
			t.Errorf("the path is %+v", at)
		}
		p.wantSame()
		p.alice.stop()
		if p.relay.Send(nil) == nil {
			t.Error("the relay's socket is open after the end")
		}
	})
}

// TestRelayToHardNAT: where a direct path needs an extra socket, the session begins
// through the relay, and moves to that one.
func TestRelayToHardNAT(t *testing.T) {
	for _, c := range []struct {
		name       string
		hardRelays bool // the one behind the hard NAT has the relay
	}{{"the easy one has the relay", false}, {"the hard one has the relay", true}} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				alice, bob := v.hardPair(cone, symmetric)
				who := alice
				if c.hardRelays {
					who = bob
				}
				v.relay(who.node, "198.51.100.50:7000")
				if took := alice.ping(bob.node, time.Second); took > 150*time.Millisecond {
					t.Errorf("the first reply took %v", took)
				}
				if alice.peer(bob.node).Path != "relay" {
					t.Fatalf("the session begins with %+v", alice.peer(bob.node))
				}
				f := newFlow(v, alice.node, bob.node, 0)
				f.wantsClass("wan", 5*time.Second)
				f.flowFor(2 * time.Second)
				f.wantsAll("after the move")
				f.wantSame()
				bob.onlyExtra()
				for _, h := range []*hardHome{alice, bob} {
					if cost := h.cost(); cost != (hard.Cost{Attempts: 1, Sockets: cost.Sockets, Probes: cost.Probes, Successes: 1}) {
						t.Errorf("%v has spent %+v", h.vpn, cost)
					}
				}
				f.flowFor(time.Minute)
				f.wantGap(200 * time.Millisecond)
				alice.stop()
				pass(time.Second)
				if open, _ := bob.extras(); len(open) != 0 {
					t.Errorf("%d extra sockets are open after the session", len(open))
				}
			})
		})
	}
}

// TestRelayForEver: between two hard NATs the session stays relayed. The RDV is asked
// again, more and more rarely, and only while the session is used.
func TestRelayForEver(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.hardPair(symmetric, symmetric, func(c *Config) { c.Timeout = 3 * time.Hour })
		v.relay(alice.node, "198.51.100.50:7000")
		sent := v.punches()
		alice.ping(bob.node, time.Second)
		looked := func() (n [2]int) {
			for i, h := range []*hardHome{alice, bob} {
				h.onControl(func(time.Time) {
					for _, p := range h.client.peers {
						if !p.relayed() {
							t.Errorf("%v has no relayed session", h.vpn)
						}
						n[i] = p.look.count
					}
				})
			}
			return n
		}
		for range 40 * 6 { // 40 min of use
			pass(10 * time.Second)
			alice.ping(bob.node, time.Second)
		}
		used := looked()
		if used[0] != used[1] || used[0] < 5 || used[0] > 7 {
			t.Errorf("the ends were introduced %d times in 40 min, want after about 1, 3, 8, 18, 28 and 38 min", used)
		}
		if n := sent(); n == 0 || n > 1500 {
			t.Errorf("%d punches, want those of the beginning, and some with each introduction", n)
		}
		pass(time.Hour)
		if n := looked(); n != used {
			t.Errorf("the ends were introduced without use: %d times, and %d before", n, used)
		}
		if alice.peer(bob.node).Moves > 0 {
			t.Errorf("the session has moved: %+v", alice.peer(bob.node))
		}
	})
}

// TestSearchForged: while a direct path is looked for, forged punches lead to nothing but
// challenges, within bounds, and the session stays.
func TestSearchForged(t *testing.T) {
	inBubble(t, func(v *vpn) {
		p := newRelayedPair(v)
		stranger := v.net.Internet().Listen("203.0.113.66:6666")
		var sent atomic.Int64
		v.net.Observe(func(q simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Sent && q.From == p.alice.conn && q.Dst.Addr() == stranger.LocalAddr().Addr() {
				sent.Add(1)
			}
		})
		m := wire.NewPunch(p.bob.vpn, wire.Mark{Heard: true})
		for i := range 500 {
			p.alice.arriveMessage(netip.AddrPortFrom(stranger.LocalAddr().Addr(), uint16(1000+i)), m)
			p.step()
		}
		if n := sent.Load(); n == 0 || n > 200 {
			t.Errorf("%d datagrams to a stranger in 5 s, want a few", n)
		}
		p.wantsAll("under forged punches")
		p.wantsClass("relay", 0)
		if n := len(p.alice.explained(p.bob.vpn.String()).Paths); n > 20 {
			t.Errorf("%d places are remembered", n)
		}
		p.wantSame()
	})
}
