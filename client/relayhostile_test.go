package client

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
)

// noise is what looks like a record from outside.
func noise(n int) []byte { return append([]byte{25, 254, 253}, bytes.Repeat([]byte{0x5a}, n-3)...) }

// drops returns how much of what a node was sent by another it has not relayed, or not
// taken as relayed.
func (r *relayPlay) drops(n, from *node) uint64 { return n.peerOf(from).Drops["relay"] }

// TestPeerRelayMisused: a member gets nothing relayed but what a relay is for.
func TestPeerRelayMisused(t *testing.T) {
	for _, c := range []struct {
		name      string
		addressee netip.Addr
		datagram  []byte
		passes    bool
	}{
		{"a record to bob", netip.MustParseAddr("10.9.0.2"), noise(100), true},
		{"a punch to bob", netip.MustParseAddr("10.9.0.2"), punchOf(netip.MustParseAddr("10.9.0.1")), true},
		{"to herself", netip.MustParseAddr("10.9.0.1"), noise(100), false},
		{"to the relay", netip.MustParseAddr("10.9.0.3"), noise(100), false},
		{"to one without a session", netip.MustParseAddr("10.9.0.77"), noise(100), false},
		{"out of the VPN", netip.MustParseAddr("192.0.2.1"), noise(100), false},
		{"to a group", netip.MustParseAddr("224.0.0.1"), noise(100), false},
		{"to everybody", netip.MustParseAddr("10.9.0.255"), noise(100), false},
		{"by IPv6", netip.MustParseAddr("fd00::2"), noise(100), false},
		{"an IP packet", netip.MustParseAddr("10.9.0.2"), packetTo(netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2"), "hello"), false},
		{"STUN", netip.MustParseAddr("10.9.0.2"), append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...), false},
		{"a HELLO", netip.MustParseAddr("10.9.0.2"), (&wire.Message{Type: wire.Hello}).Append(nil), false},
		{"the gate", netip.MustParseAddr("10.9.0.2"), []byte{15, 1, 2, 3}, false},
		{"a short record", netip.MustParseAddr("10.9.0.2"), noise(12), false},
		{"one byte", netip.MustParseAddr("10.9.0.2"), []byte{25}, false},
		{"larger than bob's path takes", netip.MustParseAddr("10.9.0.2"), noise(1300), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			relayed(t, func(r *relayPlay) {
				r.alice.ping(r.carol, 5*time.Second)
				r.bob.ping(r.carol, 5*time.Second)
				for range 3 { // the first one goes by control
					r.inControl(r.carol, func(c *Client, now time.Time) { // bob's path is small
						p := c.peers[r.bob.vpn]
						way := *p.way
						way.limit = 1280
						c.publish(c.setWay(c.table.Load(), p, &way))
					})
					r.inControl(r.alice, func(cl *Client, now time.Time) { sendRelay(cl, r.carol.vpn, c.addressee, c.datagram) })
					pass(50 * time.Millisecond)
				}
				want := uint64(0)
				if c.passes {
					want = 3
				}
				s := r.carol.status()
				if s.Relayed.Packets != want || r.bob.status().Relayed != nil {
					r.t.Errorf("relayed %d datagrams, want %d", s.Relayed.Packets, want)
				}
				if got := s.Drops["relay"] + s.Drops["too_big"]; got != 3-want {
					r.t.Errorf("dropped %d, want %d: %v", got, 3-want, s.Drops)
				}
			})
		})
	}
}

// TestPeerRelayNotAsked: who is no relay passes on nothing.
func TestPeerRelayNotAsked(t *testing.T) {
	relayed(t, func(r *relayPlay) {
		r.cut.Store(false)
		r.alice.ping(r.bob, 5*time.Second)
		r.carol.ping(r.bob, 5*time.Second)
		r.inControl(r.alice, func(c *Client, now time.Time) { sendRelay(c, r.bob.vpn, r.carol.vpn, noise(100)) })
		pass(time.Second)
		if n := r.drops(r.bob, r.alice); n != 1 {
			r.t.Errorf("bob has dropped %d, want 1", n)
		}
		if r.bob.status().Relayed != nil || r.carol.peerOf(r.bob).Drops["relay"] > 0 && r.bob.peerOf(r.carol).Drops["relay"] > 0 {
			r.t.Error("bob relays")
		}
	})
}

