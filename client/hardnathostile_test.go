package client

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/hard"
	"campagnol/punch/nat"
	"campagnol/punch/simnet"
	"campagnol/rdv"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// TestHardNATBudget: a peer that is not there costs one budget for each back-off,
// however often packets for it come, and nothing stays open.
func TestHardNATBudget(t *testing.T) {
	for _, c := range []struct {
		name     string
		ours     simnet.NAT
		theirs   simnet.NAT
		sockets  uint64
		attempts uint64 // in 40 minutes: at once, and after 1, 6 and 36
	}{
		{"we guess", cone, symmetric, 0, 4},
		{"we open sockets", symmetric, cone, 256, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				off := func(cfg *Config) { cfg.HardNAT = hard.Budget{} }
				v.ourServer(rdv.Strict)
				alice := v.hardHome(1, c.ours, behind(c.ours))
				bob := v.hardHome(2, c.theirs, behind(c.theirs), off) // says what it has, and does nothing
				pass(time.Second)
				for d := time.Duration(0); d < 40*time.Minute; d += 2 * time.Second {
					alice.send(bob.vpn, "through?")
					pass(2 * time.Second)
					if open, _ := alice.extras(); len(open) > 256 {
						v.t.Fatalf("%d extra sockets are open", len(open))
					}
				}
				pass(10 * time.Second)
				cost := alice.cost()
				if cost.Attempts != c.attempts || cost.Probes > uint64(hard.DefaultBudget.Probes)*cost.Attempts || cost.Sockets > c.sockets*cost.Attempts || cost.Successes != 0 {
					v.t.Errorf("spent %+v, want %d attempts of one budget each", cost, c.attempts)
				}
				if cost.Probes < 512*cost.Attempts { // a try that is given up ends it early
					v.t.Errorf("spent %+v: the budget is not used", cost)
				}
				if open, most := alice.extras(); len(open) != 0 || most > 256 {
					v.t.Errorf("%d extra sockets are open, and %d were", len(open), most)
				}
			})
		})
	}
}

// TestHardNATLiar: an RDV that lies about NATs costs what a peer costs that is not
// there; peers that it invents, each somewhere else, cost less and less.
func TestHardNATLiar(t *testing.T) {
	for _, c := range []struct {
		name     string
		ours     nat.Behaviour
		theirs   nat.Behaviour
		invented func(i int) (vpn netip.Addr, at netip.AddrPort)
		attempts uint64 // in an hour, at most
	}{
		{"one peer, at one place", behind(cone), behind(symmetric), func(int) (netip.Addr, netip.AddrPort) {
			return netip.MustParseAddr("10.9.0.50"), netip.MustParseAddrPort("203.0.113.99:1000")
		}, 4},
		{"many peers, at one place", behind(cone), behind(symmetric), func(i int) (netip.Addr, netip.AddrPort) {
			return netip.AddrFrom4([4]byte{10, 9, 0, byte(50 + i%100)}), netip.AddrPortFrom(netip.MustParseAddr("203.0.113.99"), uint16(1000+i))
		}, 4},
		{"one peer, at many places", behind(cone), behind(sequential), func(i int) (netip.Addr, netip.AddrPort) {
			return netip.MustParseAddr("10.9.0.50"), netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 1, byte(i >> 8), byte(i)}), 1000)
		}, 4},
		{"many peers, at many places", behind(cone), behind(symmetric), func(i int) (netip.Addr, netip.AddrPort) {
			return netip.AddrFrom4([4]byte{10, 9, 0, byte(50 + i%200)}), netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 1, byte(i >> 8), byte(i)}), 1000)
		}, 15},
		{"many sockets of ours, for many", behind(symmetric), behind(cone), func(i int) (netip.Addr, netip.AddrPort) {
			return netip.AddrFrom4([4]byte{10, 9, 0, byte(50 + i%200)}), netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 1, byte(i >> 8), byte(i)}), 1000)
		}, 15},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(v *vpn) {
				r := v.startTestRDV(nil)
				alice := v.hardHome(1, symmetric, c.ours)
				pass(time.Second)
				for i := range 720 {
					r.with(func() {
						vpn, at := c.invented(i)
						r.introduceBehind(r.where[alice.vpn], vpn, at, c.theirs)
					})
					pass(5 * time.Second)
				}
				pass(30 * time.Second)
				cost := alice.cost()
				if cost.Attempts == 0 || cost.Attempts > c.attempts || cost.Probes > uint64(hard.DefaultBudget.Probes)*cost.Attempts || cost.Sockets > 256*cost.Attempts {
					v.t.Errorf("spent %+v in an hour, want at most %d attempts of one budget each", cost, c.attempts)
				}
				if open, most := alice.extras(); len(open) != 0 || most > 256 {
					v.t.Errorf("%d extra sockets are open, and %d were", len(open), most)
				}
				if n := len(alice.status().Peers); n != 0 {
					v.t.Errorf("%d peers are left", n)
				}
			})
		})
	}
}

// introduceBehind is introduce for a client that has said what it is behind.
func (r *testRDV) introduceBehind(c *testChannel, vpn netip.Addr, at netip.AddrPort, b nat.Behaviour) {
	r.lastID++
	r.say(c, channel.Message{Type: channel.Introduce, ID: r.lastID, VPN: []netip.Addr{vpn}, Endpoints: []netip.AddrPort{at}, Authentic: true, NAT: b})
}

