package client

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"campagnol/punch/nat"
	"campagnol/punch/simnet"
	"campagnol/tunnel"
)

// TestPeerRelay: two members without a path to each other talk through a third one, and
// directly as soon as they can; when that ends, through the third one again. Nothing is
// lost or comes twice meanwhile but what is on the way when a path dies.
func TestPeerRelay(t *testing.T) {
	relayed(t, func(r *relayPlay) {
		if took := r.alice.ping(r.bob, 5*time.Second); took > 800*time.Millisecond {
			r.t.Errorf("the first reply took %v", took)
		}
		r.alice.path(r.bob, "relay")
		r.bob.path(r.alice, "relay")
		if took := r.alice.ping(r.bob, time.Second); took > 100*time.Millisecond {
			r.t.Errorf("the second reply took %v, want two round trips of 20 ms", took)
		}
		s := r.carol.status().Relayed
		if s == nil || len(s.Pairs) != 1 || !s.Pairs[0].Allowed || s.Pairs[0].A != r.alice.vpn || s.Pairs[0].B != r.bob.vpn ||
			s.Packets < 10 || s.Bytes < 1000 || s.Pairs[0].RelayCount != s.RelayCount {
			r.t.Fatalf("carol has relayed %+v", s)
		}
		if n := r.carol.peerOf(r.alice).PacketsIn; n != 0 {
			r.t.Errorf("carol counts %d packets of alice for herself", n)
		}

		r.cut.Store(false)
		if lost := r.flow(20 * time.Second); lost > 0 {
			r.t.Errorf("%d packets lost while the path moves to a direct one", lost)
		}
		r.alice.path(r.bob, "wan")
		r.bob.path(r.alice, "wan")
		if a, b := r.alice.logged("New DTLS connection opened with peer"), r.bob.logged("New DTLS connection opened with peer"); a != 2 || b != 2 {
			r.t.Errorf("%d and %d sessions, want one with carol and one with each other", a, b)
		}

		before := r.carol.status().Relayed.Packets
		r.cut.Store(true)
		lost := r.flow(20 * time.Second)
		r.alice.path(r.bob, "relay")
		if lost > 200 {
			r.t.Errorf("%d packets lost when the direct path died, want less than two seconds of them", lost)
		}
		if got := r.carol.status().Relayed.Packets - before; got < 2*1700 {
			r.t.Errorf("carol has relayed %d packets more, want most of 4000", got)
		}
	})
}

// flow sends a packet each way every 10 ms, and returns how many have not arrived. None
// may arrive twice.
func (r *relayPlay) flow(d time.Duration) (lost int) {
	r.t.Helper()
	n := int(d / (10 * time.Millisecond))
	seen := map[string]bool{}
	hear := func() {
		for _, node := range []*node{r.alice, r.bob} {
			for _, text := range node.texts() {
				if seen[text] {
					r.t.Errorf("%v received %q twice", node.vpn, text)
				}
				seen[text] = true
			}
		}
	}
	for i := range n {
		r.alice.send(r.bob.vpn, fmt.Sprint("a", i))
		r.bob.send(r.alice.vpn, fmt.Sprint("b", i))
		pass(10 * time.Millisecond)
		hear()
	}
	pass(time.Second)
	hear()
	return 2*n - len(seen)
}

// TestPeerRelayUnused: who has a direct path opens no session with a relay, and one that
// was opened for it ends like any other that is not used.
func TestPeerRelayUnused(t *testing.T) {
	relayed(t, func(r *relayPlay) {
		r.cut.Store(false)
		r.alice.ping(r.bob, 5*time.Second)
		r.alice.path(r.bob, "wan")
		if s := r.alice.state(r.carol); s != "CLOSED" {
			r.t.Errorf("with a direct path, the session with the relay is %s", s)
		}
		r.cut.Store(true)
		r.flow(3 * time.Second)
		r.alice.path(r.bob, "relay")
		pass(5 * time.Minute) // both sessions are idle
		if a, b := r.alice.state(r.bob), r.alice.state(r.carol); a != "CLOSED" || b != "CLOSED" {
			r.t.Errorf("after five idle minutes: bob %s, carol %s", a, b)
		}
		if n := len(r.carol.status().Relayed.Pairs); n != 0 {
			r.t.Errorf("carol still knows %d pairs", n)
		}
		if r.carol.status().Relayed.Packets == 0 {
			r.t.Error("carol has forgotten what she has relayed")
		}
		r.alice.ping(r.bob, 5*time.Second)
	})
}

