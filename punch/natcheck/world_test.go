package natcheck

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"campagnol/punch/nat"
	"campagnol/punch/simnet"
)

// server2 puts the rendezvous server with two addresses on the Internet.
func server2(t *testing.T, n *simnet.Net) (stop func()) {
	t.Helper()
	return rdvAt(t, n.Internet().Host("198.51.100.1", rdvSecond), 57889, netip.MustParseAddr(rdvSecond))
}

// TestPlaces: hosts that are not behind a single NAT.
func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		name string
		host func(n *simnet.Net) *simnet.Host
		want nat.Behaviour
	}{
		{"public", func(n *simnet.Net) *simnet.Host { return n.Internet().Host("203.0.113.5") },
			nat.Behaviour{Known: true, MappingExact: true, FilteringExact: true}},
		{"firewall", func(n *simnet.Net) *simnet.Host {
			return n.Internet().Routed("x", simnet.Firewall{Filtering: nat.AddressAndPortDependent}).Host("203.0.113.5")
		}, nat.Behaviour{Known: true, MappingExact: true, Filtering: nat.AddressAndPortDependent, FilteringExact: true}},
		{"blocked", func(n *simnet.Net) *simnet.Host {
			s := n.Internet().Behind("203.0.113.1", simnet.NAT{})
			s.BlockUDP(true)
			return s.Host("192.168.1.2")
		}, nat.Behaviour{Known: true, Blocked: true}},
		{"two NATs, the stricter of each counts", func(n *simnet.Net) *simnet.Host {
			outer := simnet.NAT{Mapping: nat.AddressDependent, Ports: nat.Sequential}
			inner := simnet.NAT{Filtering: nat.AddressDependent}
			return n.Internet().Behind("203.0.113.1", outer).Behind("100.64.0.1", inner).Host("192.168.1.2")
		}, nat.Behaviour{Known: true, Translated: true, Mapping: nat.AddressDependent, MappingExact: true,
			Filtering: nat.AddressDependent, FilteringExact: true, Ports: nat.Sequential, Step: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			world(t, 1, func(t *testing.T, n *simnet.Net) {
				defer server2(t, n)()
				if got := check(t, c.host(n), GoodFresh, rdvAddr); got.Behaviour != c.want {
					t.Errorf("got  %+v\nwant %+v", got.Behaviour, c.want)
				}
			})
		})
	}
}

// TestOnePort: the real server with a single address and two ports tells what it can
// of every NAT, and nothing false.
func TestOnePort(t *testing.T) {
	for i, cfg := range simnet.Grid() {
		t.Run(cfg.String(), func(t *testing.T) {
			world(t, uint64(i), func(t *testing.T, n *simnet.Net) {
				defer rdvAt(t, n.Internet().Host("198.51.100.1"), 57889)()
				got := check(t, n.Internet().Behind("203.0.113.1", cfg).Host("192.168.1.2"), GoodFresh, rdvAddr)
				want := behaviourOf(cfg)
				if want.Mapping != nat.AddressAndPortDependent { // which ports tell
					want.Mapping, want.MappingExact = nat.AddressDependent, false
				}
				if want.Filtering != nat.AddressAndPortDependent {
					want.Filtering, want.FilteringExact = nat.AddressDependent, false
				}
				if got.Behaviour != want {
					t.Errorf("got  %+v\nwant %+v", got.Behaviour, want)
				}
			})
		})
	}
}

// TestLoss: on a path that loses every fifth datagram, a check tells the truth nearly
// always, since what is not answered is asked again.
func TestLoss(t *testing.T) {
	cfg := simnet.NAT{Filtering: nat.AddressDependent}
	const runs = 40
	wrong := 0
	for i := range runs {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			world(t, uint64(i), func(t *testing.T, n *simnet.Net) {
				defer server2(t, n)()
				home := n.Internet().Behind("203.0.113.1", cfg)
				home.SetLinks(simnet.Link{Loss: 0.1}, simnet.Link{Loss: 0.1})
				r := check(t, home.Host("192.168.1.2"), GoodFresh, rdvAddr)
				if want := behaviourOf(cfg); r.Mapping != want.Mapping || r.Filtering != want.Filtering {
					wrong++
				}
			})
		})
	}
	if wrong > runs/10 {
		t.Errorf("%d of %d results are wrong", wrong, runs)
	}
}

