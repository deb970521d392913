package client

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
	"campagnol/punch/hard"
	"campagnol/punch/nat"
	"campagnol/punch/simnet"
	"campagnol/rdv"
	"campagnol/rdv/wire"
)

// What NATs there are in these tests.
var (
	cone       = simnet.NAT{Filtering: simnet.AddressAndPortDependent, Ports: simnet.Random}
	symmetric  = simnet.NAT{Mapping: simnet.AddressAndPortDependent, Filtering: simnet.AddressAndPortDependent, Ports: simnet.Random}
	sequential = simnet.NAT{Mapping: simnet.AddressAndPortDependent, Filtering: simnet.AddressAndPortDependent, Ports: simnet.Sequential}
)

// behind returns what a client that knows its NAT says about it.
func behind(n simnet.NAT) nat.Behaviour {
	b := nat.Behaviour{Known: true, Translated: true, Mapping: n.Mapping, Filtering: n.Filtering, MappingExact: true, FilteringExact: true, Ports: n.Ports}
	if n.Ports == nat.Sequential {
		b.Step = 1
	}
	return b
}

// A hardHome is a node that may open extra sockets.
type hardHome struct {
	*node
	site *simnet.Site

	mu     sync.Mutex // guards the following
	opened []*simnet.Conn
	room   int // for that many
	most   int // that were open at the same time
}

// hardHome starts a node behind a NAT of which it says b; nothing if that is not Known.
func (v *vpn) hardHome(number int, n simnet.NAT, b nat.Behaviour, edit ...func(*Config)) *hardHome {
	v.t.Helper()
	return v.hardHomeAt(v.home(number, n), fmt.Sprintf("10.9.0.%d", number), b, edit...)
}

func (v *vpn) hardHomeAt(site *simnet.Site, vpnAddr string, b nat.Behaviour, edit ...func(*Config)) *hardHome {
	v.t.Helper()
	conn := site.Listen("192.168.1.2:5000")
	h := &hardHome{site: site, room: 1 << 16}
	h.node = v.nodeOn(conn, vpnAddr, v.authentic(AuthYes, nil, append([]func(*Config){func(c *Config) {
		c.HardNAT = hard.DefaultBudget
		c.OpenSocket = func() (punch.Conn, error) { return h.open(conn.Host()) }
	}}, edit...)...))
	if err := h.client.SetNAT(context.Background(), b); err != nil {
		v.t.Fatal(err)
	}
	return h
}

func (h *hardHome) open(host *simnet.Host) (punch.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.opened) >= h.room {
		return nil, syscall.EMFILE
	}
	conn, err := host.Listen(netip.MustParseAddrPort("192.168.1.2:0"))
	if err != nil {
		return nil, err
	}
	h.opened = append(h.opened, conn)
	h.most = max(h.most, len(h.stillOpen()))
	return conn, nil
}

// stillOpen returns the extra sockets that were not closed. h.mu is held.
func (h *hardHome) stillOpen() (list []*simnet.Conn) {
	for _, conn := range h.opened {
		if conn.Send(nil) == nil {
			list = append(list, conn)
		}
	}
	return list
}

// extras returns the extra sockets that were not closed, and how many were open at the
// same time at the most.
func (h *hardHome) extras() (list []*simnet.Conn, most int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stillOpen(), h.most
}

// cost returns what ways through hard NATs have cost.
func (h *hardHome) cost() hard.Cost { h.t.Helper(); return h.status().HardNAT }

// hardPair starts alice and bob behind two NATs that they know of.
func (v *vpn) hardPair(a, b simnet.NAT, edit ...func(*Config)) (alice, bob *hardHome) {
	v.t.Helper()
	v.ourServer(rdv.Strict)
	alice = v.hardHome(1, a, behind(a), edit...)
	bob = v.hardHome(2, b, behind(b), edit...)
	pass(time.Second)
	return alice, bob
}

// TestHardNAT: whatever the two NATs are, of which one is hard, and whoever asks. Where
// ordinary punching does it, nothing else is tried.
func TestHardNAT(t *testing.T) {
	at := func(m, f simnet.Dependence, p simnet.PortChoice) simnet.NAT {
		return simnet.NAT{Mapping: m, Filtering: f, Ports: p}
	}
	const (
		none   = simnet.EndpointIndependent
		byAddr = simnet.AddressDependent
		byPort = simnet.AddressAndPortDependent
	)
	for _, easy := range []simnet.NAT{
		at(none, none, simnet.Preserving), at(none, byAddr, simnet.Random), at(none, byPort, simnet.Preserving),
		at(none, byPort, simnet.Sequential), at(none, byPort, simnet.Random),
	} {
		for _, hard := range []simnet.NAT{
			at(byPort, byPort, simnet.Sequential), at(byPort, byPort, simnet.Random), at(byPort, byPort, simnet.Preserving),
			at(byPort, byAddr, simnet.Random), at(byAddr, byPort, simnet.Random), at(byAddr, byPort, simnet.Sequential),
			at(byPort, none, simnet.Sequential), at(byPort, none, simnet.Random), at(byAddr, none, simnet.Preserving),
		} {
			for _, asker := range []string{"easy", "hard"} {
				t.Run(fmt.Sprintf("%v %v-%v %v-%v, %s asks", easy.Ports, easy.Filtering, hard.Mapping, hard.Ports, hard.Filtering, asker), func(t *testing.T) {
					t.Parallel()
					inBubble(t, func(v *vpn) {
						if asker == "easy" {
							hardGrid(v, easy, hard, false)
						} else {
							hardGrid(v, hard, easy, true)
						}
					})
				})
			}
		}
	}
}