// TestPeerRelayPermission: nobody is relayed whom the relay must not relay, however often
// it is asked, until it may.
func TestPeerRelayPermission(t *testing.T) {
	relayed(t, func(r *relayPlay) {
		asked := 0
		set := r.carol.client.set
		set.MayRelay = func(a, b Shown) bool {
			asked++
			if a.VPNAddr != r.alice.vpn || b.VPNAddr != r.bob.vpn || len(a.Chain) == 0 || len(b.Chain) == 0 || string(a.Chain[0]) == string(b.Chain[0]) {
				r.t.Errorf("asked about %v and %v with %d and %d certificates", a.VPNAddr, b.VPNAddr, len(a.Chain), len(b.Chain))
			}
			return false
		}
		apply := func(s Settings) {
			r.t.Helper()
			if err := r.carol.client.Apply(r.t.Context(), s); err != nil {
				r.t.Fatal(err)
			}
		}
		apply(set)
		for i := range 20 {
			r.alice.send(r.bob.vpn, fmt.Sprint("hello ", i))
			pass(500 * time.Millisecond)
		}
		if got := r.bob.texts(); len(got) > 0 {
			r.t.Errorf("bob received %q", got)
		}
		s := r.carol.status()
		if p := s.Relayed.Pairs; len(p) != 1 || p[0].Allowed || p[0].Packets != 0 || p[0].Drops == 0 {
			r.t.Errorf("pairs %+v, want one that may not be relayed", p)
		}
		if asked != 1 || s.Drops["relay"] == 0 || r.carol.peerOf(r.alice).Drops["relay"] == 0 {
			r.t.Errorf("asked %d times, want once; drops %v", asked, s.Drops)
		}

		set.MayRelay = func(a, b Shown) bool { return true }
		apply(set)
		r.flow(5 * time.Second)
		r.alice.ping(r.bob, time.Second)
		r.alice.path(r.bob, "relay")
		if n := r.carol.status().Relayed.Drops; n == 0 {
			r.t.Error("other settings make the counts begin anew")
		}

		set.RelayFor = false
		apply(set)
		r.alice.send(r.bob.vpn, "and now?")
		pass(5 * time.Second)
		if got := r.bob.texts(); len(got) > 0 {
			r.t.Errorf("through one that relays no longer: %q", got)
		}
		if s := r.carol.status(); s.Relayed != nil {
			r.t.Errorf("carol says that she relays: %+v", s.Relayed)
		}
		set.RelayFor = true
		apply(set)
		if r.flow(5*time.Second) > 500 {
			r.t.Error("one that relays again is not used within two seconds and a half")
		}
		r.alice.path(r.bob, "relay")
	})
}

// TestPeerRelayDies: when a relay goes without a word, another one takes over.
func TestPeerRelayDies(t *testing.T) {
	relayed(t, func(r *relayPlay) {
		dave := r.relay(4, nil)
		pass(time.Second)
		r.alice.ping(r.bob, 5*time.Second)
		pass(5 * time.Second) // the session with the other relay stands, too
		for range 2 {
			r.alice.ping(r.bob, time.Second)
			pass(500 * time.Millisecond)
		}
		used, spare := r.carol, dave
		if r.carol.status().Relayed.Packets < dave.status().Relayed.Packets {
			used, spare = dave, r.carol
		}
		used.kill()
		before := spare.status().Relayed.Packets
		lost := r.flow(10 * time.Second)
		if lost > 2*300 {
			r.t.Errorf("%d packets lost, want less than three seconds of them", lost)
		}
		r.alice.path(r.bob, "relay")
		if got := spare.status().Relayed.Packets - before; got < 1000 {
			r.t.Errorf("the other relay has relayed %d packets", got)
		}
	})
}

// TestPeerRelayHopeless: where both are known to be behind hard NATs, nobody waits long
// for a direct path, and with sessions that stand with the relay, not at all.
func TestPeerRelayHopeless(t *testing.T) {
	symmetric := nat.Behaviour{Known: true, Translated: true, Mapping: nat.AddressAndPortDependent, MappingExact: true, Filtering: nat.AddressAndPortDependent}
	relayed(t, func(r *relayPlay) {
		for _, n := range []*node{r.alice, r.bob} {
			if err := n.client.SetNAT(r.t.Context(), symmetric); err != nil {
				r.t.Fatal(err)
			}
		}
		pass(time.Second)
		// 40 ms to find each other, and the relay; 60 for a session with it; 40 to say that
		// it relays and is understood; 100 through it, of twice the length; the punches in
		// between.
		if took := r.alice.ping(r.bob, 5*time.Second); took > 400*time.Millisecond {
			r.t.Errorf("the first reply took %v", took)
		}
		r.inControl(r.alice, func(c *Client, now time.Time) { c.closeSession(now, c.peers[r.bob.vpn]); c.settle(c.peers[r.bob.vpn]) })
		pass(2 * time.Second)
		// ASK and PEER 2 delays, a punch and its answer 4, four flights 8, packet and reply 4.
		if took := r.alice.ping(r.bob, 5*time.Second); took > 250*time.Millisecond {
			r.t.Errorf("with a session with the relay, the first reply took %v", took)
		}
		r.alice.path(r.bob, "relay")
	})
}