// TestHardNATOneAtATime: of many peers that ask at once, one at a time is looked for,
// and those who wait are forgotten with their tries.
func TestHardNATOneAtATime(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(nil)
		alice := v.hardHome(1, symmetric, behind(symmetric))
		pass(time.Second)
		r.with(func() {
			for i := range 40 {
				at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 1, 0, byte(i)}), 1000)
				r.introduceBehind(r.where[alice.vpn], netip.AddrFrom4([4]byte{10, 9, 0, byte(50 + i)}), at, behind(cone))
			}
		})
		for range 40 {
			pass(time.Second)
			if open, _ := alice.extras(); len(open) > 256 {
				v.t.Fatalf("%d extra sockets are open", len(open))
			}
		}
		if c := alice.cost(); c.Attempts == 0 || c.Attempts > 2 {
			v.t.Errorf("spent %+v, want an attempt, and a second one if the time was enough", c)
		}
		err := alice.client.do(v.t.Context(), func(time.Time) {
			if d := &alice.client.hard; d.busy != nil || len(d.waiting) != 0 {
				v.t.Errorf("%d still wait, somebody's turn %v", len(d.waiting), d.busy != nil)
			}
		})
		if err != nil {
			v.t.Fatal(err)
		}
	})
}

// TestHardNATStrangers: what comes to an extra socket counts if it comes from where the
// peer is, and only one socket does.
func TestHardNATStrangers(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.hardPair(cone, symmetric)
		alice.killAt(v, func() { alice.send(bob.vpn, "hello") })
		err := bob.client.do(v.t.Context(), func(now time.Time) {
			c := bob.client
			p := c.peers[alice.vpn]
			if p == nil || p.try == nil || len(p.try.hard.conns) < 20 {
				v.t.Fatal("bob is not in the middle of an attempt")
			}
			h := &p.try.hard
			stranger := netip.MustParseAddrPort("203.0.113.66:6666")
			first, second, other := h.conns[3], h.conns[7], punch.Conn(bob.conn)
			before := len(h.conns)
			m := wire.NewPunch(alice.vpn, wire.Mark{})
			for _, x := range []struct {
				name string
				from netip.AddrPort
				conn punch.Conn
				want bool
			}{
				{"a stranger to an extra socket", stranger, first, false},
				{"the peer to a socket that is none of the attempt's", h.target, other, false},
				{"the peer to an extra socket", h.target, first, true},
				{"the peer to another one", h.target, second, false},
				{"the peer to the first again", h.target, first, true},
				{"anybody to the primary one", stranger, nil, true},
			} {
				if got := c.heardBy(p, &p.try.quest, punch.Endpoint{Addr: x.from, Conn: x.conn}); got != x.want {
					v.t.Errorf("%s: counts %v, want %v", x.name, got, x.want)
				}
			}
			c.handlePunch(now, punch.Endpoint{Addr: stranger, Conn: second}, m)
			if s, _ := p.try.attempt.State(); s != punch.Punching {
				v.t.Errorf("a stranger's punch to an extra socket: %v", s)
			}
			if c.holds(p, other) || !c.holds(p, nil) || !c.holds(p, second) {
				v.t.Error("bob does not know his sockets")
			}
			if c.chooseHard(now, p, punch.Endpoint{Addr: h.target, Conn: other}) || len(h.conns) != before {
				v.t.Error("a socket that is none of the attempt's was chosen")
			}
			if !c.chooseHard(now, p, punch.Endpoint{Addr: h.target, Conn: second}) || h.conn != second || len(h.conns) != 1 || len(c.closing) != before-1 {
				v.t.Errorf("the peer speaks to the second: %d sockets left, %d to be closed", len(h.conns), len(c.closing))
			}
		})
		if err != nil {
			v.t.Fatal(err)
		}
		pass(30 * time.Second)
		if open, _ := bob.extras(); len(open) != 0 {
			v.t.Errorf("%d extra sockets are open", len(open))
		}
	})
}

// killAt lets alice begin something, and kills her before anything can come of it.
func (h *hardHome) killAt(v *vpn, begin func()) {
	begin()
	pass(60 * time.Millisecond)
	h.kill()
	pass(190 * time.Millisecond)
}

// TestHardNATRefused: a turn and its sockets end with the try, whatever ended it.
func TestHardNATRefused(t *testing.T) {
	for seed := range 3 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				alice, bob := v.hardPair(cone, symmetric, func(c *Config) {
					verify := c.Verify
					c.Verify = func(now time.Time, vpn netip.Addr, chain [][]byte, server bool) error {
						if vpn == netip.MustParseAddr("10.9.0.1") {
							return fmt.Errorf("not alice, %d", seed)
						}
						return verify(now, vpn, chain, server)
					}
				})
				alice.send(bob.vpn, "hello")
				pass(40 * time.Second)
				if got := bob.texts(); len(got) != 0 {
					v.t.Errorf("%q came through", got)
				}
				if c := bob.cost(); c.Attempts != 1 || c.Successes != 0 {
					v.t.Errorf("bob has spent %+v, want one attempt", c)
				}
				if open, _ := bob.extras(); len(open) != 0 {
					v.t.Errorf("%d extra sockets are open", len(open))
				}
			})
		})
	}
}
