package client

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/tunnel"
	"campagnol/tunnel/record"
)

// rekeyEvery makes nodes renew the keys of their sessions after some time.
func rekeyEvery(d time.Duration) func(*Config) {
	return func(c *Config) { c.RekeyTime = d }
}

// peer returns the status of the node's session with another.
func (n *node) peer(of *node) PeerStatus {
	n.t.Helper()
	for _, p := range n.status().Peers {
		if p.VPNAddr == of.vpn {
			return p
		}
	}
	n.t.Fatalf("%v does not know %v", n.vpn, of.vpn)
	return PeerStatus{}
}

// numberedSize is how long the text of a numbered packet is, in bytes: so that its
// datagram is longer than any of a handshake.
const numberedSize = 1250

// isNumbered reports whether a datagram holds a numbered packet.
func isNumbered(p simnet.Packet) bool { return len(p.Data) > numberedSize }

// A stream is numbered packets from one node to another, each way.
type stream struct {
	from, to *node
	sent     int
	seen     map[string]bool
}

func newStream(from, to *node) *stream {
	return &stream{from: from, to: to, seen: map[string]bool{}}
}

// step sends one packet more, and takes what has arrived. One that comes again
// or out of order, as none may on this network, is an error.
func (s *stream) step() {
	s.from.t.Helper()
	s.from.send(s.to.vpn, s.text(s.sent))
	s.sent++
	s.take()
}

func (s *stream) text(i int) string {
	return fmt.Sprintf("%-*d", numberedSize, i)
}

func (s *stream) take() {
	s.from.t.Helper()
	for _, text := range s.to.texts() {
		if s.seen[text] {
			s.from.t.Errorf("%v received packet %s twice", s.to.vpn, strings.TrimSpace(text))
		}
		s.seen[text] = true
	}
}

// both sends on two streams for a while, a packet each every interval.
func both(a, b *stream, length, interval time.Duration) {
	a.from.t.Helper()
	for end := time.Now().Add(length); time.Now().Before(end); pass(interval) {
		a.step()
		b.step()
	}
	pass(time.Second)
	a.take()
	b.take()
}

// wantAll checks that everything has arrived but what the network has lost.
func (s *stream) wantAll(lost int) {
	s.from.t.Helper()
	if got, want := len(s.seen), s.sent-lost; got != want {
		s.from.t.Errorf("%v received %d packets of %d, of which the network lost %d", s.to.vpn, got, s.sent, lost)
	}
}

// TestRekeyByTime: a tunnel in use gets fresh keys when it is time, again and
// again, and nothing else about it changes.
func TestRekeyByTime(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(rekeyEvery(time.Minute))
		alice.ping(bob, 5*time.Second)
		before := [2]PeerStatus{alice.peer(bob), bob.peer(alice)}
		to, back := newStream(alice, bob), newStream(bob, alice)
		both(to, back, 50*time.Second, 100*time.Millisecond)
		if n := alice.peer(bob).Rekeys; n != 0 {
			v.t.Fatalf("%d times fresh keys after 50 s, want none yet", n)
		}
		both(to, back, 130*time.Second, 100*time.Millisecond)
		to.wantAll(0)
		back.wantAll(0)
		for i, after := range []PeerStatus{alice.peer(bob), bob.peer(alice)} {
			b := before[i]
			// 5 % earlier than every minute: 57, 114 and 171 s.
			if after.Rekeys != 3 || after.RekeyFailures != 0 {
				v.t.Errorf("side %d: %d times fresh keys and %d failures, want 3 and 0", i, after.Rekeys, after.RekeyFailures)
			}
			if age := time.Since(after.Keys); age > 20*time.Second {
				v.t.Errorf("side %d: the keys are %v old", i, age)
			}
			if after.Since != b.Since || after.Server != b.Server || after.Addr != b.Addr || after.Cipher != b.Cipher {
				v.t.Errorf("side %d: %+v became %+v", i, b, after)
			}
			if got := after.PacketsIn + after.PacketsOut; got != uint64(2+to.sent+back.sent) {
				v.t.Errorf("side %d counts %d packets, want %d", i, got, 2+to.sent+back.sent)
			}
		}
		for _, n := range v.nodes {
			if n.logged("New DTLS connection") != 1 || n.logged("DTLS connection closed") != 0 || n.logged("has fresh keys") != 3 {
				v.t.Errorf("%v logs something else than one connection with fresh keys three times", n.vpn)
			}
		}
		pass(oldKeysLife)
		wantTidy(v, alice, bob)
	})
}

