package client

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch/hard"
	"campagnol/punch/nat"
	"campagnol/punch/simnet"
)

// opens says, from theory, whether a direct path can come about between two
// clients behind NATs that introduce each other by the addresses that the RDV
// saw, with ports that cannot be guessed.
//
// Where both mappings are endpoint-independent, the RDV saw what the peer will
// see. Where one is not (a "hard" NAT), its owner's punches come from a port that
// nobody named: the other NAT has to let them in, which it does unless it filters
// by port, and then answers to that port are awaited.
//
// Between two hard NATs each punches a port of the other that is open for the RDV
// only. A filter that looks at nothing lets it in; the answer comes from yet
// another port, which the first one's filter must not mind. Where, however, each
// new port of one side makes the other use a new one, that never ends.
func opens(a, b simnet.NAT) bool {
	hard := func(n simnet.NAT) bool { return n.Mapping != simnet.EndpointIndependent }
	byPort := func(n simnet.NAT) bool { return n.Filtering == simnet.AddressAndPortDependent }
	open := func(n simnet.NAT) bool { return n.Filtering == simnet.EndpointIndependent }
	switch {
	case !hard(a) && !hard(b):
		return true
	case hard(a) && !hard(b):
		return !byPort(b)
	case !hard(a) && hard(b):
		return !byPort(a)
	case a.Mapping == simnet.AddressAndPortDependent && b.Mapping == simnet.AddressAndPortDependent:
		return false
	}
	return open(a) && !byPort(b) || open(b) && !byPort(a)
}

var (
	dependences = []simnet.Dependence{simnet.EndpointIndependent, simnet.AddressDependent, simnet.AddressAndPortDependent}
	allocations = []simnet.PortChoice{simnet.Preserving, simnet.Sequential, simnet.Random}
)

// TestNATs tries all pairs of mapping and filtering behaviours, with each way of
// handing out ports: 243 pairs of NATs.
func TestNATs(t *testing.T) {
	for _, ports := range allocations {
		for _, am := range dependences {
			for _, af := range dependences {
				for _, bm := range dependences {
					for _, bf := range dependences {
						a := simnet.NAT{Mapping: am, Filtering: af, Ports: ports}
						b := simnet.NAT{Mapping: bm, Filtering: bf, Ports: ports}
						name := fmt.Sprintf("%v/%d,%d-%d,%d", ports, am, af, bm, bf)
						t.Run(name, func(t *testing.T) { natPair(t, a, b) })
					}
				}
			}
		}
	}
}

func natPair(t *testing.T, a, b simnet.NAT) {
	t.Parallel()
	inBubble(t, func(v *vpn) {
		alice := v.node(v.home(1, a), "192.168.1.2:5000", "10.9.0.1", nil)
		bob := v.node(v.home(2, b), "192.168.1.2:6000", "10.9.0.2", nil)
		pass(time.Second)
		if opens(a, b) {
			alice.ping(bob, 3*time.Second)
			return
		}
		alice.send(bob.vpn, "through?")
		pass(30 * time.Second)
		if got := bob.texts(); len(got) != 0 {
			v.t.Errorf("%q came through, which theory excludes", got)
		}
		for _, n := range v.nodes {
			if n.state(alice) == "ESTABLISHED" || n.state(bob) == "ESTABLISHED" {
				v.t.Errorf("%v sees a session, which theory excludes", n.vpn)
			}
		}
	})
}

// TestSameNAT: two clients behind one NAT use their local addresses.
func TestSameNAT(t *testing.T) {
	inBubble(t, func(v *vpn) {
		home := v.home(1, portRestricted) // it does not hairpin
		alice := v.node(home, "192.168.1.2:5000", "10.9.0.1", nil)
		bob := v.node(home, "192.168.1.3:5000", "10.9.0.2", nil)
		pass(time.Second)
		alice.ping(bob, time.Second)
		if got := alice.status().Peers[0].Addr.String(); got != "192.168.1.3:5000" {
			v.t.Errorf("path to %s, want the local address", got)
		}
	})
}

// TestDoubleNAT: a NAT behind the provider's NAT.
func TestDoubleNAT(t *testing.T) {
	inBubble(t, func(v *vpn) {
		carrier := v.home(1, portRestricted)
		alice := v.node(carrier.Behind("100.64.0.2", portRestricted), "192.168.1.2:5000", "10.9.0.1", nil)
		bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", nil)
		pass(time.Second)
		alice.ping(bob, time.Second)
	})
}

// TestNoNAT: hosts with public addresses, and one with a firewall.
func TestNoNAT(t *testing.T) {
	inBubble(t, func(v *vpn) {
		internet := v.net.Internet()
		alice := v.node(internet, "198.51.100.11:5000", "10.9.0.1", nil)
		bob := v.node(internet, "198.51.100.12:5000", "10.9.0.2", nil)
		carol := v.node(v.home(3, portRestricted), "192.168.1.2:5000", "10.9.0.3", nil)
		pass(time.Second)
		alice.ping(bob, time.Second)
		alice.ping(carol, time.Second)
		carol.ping(bob, time.Second)
	})
}

