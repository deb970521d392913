package client

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"campagnol/punch"
	punchpath "campagnol/punch/path"
	"campagnol/punch/simnet"
	"campagnol/rdv/wire"
)

// A thief wants to be where a peer is. He sees all datagrams between the nodes, can send
// from an address of his own, and keeps what comes to it.
type thief struct {
	conn *simnet.Conn

	mu     sync.Mutex
	copies [][]byte // of what he has seen
	list   [][]byte // what was sent to him
}

// heard returns what was sent to the thief so far.
func (th *thief) heard() [][]byte {
	th.mu.Lock()
	defer th.mu.Unlock()
	return slices.Clone(th.list)
}

// newThief puts a thief on the Internet, who re-sends to the receiver what one node
// sends to another, faster than it arrives itself.
func newThief(v *vpn, from, to *node) *thief {
	th := &thief{conn: v.net.Internet().Listen("198.51.100.66:6666")}
	target := to.publicAddr(from)
	v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
		if verdict == simnet.Sent && p.From == from.conn && p.Dst == target && len(p.Data) > 13 {
			th.mu.Lock()
			th.copies = append(th.copies, bytes.Clone(p.Data))
			th.mu.Unlock()
		}
	})
	go func() {
		for {
			ds, err := th.conn.Receive()
			if err != nil {
				return
			}
			th.mu.Lock()
			for _, d := range ds {
				th.list = append(th.list, bytes.Clone(d.Data))
			}
			th.mu.Unlock()
		}
	}()
	done := make(chan struct{})
	v.t.Cleanup(func() { close(done); th.conn.Close() })
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
			th.mu.Lock()
			seen := th.copies
			th.copies = nil
			th.mu.Unlock()
			for _, b := range seen {
				to.arrive(th.conn.LocalAddr(), b) // at once, before the original
			}
		}
	}()
	return th
}

// wantLittle checks that the thief was sent nothing but challenges, and few of them.
func (th *thief) wantLittle(f *flow, most int) {
	f.v.t.Helper()
	// What is no challenge is a punch, for who may have been restarted.
	heard := withoutPunches(th.heard())
	if len(heard) > most {
		f.v.t.Errorf("the thief was sent %d datagrams, want %d at most", len(heard), most)
	}
	size := 0
	err := f.ends[0].client.do(f.v.t.Context(), func(time.Time) {
		size = f.ends[0].client.peers[f.ends[1].vpn].session.ChallengeSize()
	})
	if err != nil {
		f.v.t.Fatal(err)
	}
	for _, b := range heard {
		if len(b) > size {
			f.v.t.Errorf("the thief was sent %d bytes, of which a challenge has %d", len(b), size)
		}
	}
}

// wantPaths checks that both paths are what they were.
func wantPaths(f *flow, before [2]netip.AddrPort) {
	f.v.t.Helper()
	for i, n := range f.ends {
		if p := onlyPeer(n); p.Addr != before[i] || p.Moves != 0 {
			f.v.t.Errorf("%v has moved to %v, %d times, want it to stay at %v", n.vpn, p.Addr, p.Moves, before[i])
		}
	}
}

func pathsOf(f *flow) (at [2]netip.AddrPort) {
	for i, n := range f.ends {
		at[i] = onlyPeer(n).Addr
	}
	return at
}

