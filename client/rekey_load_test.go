package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"campagnol/punch/simnet"
	"campagnol/tunnel/record"
)

// TestRekeyLoss: a third of all datagrams is lost. The keys change all the same,
// and nothing is lost but what the network loses.
func TestRekeyLoss(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(rekeyEvery(20 * time.Second))
		alice.ping(bob, 5*time.Second)
		rng := rand.New(rand.NewPCG(7, 7))
		lost := map[*simnet.Conn]int{}
		v.net.Drop(func(p simnet.Packet) bool {
			if rng.IntN(10) >= 3 {
				return false
			}
			if isNumbered(p) {
				lost[p.From]++
			}
			return true
		})
		to, back := newStream(alice, bob), newStream(bob, alice)
		both(to, back, 5*time.Minute, 20*time.Millisecond)
		v.net.Drop(nil)
		to.wantAll(lost[alice.conn])
		back.wantAll(lost[bob.conn])
		if lost[alice.conn] == 0 || lost[bob.conn] == 0 {
			v.t.Error("the network has lost nothing")
		}
		a, b := alice.peer(bob), bob.peer(alice)
		if a.Rekeys < 8 || b.Rekeys < 8 {
			v.t.Errorf("fresh keys %d and %d times in 5 minutes, want at least 8", a.Rekeys, b.Rekeys)
		}
		if n := alice.logged("New DTLS connection"); n != 1 {
			v.t.Errorf("%d connections, want one", n)
		}
	})
}

// TestRekeyLostEnd: the two datagrams that matter most get lost: the end of the
// server's handshake, and the client's first word with the fresh keys.
func TestRekeyLostEnd(t *testing.T) {
	for _, c := range []struct {
		name  string
		small bool // the client's datagrams that hold no data, else the server's
	}{{"last flight", false}, {"probe", true}} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				alice, bob := v.pair(rekeyEvery(20 * time.Second))
				alice.ping(bob, 5*time.Second)
				dropped := 0
				v.net.Drop(func(p simnet.Packet) bool {
					victim := bob.conn
					if c.small {
						victim = alice.conn
					}
					// An end of a handshake, or a probe: short records of data.
					small := isSealed(p) && len(p.Data) < 150
					if p.From != victim || !small || c.small != (len(p.Data) < 60) || dropped >= 5 {
						return false
					}
					dropped++
					return true
				})
				back := newStream(bob, alice) // alice is silent
				for end := time.Now().Add(40 * time.Second); time.Now().Before(end); pass(10 * time.Millisecond) {
					back.step()
				}
				pass(time.Second)
				back.take()
				back.wantAll(0)
				if dropped != 5 {
					v.t.Errorf("%d datagrams dropped, want 5", dropped)
				}
				if a, b := alice.peer(bob).Rekeys, bob.peer(alice).Rekeys; a == 0 || a != b {
					v.t.Errorf("fresh keys %d and %d times", a, b)
				}
			})
		})
	}
}

// TestRekeyUnheard: for longer than old keys are kept, nothing that the client seals
// with the fresh keys arrives. Until it does, the server seals with the old ones,
// and is understood.
func TestRekeyUnheard(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(rekeyEvery(20 * time.Second))
		alice.ping(bob, 5*time.Second)
		for range 300 { // so that numbers tell the keys
			alice.send(bob.vpn, "count")
			pass(time.Millisecond)
		}
		pass(time.Second)
		bob.texts()
		dropped := 0
		v.net.Drop(func(p simnet.Packet) bool {
			h, _, _, err := record.Split(p.Data)
			if p.From != alice.conn || !isSealed(p) || err != nil || h.Seq > 250 {
				return false
			}
			dropped++
			return true
		})
		back := newStream(bob, alice)
		for range 3600 {
			back.step()
			pass(10 * time.Millisecond)
		}
		if a, b := alice.peer(bob).Rekeys, bob.peer(alice).Rekeys; a != 1 || b != 0 || dropped < 10 {
			v.t.Errorf("fresh keys %d and %d times, %d datagrams lost; want that the server still waits", a, b, dropped)
		}
		v.net.Drop(nil)
		for range 200 {
			back.step()
			pass(10 * time.Millisecond)
		}
		pass(time.Second)
		back.take()
		back.wantAll(0)
		if a, b := alice.peer(bob).Rekeys, bob.peer(alice).Rekeys; a != b {
			v.t.Errorf("fresh keys %d and %d times in the end, want as often at both ends", a, b)
		}
	})
}