// lossCases are the messages of which each single one must be dispensable, by
// kind, and how many of them a set-up sends.
var lossCases = []struct {
	kind  simnet.Kind
	count int
}{
	{0, 2}, // HELLO
	{4, 2}, // OK
	{2, 1}, // ASK
	{7, 1}, // ANS
	{6, 1}, // FWD
	{9, 3}, // PUNCH
	{simnet.KindHandshake, 3},
	{simnet.KindChangeCipherSpec, 1},
	{1, 2}, // PING
	{3, 2}, // PONG
}

// TestLossOfEachMessage loses every message of a set-up in turn, the first times
// one, the second times two in a row; a packet still gets through.
func TestLossOfEachMessage(t *testing.T) {
	for _, c := range lossCases {
		for nth := range c.count {
			for _, row := range []int{1, 2} {
				t.Run(fmt.Sprintf("%v/%d/%d", c.kind, nth, row), func(t *testing.T) {
					t.Parallel()
					inBubble(t, func(v *vpn) { loseOne(v, c.kind, nth, row) })
				})
			}
		}
	}
}

func loseOne(v *vpn, kind simnet.Kind, nth, row int) {
	seen, lost := 0, 0
	v.net.Drop(func(p simnet.Packet) bool {
		if p.Kind != kind {
			return false
		}
		seen++
		if seen > nth && lost < row {
			lost++
			return true
		}
		return false
	})
	alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", nil)
	bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", nil)
	pass(8 * time.Second) // registered, whatever was lost of it
	took := alice.ping(bob, 5*time.Second)
	if took > 2500*time.Millisecond {
		v.t.Errorf("first reply after %v", took)
	}
	if lost == 0 {
		pass(4 * time.Second)
	}
	if lost != row {
		v.t.Errorf("%d lost, want %d: the test did not test", lost, row)
	}
}

// TestRandomLoss loses every fifth datagram.
func TestRandomLoss(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				v := newVPN(t, seed)
				lossy := simnet.Link{Loss: 0.1} // at each end
				a, b := v.home(1, portRestricted), v.home(2, portRestricted)
				a.SetLinks(lossy, lossy)
				b.SetLinks(lossy, lossy)
				alice := v.node(a, "192.168.1.2:5000", "10.9.0.1", nil)
				bob := v.node(b, "192.168.1.2:5000", "10.9.0.2", nil)
				pass(10 * time.Second)
				for i := range 10 { // packets are lost; a session comes about
					alice.send(bob.vpn, fmt.Sprint(i))
					pass(time.Second)
				}
				if s := bob.state(alice); s != "ESTABLISHED" {
					t.Errorf("after 10 s: %s", s)
				}
			})
		})
	}
}

// trace plays a scenario with six nodes and returns the trace of the network.
func trace(t *testing.T, seed uint64) (sum uint64, events int) {
	synctest.Test(t, func(t *testing.T) {
		v := newVPN(t, seed)
		lossy := simnet.Link{Loss: 0.05}
		for i := range 6 {
			site := v.home(i, portRestricted)
			site.SetLinks(lossy, lossy)
			v.node(site, "192.168.1.2:5000", fmt.Sprintf("10.9.0.%d", i+1), nil)
		}
		pass(5 * time.Second)
		for i, from := range v.nodes {
			for _, to := range v.nodes {
				if from != to {
					from.send(to.vpn, fmt.Sprint(i))
				}
			}
		}
		pass(10 * time.Second)
		delivered := 0
		for _, n := range v.nodes {
			delivered += len(n.texts())
		}
		if delivered < 20 {
			t.Errorf("%d packets of 30 delivered", delivered)
		}
		sum, events = v.net.Trace()
	})
	return sum, events
}

// TestDeterministic: runs with one seed give one trace, with another another.
func TestDeterministic(t *testing.T) {
	sums := map[uint64]int{}
	var events int
	for range 10 {
		var sum uint64
		sum, events = trace(t, 1)
		sums[sum]++
	}
	t.Logf("%d network events a run", events)
	if len(sums) != 1 {
		t.Errorf("%d different traces in 10 runs", len(sums))
	}
	if sum, _ := trace(t, 2); sums[sum] != 0 {
		t.Error("another seed gives the same trace")
	}
}

// TestMeetsTheory: what two NATs are said to let expect is what theory says, and so what
// TestNATs sees.
func TestMeetsTheory(t *testing.T) {
	for _, am := range dependences {
		for _, af := range dependences {
			for _, bm := range dependences {
				for _, bf := range dependences {
					a, b := simnet.NAT{Mapping: am, Filtering: af}, simnet.NAT{Mapping: bm, Filtering: bf}
					got := nat.Meet(behind(a), behind(b))
					if want := opens(a, b); (got == nat.Direct) != want {
						t.Errorf("%v,%v and %v,%v: %v, but a path by punching: %v", am, af, bm, bf, got, want)
					}
					if guess := hard.Make(behind(a), behind(b)).Role != hard.None && !opens(a, b); (got == nat.Guess) != guess {
						t.Errorf("%v,%v and %v,%v: %v, but ports are guessed: %v", am, af, bm, bf, got, guess)
					}
				}
			}
		}
	}
}