// TestPeerRelayRestarts: a relay that was restarted relays again, with sessions that are
// new.
func TestPeerRelayRestarts(t *testing.T) {
	relayed(t, func(r *relayPlay) {
		r.alice.ping(r.bob, 5*time.Second)
		r.carol.stop()
		pass(time.Second)
		r.carol = r.relay(5, nil) // at another address, too
		pass(time.Second)
		r.alice.send(r.bob.vpn, "hello")
		pass(5 * time.Second)
		r.alice.ping(r.bob, 10*time.Second)
		r.alice.path(r.bob, "relay")
	})
}

// TestPeerRelayMTU: what is relayed is as small as the path through the relay needs, from
// the first packet on, and nobody cuts it.
func TestPeerRelayMTU(t *testing.T) {
	relayed(t, func(r *relayPlay) {
		r.net.Observe(func(p simnet.Packet, v simnet.Verdict) {
			if v == simnet.Sent && len(p.Data) > 1500-28 {
				r.t.Errorf("%d bytes of UDP do not fit an Ethernet", len(p.Data))
			}
		})
		r.alice.ping(r.bob, 5*time.Second)
		limit := r.limit(r.alice, r.bob)
		overhead := r.overhead(r.alice, r.bob)
		head := 7
		if want := 1419 - head; limit != want {
			r.t.Errorf("datagrams of %d bytes at most, want %d", limit, want)
		}
		text := make([]byte, limit-overhead-28)
		for i := range text {
			text[i] = 'x'
		}
		r.alice.send(r.bob.vpn, string(text))
		r.bob.wants(string(text), time.Second)
		pass(time.Minute)
		if got := r.limit(r.alice, r.bob); got != limit {
			r.t.Errorf("after a minute datagrams of %d bytes at most, want %d still", got, limit)
		}
		r.alice.send(r.bob.vpn, string(text)+"x") // may be cut, and comes in two packets
		pass(time.Second)
		if got := len(r.bob.dev.Delivered()); got != 2 {
			r.t.Errorf("one byte more comes in %d packets, want 2", got)
		}
	})
}

// limit returns how long datagrams to another node may be.
func (r *relayPlay) limit(n, other *node) (limit int) {
	r.inControl(n, func(c *Client, _ time.Time) { limit = c.peers[other.vpn].way.limit })
	return limit
}

func (r *relayPlay) overhead(n, other *node) (overhead int) {
	r.inControl(n, func(c *Client, _ time.Time) { overhead = c.peers[other.vpn].session.Overhead() })
	return overhead
}

// inControl runs f on a node's control goroutine.
func (r *relayPlay) inControl(n *node, f func(c *Client, now time.Time)) {
	r.t.Helper()
	if err := n.client.do(r.t.Context(), func(now time.Time) { f(n.client, now) }); err != nil {
		r.t.Fatal(err)
	}
}

// TestPeerRelayProbeLost: that a member relays is told again if the first word is lost.
func TestPeerRelayProbeLost(t *testing.T) {
	relayed(t, func(r *relayPlay) {
		open := map[netip.AddrPort]int{}
		r.net.Drop(func(p simnet.Packet) bool {
			if r.cut.Load() && r.direct(p) {
				return true
			}
			// Small records after the handshake, the first three from anywhere.
			if p.Kind != simnet.KindData || p.Dst == r.server || p.Src == r.server {
				return false
			}
			open[p.Src]++
			return open[p.Src] <= 3
		})
		r.flow(8 * time.Second)
		r.alice.ping(r.bob, time.Second)
		r.alice.path(r.bob, "relay")
	})
}

// TestPeerRelayNotUnderstood: who has not said that it understands it is passed nothing.
func TestPeerRelayNotUnderstood(t *testing.T) {
	relayed(t, func(r *relayPlay) {
		r.alice.ping(r.carol, 5*time.Second)
		r.bob.ping(r.carol, 5*time.Second)
		// Bob takes back that he understands it, as one would who never did.
		r.inControl(r.bob, func(c *Client, now time.Time) {
			p := c.peers[r.carol.vpn]
			for _, b := range p.session.Probe(tunnel.Abilities{}, nil) {
				c.sendToPeer(now, p, b)
			}
		})
		pass(100 * time.Millisecond)
		r.inControl(r.alice, func(c *Client, now time.Time) { sendRelay(c, r.carol.vpn, r.bob.vpn, punchOf(r.alice.vpn)) })
		pass(time.Second)
		if n := r.carol.peerOf(r.alice).Drops["relay"]; n != 1 {
			r.t.Errorf("%d datagrams refused, want 1", n)
		}
	})
}
