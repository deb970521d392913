package client

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/nat"
	"campagnol/punch/simnet"
	"campagnol/punch/stun"
	"campagnol/rdv"
)

// anyAddr is all addresses of a host.
var anyAddr = netip.IPv4Unspecified()

// examined returns a change of a node's configuration by which it learns that the RDV
// is one of ours, and has fresh sockets.
func examined(v *vpn, edit func(*Config)) func(*Config) {
	return func(cfg *Config) {
		cfg.Auth = AuthAuto
		cfg.VerifyServer = func(time.Time, [][]byte) (ServerIdentity, error) { return ServerIdentity{}, nil }
		host := cfg.Conn.(*simnet.Conn).Host()
		cfg.HostAddrs = host.Addrs()
		cfg.OpenSocket = func() (punch.Conn, error) { return host.Listen(netip.AddrPortFrom(anyAddr, 0)) }
		if edit != nil {
			edit(cfg)
		}
	}
}

// twoAddresses starts the RDV anew, with a second address and port.
func (v *vpn) twoAddresses() {
	v.t.Helper()
	v.stop()
	second := netip.MustParseAddr("198.51.100.2")
	conn := v.net.Internet().Listen(v.server.String())
	host := conn.Host()
	conn.Close()
	host.Move(v.net.Internet(), v.server.Addr().String(), second.String())
	v.serveOn(host, v.server.Port(), rdv.Config{OtherAddrs: []netip.Addr{second}})
}

// serveOn starts a server on a host, with a second port.
func (v *vpn) serveOn(host *simnet.Host, port uint16, cfg rdv.Config) {
	v.t.Helper()
	var conns [2]punch.Conn
	for i := range conns {
		conn, err := host.Listen(netip.AddrPortFrom(anyAddr, port+uint16(i)))
		if err != nil {
			v.t.Fatal(err)
		}
		conns[i] = conn
	}
	cfg.Conn, cfg.OtherConn = conns[0], conns[1]
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- rdv.New(cfg).Run(ctx) }()
	before := v.stop
	v.stop = func() { before(); cancel(); <-ended }
}

// known returns what a node knows of its NAT, and what it offers because of it.
func (n *node) known() (b nat.Behaviour, list []punch.Candidate) {
	n.t.Helper()
	if err := n.client.do(n.t.Context(), func(time.Time) {
		b, list = n.client.nat, slices.Clone(n.client.offers[offerSTUN])
	}); err != nil {
		n.t.Fatal(err)
	}
	return b, list
}

// countSTUN counts the datagrams of STUN that are sent, by what is asked for.
func (v *vpn) countSTUN() (to func(netip.Addr) int) {
	var rdvAddr, others atomic.Int64
	v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
		switch {
		case verdict != simnet.Sent || p.Kind != simnet.KindSTUN:
		case p.Dst.Addr() == v.server.Addr():
			rdvAddr.Add(1)
		default:
			others.Add(1)
		}
	})
	return func(a netip.Addr) int {
		if a == v.server.Addr() {
			return int(rdvAddr.Load())
		}
		return int(others.Load())
	}
}

// TestNATIsExamined: clients find out about their NATs when they have registered, over
// the socket that peers reach them at, while it is in use.
func TestNATIsExamined(t *testing.T) {
	for _, c := range []struct {
		name string
		nat  simnet.NAT
		want nat.Behaviour
	}{
		{"port-restricted", simnet.NAT{Filtering: nat.AddressAndPortDependent, Hairpin: simnet.ExternalSource},
			nat.Behaviour{Filtering: nat.AddressAndPortDependent, Hairpin: true}},
		{"symmetric, in turn", simnet.NAT{Mapping: nat.AddressAndPortDependent, Filtering: nat.AddressDependent, Ports: nat.Sequential},
			nat.Behaviour{Mapping: nat.AddressAndPortDependent, Filtering: nat.AddressDependent, Ports: nat.Sequential, Step: 1}},
		{"symmetric, at random", simnet.NAT{Mapping: nat.AddressDependent, Filtering: nat.AddressDependent, Ports: nat.Random},
			nat.Behaviour{Mapping: nat.AddressDependent, Filtering: nat.AddressDependent, Ports: nat.Random}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				v.twoAddresses()
				alice := v.node(v.home(1, c.nat), "192.168.1.2:5000", "10.9.0.1", examined(v, nil))
				bob := v.node(v.net.Internet(), "198.51.100.12:5000", "10.9.0.2", examined(v, nil))
				pass(300 * time.Millisecond) // registered, and the check is under way
				alice.ping(bob, time.Second)
				pass(3 * time.Second)
				c.want.Known, c.want.Translated, c.want.MappingExact, c.want.FilteringExact = true, true, true, true
				if got, list := alice.known(); got != c.want || len(list) > 0 {
					t.Errorf("known  %+v, offered %v\nwant %+v, and nothing offered", got, list, c.want)
				}
				if got, _ := bob.known(); !got.Known || got.Translated || got.Filtering != nat.EndpointIndependent {
					t.Errorf("of the public host is known %+v", got)
				}
				if n := alice.logged("The way to the Internet was examined"); n != 1 {
					t.Errorf("logged %d times, want once", n)
				}
			})
		})
	}
}