// dropHandshakes loses all datagrams of handshakes inside sessions.
func dropHandshakes(v *vpn) {
	v.net.Drop(func(p simnet.Packet) bool { return isSealed(p) && len(p.Data) > 100 && !isNumbered(p) })
}

// TestRekeyFails: a handshake that does not succeed leaves the session as it was.
// It is tried again, more and more rarely, and reported once.
func TestRekeyFails(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(rekeyEvery(2 * time.Minute))
		alice.ping(bob, 5*time.Second)
		dropHandshakes(v)
		to, back := newStream(alice, bob), newStream(bob, alice)
		both(to, back, 3*time.Minute, 100*time.Millisecond)
		a := alice.peer(bob)
		if a.Rekeys != 0 || a.RekeyFailures < 2 || a.RekeyFailures > 5 {
			v.t.Errorf("%d times fresh keys and %d failures in a minute without, want 0 and about 3", a.Rekeys, a.RekeyFailures)
		}
		for _, n := range v.nodes {
			if got := n.logged("level=WARN"); got != 1 {
				v.t.Errorf("%v warns %d times, want once", n.vpn, got)
			}
		}
		v.net.Drop(nil)
		both(to, back, time.Minute, 100*time.Millisecond)
		to.wantAll(0)
		back.wantAll(0)
		if a, b := alice.peer(bob), bob.peer(alice); a.Rekeys != 1 || b.Rekeys != 1 {
			v.t.Errorf("fresh keys %d and %d times when it was possible again, want once", a.Rekeys, b.Rekeys)
		}
	})
}

// TestRekeyGivesUp: a session that gets no fresh keys in twice their time is closed,
// and the next packet opens another.
func TestRekeyGivesUp(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(rekeyEvery(time.Minute))
		alice.ping(bob, 5*time.Second)
		start := time.Now()
		dropHandshakes(v)
		for time.Since(start) < 110*time.Second {
			alice.send(bob.vpn, "on")
			pass(time.Second)
		}
		if got := len(bob.texts()); got != 110 {
			v.t.Errorf("%d packets of 110 arrived before", got)
		}
		if n := alice.logged("no fresh keys in twice their time"); n != 0 {
			v.t.Error("closed before its time")
		}
		for time.Since(start) < 3*time.Minute {
			alice.send(bob.vpn, "on")
			pass(time.Second)
		}
		closed := alice.logged("no fresh keys in twice their time") + bob.logged("no fresh keys in twice their time")
		told := alice.logged("DTLS connection closed by peer") + bob.logged("DTLS connection closed by peer")
		if closed != 1 || told != 1 {
			v.t.Errorf("closed %d times, and the peer was told %d times, want once each", closed, told)
		}
		v.net.Drop(nil)
		bob.texts()
		alice.ping(bob, 5*time.Second)
	})
}

// TestRekeyMany: fresh keys a hundred times under load, both ways: no packet is
// lost, none comes twice, and nothing piles up.
func TestRekeyMany(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(rekeyEvery(time.Second))
		alice.ping(bob, 5*time.Second)
		to, back := newStream(alice, bob), newStream(bob, alice)
		both(to, back, 10*time.Second, 10*time.Millisecond)
		clear(to.seen)
		clear(back.seen)
		to.sent, back.sent = 0, 0
		early := alice.peer(bob).Rekeys
		goroutines := runtime.NumGoroutine()
		for alice.peer(bob).Rekeys < early+100 && !v.t.Failed() {
			both(to, back, 10*time.Second, 10*time.Millisecond)
		}
		to.wantAll(0)
		back.wantAll(0)
		pass(500 * time.Millisecond) // no handshake is on its way
		if got := runtime.NumGoroutine(); got > goroutines+4 {
			v.t.Errorf("%d goroutines after a hundred times, %d before", got, goroutines)
		}
		pass(2 * oldKeysLife)
		wantTidy(v, alice, bob)
		for _, n := range v.nodes {
			if d := n.status().Drops; len(d) != 0 {
				v.t.Errorf("%v dropped %v", n.vpn, d)
			}
		}
	})
}