// TestPeerRelayForges: a relay sends noise, repeats what it has relayed, and names others
// as senders; nothing of it is delivered, and no session ends or moves.
func TestPeerRelayForges(t *testing.T) {
	relayed(t, func(r *relayPlay) {
		r.alice.ping(r.bob, 5*time.Second)
		seen := r.sealed(r.alice, r.bob, 100)
		if got := r.bob.texts(); len(got) != len(seen) {
			r.t.Fatalf("bob is delivered %d packets, want %d", len(got), len(seen))
		}
		moves := r.bob.peerOf(r.alice).Moves
		for _, sender := range []netip.Addr{r.alice.vpn, r.bob.vpn, r.carol.vpn, netip.MustParseAddr("10.9.0.99"), netip.MustParseAddr("192.0.2.7"), netip.IPv6Unspecified()} {
			for i, b := range seen {
				broken := bytes.Clone(b)
				broken[len(broken)-1] ^= 1
				r.inControl(r.carol, func(c *Client, now time.Time) {
					sendRelayed(c, r.bob.vpn, sender, b)
					sendRelayed(c, r.bob.vpn, sender, broken)
					sendRelayed(c, r.bob.vpn, sender, noise(60+i))
				})
			}
			pass(100 * time.Millisecond)
			if got := r.bob.texts(); len(got) > 0 {
				r.t.Errorf("in the name of %v, bob is delivered %q", sender, got)
			}
		}
		p := r.bob.peerOf(r.alice)
		if p.Drops["replay"]+p.Drops["auth"] == 0 {
			r.t.Errorf("drops %v, want replayed and forged records", p.Drops)
		}
		if p.State != "ESTABLISHED" || p.Moves != moves || p.Addr != throughAddr(r.alice.vpn) {
			r.t.Errorf("the session is %s, at %v after %d moves", p.State, p.Addr, p.Moves-moves)
		}
		r.alice.ping(r.bob, time.Second)
		if n := r.bob.logged("New DTLS connection opened with peer"); n != 2 {
			r.t.Errorf("%d sessions, want two", n)
		}
	})
}

// sealed makes a node send n packets to another by the path that it has, and returns the
// records that the relay has seen.
func (r *relayPlay) sealed(n, other *node, count int) (records [][]byte) {
	r.t.Helper()
	for i := range count {
		r.inControl(n, func(c *Client, now time.Time) {
			p := c.peers[other.vpn]
			b, d := p.session.Seal(c.clock.Stamp(now), nil, packetTo(n.vpn, other.vpn, fmt.Sprint("sealed ", i)), &c.tmp)
			if d != tunnel.Kept || !isThrough(p.at.Conn) {
				r.t.Fatalf("%v, at %v", d, p.at)
			}
			records = append(records, bytes.Clone(b))
			c.sendTo(p.at, b)
		})
	}
	pass(100 * time.Millisecond)
	return records
}

// TestPeerRelaySpoofed: an outsider sends from the address under which a relayed peer is
// known, which nobody has: it counts for nothing.
func TestPeerRelaySpoofed(t *testing.T) {
	relayed(t, func(r *relayPlay) {
		var hello []byte
		r.net.Observe(func(p simnet.Packet, v simnet.Verdict) {
			if v == simnet.Sent && p.From == r.alice.conn && p.Kind == simnet.KindHandshake && hello == nil {
				hello = bytes.Clone(p.Data)
			}
		})
		r.alice.ping(r.bob, 5*time.Second)
		if !isClientHello(hello) {
			r.t.Fatalf("no ClientHello: %x", hello)
		}
		from := throughAddr(r.alice.vpn)
		r.inControl(r.bob, func(c *Client, now time.Time) {
			in := newInbound(c, c.cfg.Device)
			for _, b := range [][]byte{noise(100), punchOf(r.alice.vpn), hello} {
				in.batch(now, c.table.Load(), []punch.Datagram{{Addr: from, Data: b}})
			}
		})
		pass(time.Second)
		p := r.bob.peerOf(r.alice)
		if p.Addr != from || p.State != "ESTABLISHED" || p.Drops["short"] != 1 {
			r.t.Errorf("the session: %+v", p)
		}
		r.inControl(r.bob, func(c *Client, now time.Time) {
			if c.peers[r.alice.vpn].try != nil {
				r.t.Error("a try was begun for a stranger")
			}
		})
		r.alice.ping(r.bob, time.Second)
	})
}