// wantTidy checks that nothing is left of old keys.
func wantTidy(v *vpn, nodes ...*node) {
	v.t.Helper()
	for _, n := range nodes {
		err := n.client.do(v.t.Context(), func(time.Time) {
			for _, p := range n.client.peers {
				if p.old != nil || p.rekey.run != nil || p.rekey.fresh != nil {
					v.t.Errorf("%v: something of a change of keys is left: %+v", n.vpn, p.rekey)
				}
				if src, ok := n.client.table.Load().source(p.at.Addr); !ok || len(src.sessions) != 1 || src.sessions[0] != p.session {
					v.t.Errorf("%v: the data path knows other keys than control", n.vpn)
				}
			}
		})
		if err != nil {
			v.t.Fatal(err)
		}
	}
}

// TestRekeyByRecords: either end's records count, whichever is the DTLS client.
func TestRekeyByRecords(t *testing.T) {
	for _, sender := range []string{"client", "server"} {
		t.Run(sender+" sends", func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				alice, bob := v.pair(func(c *Config) { c.RekeyTime, c.RekeyRecords = -1, 1000 })
				alice.ping(bob, 5*time.Second)
				s := newStream(alice, bob)
				if sender == "server" {
					s = newStream(bob, alice)
				}
				for range 10_000 {
					s.step()
					pass(10 * time.Millisecond)
				}
				pass(time.Second)
				s.take()
				s.wantAll(0)
				// Looked at several times a second. Challenges are records, too.
				a, b := alice.peer(bob).Rekeys, bob.peer(alice).Rekeys
				if a != b || a < 9 || a > 12 {
					v.t.Errorf("fresh keys %d and %d times with 10,000 packets, want about 10", a, b)
				}
			})
		})
	}
}

// TestRekeyReceiverLooks: an end that only receives sees by itself that its peer's
// keys have made enough records.
func TestRekeyReceiverLooks(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.t.Helper()
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", func(c *Config) { c.RekeyTime, c.RekeyRecords = -1, 1000 })
		bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", rekeyEvery(-1))
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		s := newStream(bob, alice)
		for range 3000 {
			s.step()
			pass(10 * time.Millisecond)
		}
		pass(time.Second)
		s.take()
		s.wantAll(0)
		if n := alice.peer(bob).Rekeys; n == 0 {
			v.t.Error("no fresh keys after 3000 packets, want some after 1000")
		}
	})
}

// TestRekeyServerAsks: if only the DTLS server wants fresh keys, it asks for them,
// and the roles stay what they are.
func TestRekeyServerAsks(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", rekeyEvery(-1))
		bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", rekeyEvery(20*time.Second))
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		to, back := newStream(alice, bob), newStream(bob, alice)
		both(to, back, 21*time.Second, 50*time.Millisecond)
		if n := bob.peer(alice).Rekeys; n != 0 {
			v.t.Errorf("%d times fresh keys before the server's time, which is a tenth later", n)
		}
		both(to, back, 5*time.Second, 50*time.Millisecond)
		if a, b := alice.peer(bob), bob.peer(alice); a.Rekeys != 1 || b.Rekeys != 1 || a.Server || !b.Server {
			v.t.Errorf("%+v and %+v, want fresh keys once, and the roles as before", a, b)
		}
		to.wantAll(0)
		back.wantAll(0)
	})
}

// TestRekeyBothAtOnce: both ends want fresh keys in the same instant. One
// handshake comes of it.
func TestRekeyBothAtOnce(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(rekeyEvery(-1))
		alice.ping(bob, 5*time.Second)
		for _, n := range []*node{alice, bob} {
			err := n.client.do(v.t.Context(), func(now time.Time) {
				for _, p := range n.client.peers {
					p.rekey.since = now
					n.client.seekKeys(now, p)
				}
			})
			if err != nil {
				v.t.Fatal(err)
			}
		}
		to, back := newStream(alice, bob), newStream(bob, alice)
		both(to, back, 5*time.Second, 5*time.Millisecond)
		if a, b := alice.peer(bob), bob.peer(alice); a.Rekeys != 1 || b.Rekeys != 1 || a.RekeyFailures+b.RekeyFailures != 0 {
			v.t.Errorf("%+v and %+v, want one handshake", a, b)
		}
		to.wantAll(0)
		back.wantAll(0)
	})
}