func hardGrid(v *vpn, a, b simnet.NAT, hardAsks bool) {
	alice, bob := v.hardPair(a, b)
	easyOne, hardOne := a, b
	if hardAsks {
		easyOne, hardOne = b, a
	}
	within := 3 * time.Second
	if hardOne.Ports == simnet.Sequential {
		within = time.Second
	}
	ordinary := easyOne.Filtering != simnet.AddressAndPortDependent
	if ordinary {
		within = 300 * time.Millisecond
	}
	if took := alice.ping(bob.node, within); took > within {
		v.t.Errorf("the first reply took %v, want %v", took, within)
	}
	for _, h := range []*hardHome{alice, bob} {
		c := h.cost()
		if ordinary && c != (hard.Cost{}) {
			v.t.Errorf("%v has spent %+v, want nothing", h.vpn, c)
		}
		if c.Attempts > 1 || c.Sockets > uint64(hard.DefaultBudget.Sockets) || c.Probes > uint64(hard.DefaultBudget.Probes) {
			v.t.Errorf("%v has spent %+v, want one budget at most", h.vpn, c)
		}
		if open, _ := h.extras(); len(open) > 1 {
			v.t.Errorf("%v has %d extra sockets, want one at most", h.vpn, len(open))
		}
	}
	if n := alice.cost().Successes + bob.cost().Successes; (n == 0) != ordinary {
		v.t.Errorf("%d successes are counted", n)
	}
}

// TestHardNATStatistics: with random ports, 98 of 100 succeed in time, where theory has 99.6.
func TestHardNATStatistics(t *testing.T) {
	var mu sync.Mutex
	failed := 0
	t.Run("seeds", func(t *testing.T) {
		for seed := range uint64(100) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					v := newVPN(t, seed)
					alice, bob := v.hardPair(cone, symmetric)
					start := time.Now()
					alice.send(bob.vpn, "hello")
					for time.Since(start) < 3*time.Second && len(bob.texts()) == 0 {
						pass(10 * time.Millisecond)
					}
					if time.Since(start) >= 3*time.Second {
						mu.Lock()
						failed++
						mu.Unlock()
					}
					for _, h := range []*hardHome{alice, bob} {
						if c := h.cost(); c.Attempts > 1 || c.Sockets > uint64(hard.DefaultBudget.Sockets) || c.Probes > uint64(hard.DefaultBudget.Probes) {
							t.Errorf("%v has spent %+v, want one budget at most", h.vpn, c)
						}
					}
				})
			})
		}
	})
	t.Logf("%d of 100 have failed", failed)
	if failed > 2 {
		t.Errorf("%d of 100 have failed, want 2 at most", failed)
	}
}

// punches counts the punches that leave the two homes, from now on.
func (v *vpn) punches() func() int {
	var mu sync.Mutex
	n := 0
	v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
		if verdict == simnet.Sent && p.Kind == simnet.Kind(wire.Punch) {
			mu.Lock()
			defer mu.Unlock()
			n++
		}
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// TestHardNATNot: nothing beyond ordinary punching is sent if the key says no, if the
// NAT of either side is not known, if both are hard, or if there are no sockets.
func TestHardNATNot(t *testing.T) {
	off := func(c *Config) { c.HardNAT = hard.Budget{} }
	bare := func(c *Config) { c.OpenSocket = nil }
	for _, c := range []struct {
		name         string
		a, b         simnet.NAT
		saysA, saysB nat.Behaviour
		edit         func(*Config)
		guesses      bool // the side without sockets cannot be known to be without
	}{
		{"neither is known", cone, symmetric, nat.Behaviour{}, nat.Behaviour{}, nil, false},
		{"the easy one is not known", cone, symmetric, nat.Behaviour{}, behind(symmetric), nil, false},
		{"the hard one is not known", cone, symmetric, behind(cone), nat.Behaviour{}, nil, false},
		{"both are hard", symmetric, sequential, behind(symmetric), behind(sequential), nil, false},
		{"nothing gets out", cone, symmetric, behind(cone), nat.Behaviour{Known: true, Blocked: true}, nil, false},
		{"the key says no", cone, symmetric, behind(cone), behind(symmetric), off, false},
		{"there are no sockets", cone, symmetric, behind(cone), behind(symmetric), bare, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				v.ourServer(rdv.Strict)
				var edits []func(*Config)
				if c.edit != nil {
					edits = append(edits, c.edit)
				}
				alice := v.hardHome(1, c.a, c.saysA, edits...)
				bob := v.hardHome(2, c.b, c.saysB, edits...)
				pass(time.Second)
				sent := v.punches()
				alice.send(bob.vpn, "through?")
				pass(15 * time.Second)
				if got := bob.texts(); len(got) != 0 {
					v.t.Errorf("%q came through", got)
				}
				if cost := bob.cost(); cost != (hard.Cost{}) || len(bob.opened) != 0 {
					v.t.Errorf("bob has spent %+v", cost)
				}
				if cost := alice.cost(); (cost != hard.Cost{}) != c.guesses {
					v.t.Errorf("alice has spent %+v", cost)
				}
				if n := sent(); !c.guesses && n > 100 {
					v.t.Errorf("%d punches, want those of ordinary punching", n)
				}
			})
		})
	}
}