// TestPeerRelayNoThirdHop: what has come through a relay is not relayed on, and nobody
// is reached through a relay that is itself reached through one.
func TestPeerRelayNoThirdHop(t *testing.T) {
	relayed(t, func(r *relayPlay) {
		r.alice.ping(r.bob, 5*time.Second)
		r.inControl(r.bob, func(c *Client, now time.Time) {
			s := c.set
			s.RelayFor = true
			c.apply(now, s)
		})
		pass(time.Second)
		// Bob relays now. Alice reaches him through carol only.
		r.inControl(r.alice, func(c *Client, now time.Time) {
			b := c.peers[r.bob.vpn]
			if b.through == nil {
				r.t.Fatal("alice has not learnt that bob relays")
			}
			err := b.through.Send([]punch.Datagram{{Addr: throughAddr(r.carol.vpn), Data: noise(100)}})
			if err != errThirdHop {
				r.t.Errorf("sending through bob: %v, want %v", err, errThirdHop)
			}
			sendRelay(c, r.bob.vpn, r.carol.vpn, noise(100)) // whatever alice's rules
			q := *c.peers[r.carol.vpn]
			q.relays = []netip.Addr{r.bob.vpn}
			if list := c.standing(&q); len(list) != 0 {
				r.t.Errorf("carol can be reached at %v", list)
			}
		})
		pass(time.Second)
		if n := r.drops(r.bob, r.alice); n != 1 || r.bob.status().Relayed.Packets != 0 {
			r.t.Errorf("bob has dropped %d of alice's, and relayed %d, want 1 and 0", n, r.bob.status().Relayed.Packets)
		}
	})
}

// TestPeerRelayExpelled: who loses its session with the relay is relayed no longer, and
// the relay forgets what it knew of it.
func TestPeerRelayExpelled(t *testing.T) {
	relayed(t, func(r *relayPlay) {
		r.alice.ping(r.bob, 5*time.Second)
		set := r.carol.client.set
		verify := set.Verify
		set.Verify = func(now time.Time, vpn netip.Addr, chain [][]byte, server bool) error {
			if vpn == r.bob.vpn {
				return errors.New("revoked")
			}
			return verify(now, vpn, chain, server)
		}
		if err := r.carol.client.Apply(r.t.Context(), set); err != nil {
			r.t.Fatal(err)
		}
		pass(100 * time.Millisecond)
		before := r.carol.status().Relayed
		if len(before.Pairs) != 0 || before.Packets == 0 {
			r.t.Errorf("after bob was revoked: %+v", before)
		}
		for i := range 50 {
			r.alice.send(r.bob.vpn, fmt.Sprint("still there? ", i))
			r.bob.send(r.alice.vpn, fmt.Sprint("still here ", i))
			pass(100 * time.Millisecond)
		}
		if got := append(r.bob.texts(), r.alice.texts()...); len(got) > 0 {
			r.t.Errorf("relayed: %q", got)
		}
		if after := r.carol.status().Relayed; after.Packets != before.Packets {
			r.t.Errorf("%d more datagrams relayed", after.Packets-before.Packets)
		}
		r.inControl(r.carol, func(c *Client, now time.Time) {
			if len(c.relay.pairs) > 0 || len(c.relay.meters) > 1 {
				r.t.Errorf("carol remembers %d pairs and %d senders", len(c.relay.pairs), len(c.relay.meters))
			}
		})
	})
}