// TestRunEnds: a check ends with its context, and closes its sockets.
func TestRunEnds(t *testing.T) {
	world(t, 1, func(t *testing.T, n *simnet.Net) {
		host := n.Internet().Host("203.0.113.5")
		conns := sockets(t, host, 3)
		cause := errors.New("enough")
		ctx, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(100*time.Millisecond, func() { stop(cause) })
		var awaited []netip.AddrPort
		_, err := Run(ctx, Config{Servers: []netip.AddrPort{netip.MustParseAddrPort(rdvAddr)}}, conns,
			func(list []netip.AddrPort) { awaited = list })
		if !errors.Is(err, cause) {
			t.Errorf("error %v, want %v", err, cause)
		}
		if len(awaited) != 1 || awaited[0].String() != rdvAddr {
			t.Errorf("awaited %v", awaited)
		}
		for i, c := range conns {
			if _, err := c.Receive(); err == nil {
				t.Errorf("socket %d is open", i)
			}
		}
	})
}

// TestLifetime: how long mappings are kept, behind NATs of all filters, is told by the
// real server.
func TestLifetime(t *testing.T) {
	for _, c := range []struct {
		name   string
		nat    simnet.NAT
		second bool // the server has a second port
		want   LifetimeResult
	}{
		{"half a minute", simnet.NAT{Lifetime: 35 * time.Second, Filtering: nat.AddressAndPortDependent}, true,
			LifetimeResult{Known: true, Kept: 30 * time.Second, Gone: 45 * time.Second}},
		{"random ports", simnet.NAT{Lifetime: 100 * time.Second, Mapping: nat.AddressAndPortDependent, Filtering: nat.AddressAndPortDependent, Ports: nat.Random}, false,
			LifetimeResult{Known: true, Kept: 90 * time.Second, Gone: 2 * time.Minute}},
		{"longer than anybody waits", simnet.NAT{Lifetime: time.Hour}, true,
			LifetimeResult{Known: true, Kept: 5 * time.Minute}},
		{"seconds", simnet.NAT{Lifetime: 5 * time.Second}, true,
			LifetimeResult{Known: true, Kept: 0, Gone: 10 * time.Second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			world(t, 3, func(t *testing.T, n *simnet.Net) {
				defer server2(t, n)()
				host := n.Internet().Behind("203.0.113.1", c.nat).Host("192.168.1.2")
				start := time.Now()
				got, err := RunLifetime(t.Context(), netip.MustParseAddrPort(rdvAddr), Ages(), sockets(t, host, 1+len(Ages())))
				if err != nil || got != c.want {
					t.Errorf("got %+v, %v, want %+v", got, err, c.want)
				}
				if took, last := time.Since(start), max(c.want.Gone, c.want.Kept); took < last || took > last+5*time.Second {
					t.Errorf("it took %v, want hardly more than %v", took, last)
				}
			})
		})
	}
}

// TestLifetimeUnknown: without an answer, or with a server that sends nothing
// elsewhere, nothing is known, and soon.
func TestLifetimeUnknown(t *testing.T) {
	world(t, 1, func(t *testing.T, n *simnet.Net) {
		host := n.Internet().Behind("203.0.113.1", simnet.NAT{}).Host("192.168.1.2")
		start := time.Now()
		got, err := RunLifetime(t.Context(), netip.MustParseAddrPort(rdvAddr), Ages(), sockets(t, host, 1+len(Ages())))
		if err != nil || got != (LifetimeResult{}) {
			t.Errorf("got %+v, %v, want nothing", got, err)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