// TestRekeyMemory: what fresh keys leave behind does not grow.
func TestRekeyMemory(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(func(c *Config) { c.RekeyTime = time.Second; c.Log = nil })
		alice.ping(bob, 5*time.Second)
		v.net.Observe(func(simnet.Packet, simnet.Verdict) {})
		run := func() uint64 {
			to, back := newStream(alice, bob), newStream(bob, alice)
			both(to, back, 100*time.Second, 100*time.Millisecond)
			return inUse()
		}
		run()
		first := run()
		run()
		last := run()
		v.t.Logf("%d bytes after 200 s, %d after 400 s, with fresh keys %d times", first, last, alice.peer(bob).Rekeys)
		// A session takes some 5 KB; 200 of them would be a megabyte at each end.
		if last > first+512<<10 {
			v.t.Errorf("%d bytes more after 200 times", last-first)
		}
	})
}

// TestRekeyHeldBack: the DTLS server's handshake is complete, but its control is
// busy and the data path knows nothing of the fresh keys yet. Until it does, the
// client cannot have them.
func TestRekeyHeldBack(t *testing.T) {
	inBubble(t, func(v *vpn) {
		var hold atomic.Bool
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", rekeyEvery(20*time.Second))
		var bob *node
		bob = v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", func(c *Config) {
			c.RekeyTime = -1
			verify := c.Verify
			c.Verify = func(now time.Time, vpn netip.Addr, chain [][]byte, server bool) error {
				if hold.Load() {
					go bob.client.do(context.Background(), func(time.Time) { time.Sleep(500 * time.Millisecond) })
					time.Sleep(time.Millisecond) // it sleeps now
				}
				return verify(now, vpn, chain, server)
			}
		})
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		hold.Store(true)
		s := newStream(alice, bob)
		for range 3000 {
			s.step()
			pass(10 * time.Millisecond)
		}
		pass(time.Second)
		s.take()
		s.wantAll(0)
		if n := bob.peer(alice).Rekeys; n != 1 {
			v.t.Errorf("fresh keys %d times in 30 s, want once", n)
		}
		if d := bob.status().Drops; len(d) != 0 {
			v.t.Errorf("bob dropped %v", d)
		}
	})
}

// TestRekeyClosedMeanwhile: a tunnel that is closed while its keys change is closed
// at both ends, whichever keys the good-bye comes with.
func TestRekeyClosedMeanwhile(t *testing.T) {
	for _, who := range []string{"client", "server"} {
		for after := time.Duration(0); after < 120*time.Millisecond; after += 10 * time.Millisecond {
			t.Run(fmt.Sprint(who, " after ", after), func(t *testing.T) {
				inBubble(t, func(v *vpn) {
					alice, bob := v.pair(rekeyEvery(-1))
					alice.ping(bob, 5*time.Second)
					begin := func(now time.Time) {
						for _, p := range alice.client.peers {
							p.rekey.since = now
							alice.client.seekKeys(now, p)
						}
					}
					if err := alice.client.do(v.t.Context(), begin); err != nil {
						v.t.Fatal(err)
					}
					pass(after)
					leaves, stays := alice, bob
					if who == "server" {
						leaves, stays = bob, alice
					}
					leaves.stop()
					pass(100 * time.Millisecond)
					if s := stays.state(leaves); s != "CLOSED" {
						v.t.Errorf("the other end is %s", s)
					}
				})
			})
		}
	}
}

// TestRekeyRestartedPeer: a peer that is restarted is reached as before, although
// its old session is about to get fresh keys.
func TestRekeyRestartedPeer(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(rekeyEvery(20 * time.Second))
		site := bob.conn.Host().Site()
		alice.ping(bob, 5*time.Second)
		pass(18 * time.Second)
		alice.send(bob.vpn, "use it")
		pass(time.Second)
		bob.kill()
		pass(100 * time.Millisecond)
		bob2 := v.node(site, "192.168.1.2:5000", "10.9.0.2", rekeyEvery(20*time.Second))
		pass(4 * time.Second)
		bob2.send(alice.vpn, "I am back")
		alice.wants("I am back", 2*time.Second)
		to, back := newStream(alice, bob2), newStream(bob2, alice)
		both(to, back, time.Minute, 50*time.Millisecond)
		to.wantAll(0)
		back.wantAll(0)
		if a, b := alice.peer(bob2), bob2.peer(alice); a.Rekeys != b.Rekeys || a.Rekeys < 2 {
			v.t.Errorf("fresh keys %d and %d times since", a.Rekeys, b.Rekeys)
		}
	})
}