// TestNATChecksAreFew: a check is some twenty datagrams, and comes again when the
// network has changed, or after a minute when the RDV has forgotten us, and not
// otherwise.
func TestNATChecksAreFew(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.twoAddresses()
		count := v.countSTUN()
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", examined(v, nil))
		total := func() int { return count(v.server.Addr()) + count(netip.Addr{}) }
		pass(5 * time.Second)
		first := total()
		if first == 0 || first > 40 {
			t.Fatalf("%d datagrams to and fro, want up to 40", first)
		}
		pass(10 * time.Minute)
		if got := total(); got != first {
			t.Errorf("%d more datagrams without a reason", got-first)
		}
		change := func() {
			t.Helper()
			if err := alice.client.do(v.t.Context(), alice.client.checkNAT); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 { // changes come in groups
			change()
			pass(10 * time.Millisecond)
		}
		pass(5 * time.Second)
		if got := total(); got <= first || got > 2*first+5 {
			t.Errorf("%d datagrams after a change of the network, before it %d", got, first)
		}
		change() // and soon again
		pass(300 * time.Millisecond)
		change() // while the check runs
		pass(5 * time.Second)
		if got, _ := alice.known(); !got.Known || got.Filtering != nat.AddressAndPortDependent {
			t.Errorf("known %+v", got)
		}
		if got := total(); got > 4*first {
			t.Errorf("%d datagrams in all", got)
		}
	})
}

// TestAnotherNAT: somebody replaces the router by another one, whose NAT is a worse one,
// and nothing changes here but where the RDV sees us. That is enough to find out.
func TestAnotherNAT(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.twoAddresses()
		count := v.countSTUN()
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", examined(v, nil))
		pass(5 * time.Second)
		if got, _ := alice.known(); got.Mapping != nat.EndpointIndependent {
			t.Fatalf("known %+v before, want a NAT that is easy", got)
		}
		first := count(v.server.Addr())
		alice.conn.Host().Move(v.home(3, simnet.NAT{Mapping: nat.AddressAndPortDependent, Filtering: nat.AddressAndPortDependent, Ports: nat.Random}), "192.168.1.2")
		pass(time.Minute)
		if got, _ := alice.known(); got.Mapping != nat.AddressAndPortDependent || !got.Hard() {
			t.Errorf("known %+v, want a NAT that is hard", got)
		}
		second := count(v.server.Addr())
		if second > 3*first {
			t.Errorf("%d datagrams to find out, the first time %d", second-first, first)
		}
		pass(10 * time.Minute)
		if got := count(v.server.Addr()); got != second {
			t.Errorf("%d more datagrams without a reason", got-second)
		}
	})
}

