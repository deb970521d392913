package client

import (
	"context"
	"fmt"
	"testing"
	"time"

	"campagnol/punch/hard"
	"campagnol/punch/simnet"
	"campagnol/rdv"
)

// throughSymmetric starts alice behind a cone and bob behind a NAT with random ports,
// and opens a tunnel between them.
func (v *vpn) throughSymmetric(edit ...func(*Config)) (alice, bob *hardHome) {
	v.t.Helper()
	alice, bob = v.hardPair(cone, symmetric, edit...)
	alice.ping(bob.node, 3*time.Second)
	if v.t.Failed() {
		v.t.FailNow()
	}
	return alice, bob
}

// onlyExtra returns bob's one extra socket.
func (h *hardHome) onlyExtra() *simnet.Conn {
	h.t.Helper()
	open, _ := h.extras()
	if len(open) != 1 {
		h.t.Fatalf("%v has %d extra sockets, want one", h.vpn, len(open))
	}
	return open[0]
}

// TestHardNATSession: the session lives on the socket that was found, with everything
// that a session does, and ends with it.
func TestHardNATSession(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.throughSymmetric(func(c *Config) { c.RekeyTime = 2 * time.Minute })
		conn := bob.onlyExtra()
		elsewhere := 0
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Sent && p.From == bob.conn && p.Dst != v.server {
				elsewhere++
			}
		})
		for i := range 100 {
			alice.send(bob.vpn, fmt.Sprint("there ", i))
			bob.wants(fmt.Sprint("there ", i), time.Second)
			bob.send(alice.vpn, fmt.Sprint("back ", i))
			alice.wants(fmt.Sprint("back ", i), time.Second)
		}
		for range 100 { // idle for longer than the NATs remember, and then keys grow old
			pass(19 * time.Second)
			alice.ping(bob.node, time.Second)
			if t.Failed() {
				t.FailNow()
			}
			pass(time.Second)
		}
		if n := bob.status().Peers[0].Rekeys; n < 5 {
			t.Errorf("the session has got fresh keys %d times, want at least 5", n)
		}
		pass(100 * time.Second) // keep-alives only
		alice.ping(bob.node, time.Second)
		if elsewhere > 12 { // challenges, to see whether that is a path, too
			t.Errorf("bob has sent %d datagrams to alice from his primary socket", elsewhere)
		}
		if got := bob.onlyExtra(); got != conn {
			t.Error("the session has moved to another socket")
		}
		if c := bob.cost(); c.Attempts != 1 || c.Successes != 1 {
			t.Errorf("bob has spent %+v", c)
		}
		alice.stop()
		pass(time.Second)
		if open, _ := bob.extras(); len(open) != 0 {
			t.Errorf("%d extra sockets are open after the session", len(open))
		}
		if bob.state(alice.node) == "ESTABLISHED" {
			t.Error("bob has not heard alice's good-bye")
		}
	})
}

// TestHardNATRates: what waits behind a limit leaves by the session's socket, too.
func TestHardNATRates(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.throughSymmetric(func(c *Config) { c.MaxRate, c.MTU = 20e3, 1400 })
		for i := range 60 {
			bob.send(alice.vpn, fmt.Sprintf("%03d%s", i, make([]byte, 997)))
		}
		pass(10 * time.Second)
		got := alice.texts()
		if len(got) < 18 {
			t.Errorf("%d packets came through a limit, want those that the bucket holds and those that waited", len(got))
		}
		s := bob.client.set
		s.MaxRate, s.PeerRate = 0, 0 // and without a limit, after a change
		if err := bob.client.Apply(context.Background(), s); err != nil {
			t.Fatal(err)
		}
		bob.ping(alice.node, time.Second)
		bob.onlyExtra()
	})
}

// TestHardNATRestart: one of the two is gone without a good-bye, and is started again.
// Whoever speaks first, they find each other.
func TestHardNATRestart(t *testing.T) {
	for _, c := range []struct {
		gone   string // who is gone
		speaks string // who has something to say then
	}{{"easy", "easy"}, {"easy", "hard"}, {"hard", "easy"}, {"hard", "hard"}} {
		t.Run(fmt.Sprintf("the %s one is gone, the %s one speaks", c.gone, c.speaks), func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				alice, bob := v.throughSymmetric()
				pass(time.Minute)
				if c.gone == "easy" {
					alice.kill()
					alice = v.hardHomeAt(alice.site, "10.9.0.1", behind(cone))
				} else {
					bob.kill()
					for _, conn := range bob.opened {
						conn.Close()
					}
					bob = v.hardHomeAt(bob.site, "10.9.0.2", behind(symmetric))
				}
				pass(20 * time.Second) // the server waits for the one that was there
				from, to := alice, bob
				if c.speaks == "hard" {
					from, to = bob, alice
				}
				start := time.Now()
				for len(to.texts()) == 0 && time.Since(start) < 2*time.Minute {
					from.send(to.vpn, "are you there?")
					pass(200 * time.Millisecond)
				}
				if took := time.Since(start); took > 15*time.Second {
					v.t.Errorf("they found each other after %v", took)
				}
				pass(15 * time.Second)
				if open, _ := bob.extras(); len(open) > 1 {
					v.t.Errorf("%d extra sockets are open", len(open))
				}
				from.ping(to.node, time.Second)
			})
		})
	}
}