// TestPathThief: records that are re-sent from elsewhere move no path, whether the address
// is unknown, one that a forged introduction has named, or one from which, as the data
// path says, something authentic has come.
func TestPathThief(t *testing.T) {
	for _, c := range []struct {
		name string
		most int // challenges for him
		lure func(n, peer *node, th *thief)
	}{
		{"from an unknown address", 60, func(*node, *node, *thief) {}},
		{"after forged introductions", 60, func(n, peer *node, th *thief) {
			at := th.conn.LocalAddr()
			n.arriveMessage(n.client.servers.rdvs[0].at, wire.Message{Type: wire.Forward, Port: at.Port(), IP1: at.Addr(), IP2: peer.vpn})
			n.arriveMessage(n.client.servers.rdvs[0].at, wire.Message{Type: wire.Answer, Port: at.Port(), IP1: at.Addr(), IP2: peer.vpn})
		}},
		{"as a stray", 60, func(n, peer *node, th *thief) {
			err := n.client.do(n.t.Context(), func(now time.Time) {
				p := n.client.peers[peer.vpn]
				n.client.handleInner(now, event{addr: th.conn.LocalAddr(), session: p.session, stray: true})
			})
			if err != nil {
				n.t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inRoam(t, true, nil, func(r *roamers) {
				f := newFlow(r.vpn, r.alice, r.bob, 0)
				before := pathsOf(f)
				th := newThief(r.vpn, r.bob, r.alice)
				for range 5 {
					c.lure(r.alice, r.bob, th)
					f.flowFor(time.Second)
				}
				wantPaths(f, before)
				f.wantGap(100 * time.Millisecond)
				f.wantSame()
				if c.most > 0 && len(th.heard()) == 0 {
					r.t.Error("the thief was not even challenged: the test did not test")
				}
				th.wantLittle(f, c.most)
			})
		})
	}
}

func withoutPunches(list [][]byte) (rest [][]byte) {
	for _, b := range list {
		if m, err := wire.Parse(b); err != nil || m.Type != wire.Punch {
			rest = append(rest, b)
		}
	}
	return rest
}

// TestPathWhileDark: the path is dark when the thief's address is introduced, and all that
// he can send is what he has seen. The session waits for its peer.
func TestPathWhileDark(t *testing.T) {
	inRoam(t, true, nil, func(r *roamers) {
		f := newFlow(r.vpn, r.alice, r.bob, 0)
		before := pathsOf(f)
		th := newThief(r.vpn, r.bob, r.alice)
		dark := true
		r.net.Drop(func(p simnet.Packet) bool { return dark && p.Dst != r.server && p.From != th.conn })
		f.flowFor(400 * time.Millisecond)
		at := th.conn.LocalAddr()
		r.alice.arriveMessage(r.server, wire.Message{Type: wire.Answer, Port: at.Port(), IP1: at.Addr(), IP2: r.bob.vpn})
		f.flowFor(500 * time.Millisecond)
		if !darkAt(r.alice, r.bob) {
			r.t.Error("the path is not dark: the test does not test")
		}
		wantPaths(f, before)
		dark = false
		f.flowFor(2 * time.Second)
		wantPaths(f, before)
		f.wantSame()
	})
}

// darkAt reports whether a node's path to a peer is dark.
func darkAt(n, peer *node) (dark bool) {
	n.t.Helper()
	err := n.client.do(n.t.Context(), func(time.Time) { dark = n.client.peers[peer.vpn].paths.Dark() })
	if err != nil {
		n.t.Fatal(err)
	}
	return dark
}

// TestChallengeFlood: a peer that challenges without end is answered within bounds, and a
// challenge whose answer would go through the tunnel is not.
func TestChallengeFlood(t *testing.T) {
	inRoam(t, true, nil, func(r *roamers) {
		f := newFlow(r.vpn, r.alice, r.bob, 0)
		flood := func(from netip.AddrPort, n int) (sent int) {
			var records [][]byte
			err := r.bob.client.do(r.t.Context(), func(time.Time) {
				c := r.bob.client
				for i := range n {
					records = append(records, c.peers[r.alice.vpn].session.SealChallenge(uint64(i), 0, &c.tmp))
				}
			})
			if err != nil {
				r.t.Fatal(err)
			}
			r.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
				if verdict == simnet.Sent && p.From == r.alice.conn && p.Dst == from {
					sent++
				}
			})
			source := onlyPeer(r.alice).Addr
			for _, b := range records {
				// The data path knows one source; control is told another.
				in := newInbound(r.alice.client, r.alice.dev)
				tab := *r.alice.client.table.Load()
				src, _ := tab.source(source)
				in.batch(time.Now(), tab.withSource(from, src), []punch.Datagram{{Addr: from, Data: b}})
				pass(time.Millisecond)
			}
			r.net.Observe(nil)
			return sent
		}
		if n := flood(netip.MustParseAddrPort("198.51.100.66:6666"), 2000); n < 100 || n > answerBurst+3*answerRate+20 {
			r.t.Errorf("%d answers to 2000 challenges in two seconds, want %d to %d", n, 100, answerBurst+3*answerRate+20)
		}
		pass(5 * time.Second)
		for _, from := range []string{"10.9.0.2:5000", "198.51.100.1:57888", "224.0.0.1:5000"} {
			if n := flood(netip.MustParseAddrPort(from), 10); n != 0 && from != r.server.String() {
				r.t.Errorf("%d answers to %s", n, from)
			}
		}
		f.reset()
		f.flowFor(time.Second)
		f.wantSame()
	})
}

// TestSharedAddress: many peers name the same private address. Records from there are
// tried with the keys of a few.
func TestSharedAddress(t *testing.T) {
	shared := netip.MustParseAddrPort("192.168.1.2:5000")
	c := newCrowd(t, &deafConn{closed: make(chan struct{})}, 3*maxShared, 0, nil)
	defer c.stop()
	err := c.client.do(t.Context(), func(now time.Time) {
		for _, p := range c.client.peersInOrder() {
			p.paths = punchpath.New(now, drawNumber, p.at, nil) // as if it were ours
			c.client.introduced(now, p, []punch.Candidate{{Addr: shared, Kind: punch.Host}, {Addr: p.at.Addr, Kind: punch.Observed}})
		}
		src, ok := c.client.table.Load().source(shared)
		if !ok || len(src.sessions) != maxShared {
			t.Errorf("%v is a source of %+v, want %d sessions", shared, src, maxShared)
		}
		for _, p := range c.client.peersInOrder() {
			if own, _ := c.client.table.Load().source(p.at.Addr); own == nil || own.sessions[0] != p.session {
				t.Errorf("the path to %v is a source of %+v", p.vpn, own)
			}
			c.client.dropSession(p)
			c.client.settle(p)
		}
		if n := c.client.table.Load().sources.len(); n != 0 {
			t.Errorf("%d sources are left", n)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestOriginalStays: a session with an original has the path that it has.
func TestOriginalStays(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		alice.ping(bob, 5*time.Second)
		err := alice.client.do(v.t.Context(), func(now time.Time) {
			c := alice.client
			p := c.peers[bob.vpn]
			p.paths, p.places = nil, nil // as establish leaves it with one
			before := fmt.Sprint(p.at, p.sources, len(c.outbox))
			c.introduced(now, p, []punch.Candidate{{Addr: netip.MustParseAddrPort("203.0.113.9:5000"), Kind: punch.Observed}})
			c.strayed(now, p, p.session, punch.Endpoint{Addr: netip.MustParseAddrPort("203.0.113.9:5000")})
			c.doubtPaths(now)
			c.wake(now, p)
			if got := fmt.Sprint(p.at, p.sources, len(c.outbox)); got != before {
				v.t.Errorf("%s, want %s", got, before)
			}
			if c.peerTimeout(p).IsZero() || p.pulse.at.IsZero() {
				v.t.Error("the peer's pulse is not felt")
			}
		})
		if err != nil {
			v.t.Fatal(err)
		}
	})
}
