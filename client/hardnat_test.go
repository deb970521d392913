package client

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
	"campagnol/punch/hard"
	"campagnol/punch/nat"
	"campagnol/punch/simnet"
	"campagnol/rdv"
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

// A home is a node that may open extra sockets.
type hardHome struct {
	*node
	site *simnet.Site

	mu     sync.Mutex // guards the following
	opened []*simnet.Conn
	err    error // of the next that is to be opened
}

// hardHome starts a node behind a NAT of which it says b; nothing if that is not Known.
func (v *vpn) hardHome(number int, n simnet.NAT, b nat.Behaviour, edit ...func(*Config)) *hardHome {
	v.t.Helper()
	site := v.home(number, n)
	conn := site.Listen("192.168.1.2:5000")
	h := &hardHome{site: site}
	h.node = v.nodeOn(conn, fmt.Sprintf("10.9.0.%d", number), v.authentic(AuthYes, nil, append([]func(*Config){func(c *Config) {
		c.HardNAT = hard.DefaultBudget
		c.OpenSocket = func() (punch.Conn, error) { return h.open(conn.Host()) }
	}}, edit...)...))
	if b.Known {
		if err := h.client.SetNAT(context.Background(), b); err != nil {
			v.t.Fatal(err)
		}
	}
	return h
}

func (h *hardHome) open(host *simnet.Host) (punch.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return nil, h.err
	}
	conn, err := host.Listen(netip.MustParseAddrPort("192.168.1.2:0"))
	if err != nil {
		return nil, err
	}
	h.opened = append(h.opened, conn)
	return conn, nil
}

// hardPair starts alice and bob behind two NATs that they know of.
func (v *vpn) hardPair(a, b simnet.NAT, edit ...func(*Config)) (alice, bob *hardHome) {
	v.t.Helper()
	v.ourServer(rdv.Strict)
	alice = v.hardHome(1, a, behind(a), edit...)
	bob = v.hardHome(2, b, behind(b), edit...)
	pass(time.Second)
	return alice, bob
}

// TestHardNAT: whoever asks, and whichever side the hard NAT is at.
func TestHardNAT(t *testing.T) {
	for _, c := range []struct {
		name   string
		a, b   simnet.NAT
		within time.Duration
	}{
		{"cone to sequential", cone, sequential, time.Second},
		{"sequential to cone", sequential, cone, time.Second},
		{"cone to random", cone, symmetric, 3 * time.Second},
		{"random to cone", symmetric, cone, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				alice, bob := v.hardPair(c.a, c.b)
				took := alice.ping(bob.node, c.within)
				v.t.Logf("took %v, alice %+v, bob %+v", took, alice.status().HardNAT, bob.status().HardNAT)
			})
		})
	}
}

// TestHardNATStatistics: with random ports, 95 of 100 succeed in time.
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
				})
			})
		}
	})
	if failed > 5 {
		t.Errorf("%d of 100 have failed, want 5 at most", failed)
	}
	t.Logf("%d failed", failed)
}