// TestNoSTUNToOriginals: a server of Campagnol 0.3.5 takes a request of STUN for a
// HELLO, so one that may be one is never asked; STUN servers of the settings are.
func TestNoSTUNToOriginals(t *testing.T) {
	inBubble(t, func(v *vpn) {
		count := v.countSTUN()
		stunAddr := netip.MustParseAddrPort("198.51.100.77:3478")
		v.serveOn(v.net.Internet().Host(stunAddr.Addr().String()), stunAddr.Port(), rdv.Config{})
		for i, auth := range []Auth{AuthNo, AuthAuto} {
			silent := auth == AuthAuto
			v.net.Drop(func(p simnet.Packet) bool { return silent && p.Kind == simnet.KindGate }) // as an original does
			n := v.node(v.home(1+i, portRestricted), "192.168.1.2:5000", netip.AddrFrom4([4]byte{10, 9, 0, byte(1 + i)}).String(),
				examined(v, func(cfg *Config) {
					cfg.Auth = auth
					cfg.STUNServers = []netip.AddrPort{stunAddr}
				}))
			pass(10 * time.Second)
			if s := n.status(); !s.Registered {
				t.Fatalf("auth %v: not registered", auth)
			}
			if got, list := n.known(); !got.Known || !got.Translated || len(list) != 1 || list[0].Kind != punch.Observed {
				t.Errorf("auth %v: known %+v, offered %v, want what the STUN server says", auth, got, list)
			}
			if got := count(v.server.Addr()); got != 0 {
				t.Errorf("auth %v: the RDV was sent %d datagrams of STUN", auth, got)
			}
		}
	})
}

// TestObserved: where only one server sees us is no place for peers to find us.
func TestObserved(t *testing.T) {
	for _, mapping := range dependences {
		t.Run(mapping.String(), func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				v.twoAddresses()
				other := netip.MustParseAddrPort("198.51.100.77:3478")
				v.serveOn(v.net.Internet().Host(other.Addr().String()), other.Port(), rdv.Config{})
				count := v.countSTUN()
				n := v.node(v.home(1, simnet.NAT{Mapping: mapping, Ports: nat.Random}), "192.168.1.2:5000", "10.9.0.1",
					examined(v, func(cfg *Config) { cfg.STUNServers = []netip.AddrPort{other} }))
				pass(5 * time.Second)
				if b, list := n.known(); !b.Known || b.Mapping != mapping || len(list) > 0 {
					t.Errorf("known %+v, offered %v, want nothing offered", b, list)
				}
				if count(netip.Addr{}) == 0 {
					t.Error("the STUN server was not asked")
				}
			})
		})
	}
}

// TestSTUNFromStrangers: the data path drops STUN that nobody waits for; a flood from
// where somebody waits for it neither blocks it nor grows.
func TestSTUNFromStrangers(t *testing.T) {
	tap := newTap(nil)
	server, liar := netip.MustParseAddrPort("198.51.100.1:3478"), netip.MustParseAddrPort("192.0.2.66:3478")
	var codec stun.Codec
	answer := codec.AppendResponse(nil, &stun.Response{Mapped: liar})
	if (*stunTap)(nil).offer(server, answer) || tap.offer(server, answer) {
		t.Error("taken although no check waits for anything")
	}
	tap.await([]netip.AddrPort{server})
	if tap.offer(liar, answer) {
		t.Error("taken from a stranger")
	}
	taken := 0
	for range 1000 {
		if tap.offer(server, answer) {
			taken++
		}
	}
	if taken != queueSTUN {
		t.Errorf("%d of a flood were taken, want %d", taken, queueSTUN)
	}
	answer[20] ^= 0xff // what was handed over is a copy
	ds, err := tap.Receive()
	if err != nil || len(ds) != 1 || ds[0].Addr != server || ds[0].Data[20] == answer[20] {
		t.Errorf("received %v, %v", ds, err)
	}
	if n := testing.AllocsPerRun(100, func() { tap.offer(liar, answer); tap.offer(server, answer) }); n > 1 {
		t.Errorf("what is dropped takes %v allocations", n)
	}
}

// TestSTUNDropped: a client that runs counts what it drops.
func TestSTUNDropped(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.node(v.net.Internet(), "198.51.100.11:5000", "10.9.0.1", nil)
		pass(time.Second)
		before := alice.status().Drops["invalid"]
		var codec stun.Codec
		liar := v.net.Internet().Listen("192.0.2.66:3478")
		for range 5 {
			if err := liar.Send([]punch.Datagram{{Addr: netip.MustParseAddrPort("198.51.100.11:5000"),
				Data: codec.AppendResponse(nil, &stun.Response{Mapped: v.server})}}); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Second)
		if got := alice.status().Drops["invalid"] - before; got != 5 {
			t.Errorf("%d counted, want 5; drops %v", got, alice.status().Drops)
		}
		if strings.Contains(alice.log.String(), "examined") {
			t.Error("a stranger's answer was believed")
		}
	})
}
