package natcheck

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
	"campagnol/punch/nat"
	"campagnol/punch/simnet"
	"campagnol/rdv"
)

// rdvAt starts the real rendezvous server at host, with a second port if other is not
// 0, and stops it with the test's bubble.
func rdvAt(t *testing.T, host *simnet.Host, other uint16, second ...netip.Addr) (stop func()) {
	t.Helper()
	listen := func(port uint16) punch.Conn {
		conn, err := host.Listen(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	cfg := rdv.Config{Conn: listen(57888), OtherAddrs: second, Software: "campagnol_rdv test"}
	if other != 0 {
		cfg.OtherConn = listen(other)
	}
	server := rdv.New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended: %v", err)
		}
	}
}

const (
	rdvAddr   = "198.51.100.1:57888"
	rdvSecond = "198.51.100.2"
)

// world runs f in a bubble, with a network.
func world(t *testing.T, seed uint64, f func(t *testing.T, n *simnet.Net)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(seed, simnet.Delay(20*time.Millisecond))
		defer n.Close()
		f(t, n)
	})
}

// check makes a check from host, with a number of fresh sockets.
func check(t *testing.T, host *simnet.Host, fresh int, servers ...string) Result {
	t.Helper()
	cfg := Config{HostAddrs: host.Addrs()}
	for _, s := range servers {
		cfg.Servers = append(cfg.Servers, netip.MustParseAddrPort(s))
	}
	r, err := Run(t.Context(), cfg, sockets(t, host, 1+fresh), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sockets(t *testing.T, host *simnet.Host, n int) (conns []punch.Conn) {
	t.Helper()
	for range n {
		conn, err := host.Listen(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	return conns
}

// behaviourOf returns what a check says of a NAT. A host alone cannot tell that a NAT
// would share its ports with others.
func behaviourOf(cfg simnet.NAT) nat.Behaviour {
	b := nat.Behaviour{
		Known: true, Translated: true, Mapping: cfg.Mapping, Filtering: cfg.Filtering,
		MappingExact: true, FilteringExact: true, Ports: cfg.Ports, Hairpin: cfg.Hairpin != simnet.NoHairpinning,
	}
	switch cfg.Ports {
	case nat.Overloading:
		b.Ports, b.Mapping = nat.Preserving, nat.EndpointIndependent
	case nat.Sequential:
		b.Step = 1
	}
	if b.Mapping != nat.EndpointIndependent && b.Filtering != nat.EndpointIndependent {
		b.Hairpin = false // nothing ever comes back, whatever the NAT wants
	}
	return b
}

// TestGrid: with a server that has two addresses, a check finds out what every NAT
// there may be does, in less than two seconds and with some twenty datagrams.
func TestGrid(t *testing.T) {
	for i, cfg := range simnet.Grid() {
		t.Run(cfg.String(), func(t *testing.T) {
			world(t, uint64(i), func(t *testing.T, n *simnet.Net) {
				server := n.Internet().Host("198.51.100.1", rdvSecond)
				defer rdvAt(t, server, 57889, netip.MustParseAddr(rdvSecond))()
				host := n.Internet().Behind("203.0.113.1", cfg).Host("192.168.1.2")
				start, sent := time.Now(), n.Count(simnet.Sent)
				got := check(t, host, GoodFresh, rdvAddr)
				if want := behaviourOf(cfg); got.Behaviour != want {
					t.Errorf("got  %+v\nwant %+v", got.Behaviour, want)
				}
				if !got.MappingKnown || !got.FilteringKnown || !got.PortsKnown || !got.HairpinKnown {
					t.Errorf("not all is known: %+v", got)
				}
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
				if n := n.Count(simnet.Sent) - sent; n > 2*20 {
					t.Errorf("%d datagrams to and fro, want at most 40", n)
				}
			})
		})
	}
}