// TestHardNATStop: a client that is stopped, or restarted, in the middle of an attempt
// leaves nothing behind.
func TestHardNATStop(t *testing.T) {
	for _, stop := range []string{"stop", "restart"} {
		t.Run(stop, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				alice, bob := v.hardPair(cone, symmetric)
				alice.send(bob.vpn, "hello")
				pass(250 * time.Millisecond)
				if open, _ := bob.extras(); len(open) < 20 {
					t.Fatalf("%d sockets are open in the middle of an attempt", len(open))
				}
				if stop == "stop" {
					bob.stop()
				} else if err := bob.client.Restart(v.t.Context(), bob.client.set); err != nil {
					t.Fatal(err)
				}
				if open, _ := bob.extras(); len(open) != 0 {
					t.Errorf("%d sockets are open", len(open))
				}
			})
		})
	}
}

// TestHardNATFewSockets: the system gives fewer sockets than are asked for, or none.
func TestHardNATFewSockets(t *testing.T) {
	for _, room := range []int{0, 100} {
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				alice, bob := v.hardPair(cone, symmetric)
				bob.room = room
				alice.send(bob.vpn, "hello")
				pass(10 * time.Second)
				if n := int(bob.cost().Sockets); n > room {
					t.Errorf("%d sockets were opened, want at most %d", n, room)
				}
				if n := bob.logged("Cannot open as many sockets"); n > 1 {
					t.Errorf("logged %d times that there are too few", n)
				}
				if open, _ := bob.extras(); len(open) > 1 {
					t.Errorf("%d sockets are open after the attempt", len(open))
				}
			})
		})
	}
}

// TestHardNATFarAndLossy: far away, with every tenth datagram lost.
func TestHardNATFarAndLossy(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.net.Internet().SetMedium(simnet.Link{Delay: 120 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.1})
		alice, bob := v.hardPair(cone, symmetric)
		pass(4 * time.Second)
		start := time.Now()
		for len(bob.texts()) == 0 && time.Since(start) < 10*time.Second {
			alice.send(bob.vpn, "hello")
			pass(200 * time.Millisecond)
		}
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("nothing has arrived after %v", took)
		}
		pass(2 * time.Second)
		if open, most := bob.extras(); len(open) > 1 || most > 256 {
			t.Errorf("%d extra sockets are open, and %d were", len(open), most)
		}
	})
}

// TestHardNATInTurn: a client behind a hard NAT that has several peers to reach looks for
// one way at a time, and finds all of them.
func TestHardNATInTurn(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.ourServer(rdv.Strict)
		bob := v.hardHome(2, symmetric, behind(symmetric))
		alice := v.hardHome(1, cone, behind(cone))
		carol := v.hardHome(3, cone, behind(cone))
		pass(time.Second)
		bob.send(alice.vpn, "to alice")
		bob.send(carol.vpn, "to carol")
		alice.wants("to alice", 5*time.Second)
		carol.wants("to carol", 5*time.Second)
		open, most := bob.extras()
		if len(open) != 2 || most > 257 {
			t.Errorf("%d extra sockets are open, and %d were; want two, and at most one budget beside the first", len(open), most)
		}
		if c := bob.cost(); c != (hard.Cost{Attempts: 2, Sockets: c.Sockets, Probes: c.Probes, Successes: 2}) {
			t.Errorf("bob has spent %+v, want two attempts that succeeded", c)
		}
		// Both tunnels go on, each by its socket, also when packets for both come at once.
		for i := range 20 {
			text := fmt.Sprint("again ", i)
			bob.send(alice.vpn, text)
			bob.send(carol.vpn, text)
			alice.wants(text, time.Second)
			carol.wants(text, time.Second)
		}
	})
}

// TestHardNATMoves: the end that can be found moves. Both look for each other then, both
// are told that the other asks, and one of them begins.
func TestHardNATMoves(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.hardPair(cone, symmetric)
		pass(time.Second)
		alice.send(bob.vpn, "hello")
		bob.wants("hello", 3*time.Second)
		pass(time.Second)
		alice.site.SetPublic("203.0.113.77")
		start := time.Now()
		for len(bob.texts()) == 0 && time.Since(start) < 10*time.Second {
			alice.send(bob.vpn, "again")
			pass(20 * time.Millisecond)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("found again after %v", took)
		}
	})
}