// TestRekeyIdle: fresh keys are for tunnels in use. They neither keep one open,
// nor are they made for one that is not used, but at its next use.
func TestRekeyIdle(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(func(c *Config) { c.RekeyTime, c.Timeout = 20*time.Second, 100*time.Second })
		alice.ping(bob, 5*time.Second)
		opened := alice.peer(bob).Since
		pass(90 * time.Second)
		if a, b := alice.peer(bob), bob.peer(alice); a.Rekeys != 0 || b.Rekeys != 0 {
			v.t.Fatalf("an idle tunnel got fresh keys %d and %d times", a.Rekeys, b.Rekeys)
		}
		alice.ping(bob, time.Second)
		used := time.Now()
		pass(rekeyUse + time.Second)
		if a, b := alice.peer(bob), bob.peer(alice); a.Rekeys != 1 || b.Rekeys != 1 || a.Since != opened {
			v.t.Errorf("after use fresh keys %d and %d times, want once", a.Rekeys, b.Rekeys)
		}
		var closed time.Duration
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Sent && p.From == alice.conn && isAlert(p) {
				closed = p.Time.Sub(used)
			}
		})
		pass(120 * time.Second)
		if a, b := alice.state(bob), bob.state(alice); a != "CLOSED" || b != "CLOSED" {
			v.t.Errorf("%s and %s, want both closed", a, b)
		}
		if closed < 99*time.Second || closed > 101*time.Second {
			v.t.Errorf("closed %v after its last use, want 100 s: fresh keys are no use", closed)
		}
	})
}

// TestRekeyOriginal: a session with an original keeps its keys, and nothing about
// them is sent.
func TestRekeyOriginal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, &deafConn{closed: make(chan struct{})}, 2, 0, rekeyEvery(5*time.Second))
		defer c.stop()
		conn := c.conn.(*deafConn)
		pass(time.Second)
		vpn, _ := peerAt(0)
		sent := func() int {
			conn.mu.Lock()
			defer conn.mu.Unlock()
			return conn.datagrams
		}
		before := sent()
		err := c.client.do(t.Context(), func(now time.Time) {
			p := c.client.peers[vpn]
			for range 1000 {
				r, _ := c.client.table.Load().route(vpn)
				r.session.Seal(c.client.clock.Stamp(now), nil, packetTo(c.client.cfg.VPNAddr, vpn, "x"), new(record.Scratch))
				c.client.advanceRekey(now.Add(time.Hour), p)
			}
			if at := c.client.rekeyAt(p); !at.IsZero() {
				t.Errorf("fresh keys are due at %v", at)
			}
			if p.session == nil || p.session.IsOurs() {
				t.Error("the session is gone, or not that of an original")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := sent(); got != before {
			t.Errorf("%d datagrams were sent", got-before)
		}
	})
}

// TestRekeyWorn: a session whose numbers are nearly spent is closed, that of an
// original too, before it must stop to send.
func TestRekeyWorn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(syncBuffer)
		c := newCrowd(t, &deafConn{closed: make(chan struct{})}, 1, 0, func(cfg *Config) { cfg.Log = textLog(log, 1) })
		defer c.stop()
		vpn, addr := peerAt(0)
		err := c.client.do(t.Context(), func(now time.Time) {
			p := c.client.peers[vpn]
			r := loop(t)
			s := record.ECDHE_ECDSA_CHACHA20_POLY1305 // with AES, the blocks are the narrower limit
			var err error
			if r.Seal, err = record.NewSealer(s, make([]byte, s.KeyLen()), make([]byte, s.IVLen()), 1, s.Limits().Records-1); err != nil {
				t.Error(err)
				return
			}
			r.Suite = s
			p.session = tunnel.NewSession(now, vpn, r)
			c.client.publish(c.client.table.Load().withRoute(vpn, c.client.newRoute(now, p.session, punch.Endpoint{Addr: addr})))
			c.client.advanceRekey(now, p)
			if p.session == nil {
				t.Error("closed one record before the limit")
				return
			}
			p.session.Seal(1, nil, packetTo(c.client.cfg.VPNAddr, vpn, "the last one"), new(record.Scratch))
			c.client.advanceRekey(now, p)
			if p.session != nil {
				t.Error("the session goes on behind its limit")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), "its keys must not protect more") {
			t.Errorf("the log does not say why:\n%s", log.String())
		}
	})
}

// TestRekeySettings: a change of the settings holds for open sessions.
func TestRekeySettings(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		alice.ping(bob, 5*time.Second)
		to, back := newStream(alice, bob), newStream(bob, alice)
		both(to, back, 30*time.Second, 100*time.Millisecond)
		if n := alice.peer(bob).Rekeys; n != 0 {
			v.t.Fatalf("%d times fresh keys within the default of an hour", n)
		}
		s := alice.client.set
		s.RekeyTime = 20 * time.Second
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		both(to, back, time.Second, 100*time.Millisecond)
		if a, b := alice.peer(bob).Rekeys, bob.peer(alice).Rekeys; a != 1 || b != 1 {
			v.t.Errorf("%d and %d times fresh keys after the change, want once", a, b)
		}
		to.wantAll(0)
		back.wantAll(0)
	})
}
