package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// natKinds are all kinds that make a NAT.
var natKinds = []Kind{FullCone, Restricted, PortRestricted, Symmetric, Sequential}

// eachNAT runs a test for a NAT of every kind, with a public server and a host
// behind the NAT.
func eachNAT(t *testing.T, test func(t *testing.T, l *Lab, nat *NAT, h, server *Host)) {
	t.Helper()
	t.Parallel()
	for _, kind := range natKinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, Options{})
			server := addHost(t, l, "server", nil)
			nat := addNAT(t, l, "nat", NATOptions{Kind: kind})
			if nat.Kind() != kind {
				t.Errorf("Kind = %v, want %v", nat.Kind(), kind)
			}
			test(t, l, nat, addHost(t, l, "h", nat), server)
		})
	}
}

// TestTCP opens connections through NATs: outwards they work, inwards they do
// not, whatever the NAT does to UDP.
func TestTCP(t *testing.T) {
	eachNAT(t, func(t *testing.T, _ *Lab, nat *NAT, h, server *Host) {
		r, err := Bulk(testContext(t), h.Node, server.Node, netip.AddrPortFrom(server.Addr(), 0), BulkOptions{Size: 100_000})
		if err != nil || r.Bytes != 100_000 {
			t.Errorf("from inside: %+v, %v", r, err)
		}
		ln, err := h.ListenTCP(netip.AddrPortFrom(h.Addr(), 5000))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		ctx, cancel := context.WithTimeout(testContext(t), 200*ms)
		defer cancel()
		if c, err := server.DialTCP(ctx, netip.AddrPortFrom(nat.Addr(), 5000)); err == nil {
			c.Close()
			t.Error("a connection from outside gets in")
		} else if !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "timeout") {
			t.Errorf("a connection from outside: %v, want silence", err)
		}
	})
}

// TestSamePort lets two hosts behind one NAT send from the same port. The first
// keeps it, the second gets another, and answers reach the right one.
func TestSamePort(t *testing.T) {
	eachNAT(t, func(t *testing.T, l *Lab, nat *NAT, h, server *Host) {
		const port = 4444
		second := addHost(t, l, "second", nat)
		var flows [2]*flow
		var seen [2]netip.AddrPort
		for i, host := range []*Host{h, second} {
			f := newFlow(t, host, server)
			f.inner.Close()
			c, err := host.ListenUDP(netip.AddrPortFrom(host.Addr(), port))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			f.inner = c
			// Both talk to the same socket, or there would be no conflict.
			if i == 1 {
				f.server, f.serverAddr = flows[0].server, flows[0].serverAddr
			}
			flows[i], seen[i] = f, f.outer()
		}
		if seen[0] == seen[1] {
			t.Fatalf("both hosts are seen as %v", seen[0])
		}
		if kept := seen[0].Port() == port; kept == nat.Kind().Hard() {
			t.Errorf("the first host is seen as %v; it keeps its port: %v", seen[0], kept)
		}
		for i, f := range flows {
			f.wantBack(seen[i], true)
		}
	})
}

// TestNoHairpin sends from one host to the outer address of another behind the
// same NAT. Nothing comes back, as from many routers.
func TestNoHairpin(t *testing.T) {
	eachNAT(t, func(t *testing.T, l *Lab, nat *NAT, h, server *Host) {
		f := newFlow(t, h, server)
		outer := f.outer()
		neighbour := newFlow(t, addHost(t, l, "neighbour", nat), server)
		if _, err := neighbour.inner.WriteToUDPAddrPort([]byte("hairpin"), outer); err != nil {
			t.Fatal(err)
		}
		f.inner.SetReadDeadline(time.Now().Add(100 * ms))
		if _, from, err := f.inner.ReadFromUDPAddrPort(make([]byte, 16)); err == nil {
			t.Errorf("a packet to the outer address comes back in, from %v", from)
		}
		f.wantBack(outer, true)
	})
}

// TestNeighbours sends between two hosts of one LAN: the NAT is not on the way.
func TestNeighbours(t *testing.T) {
	eachNAT(t, func(t *testing.T, l *Lab, nat *NAT, h, _ *Host) {
		neighbour := addHost(t, l, "neighbour", nat)
		f := newFlow(t, h, neighbour)
		want := netip.AddrPortFrom(h.Addr(), portOf(f.inner))
		if got := f.outer(); got != want {
			t.Errorf("the neighbour sees %v, want %v", got, want)
		}
		f.wantBack(want, true)
		if n, err := nat.Flows(); err != nil || n != 0 {
			t.Errorf("the NAT knows %d flows between neighbours (%v), want none", n, err)
		}
	})
}

// TestStrangers checks filtering on a mapping of the simplest kind: one packet
// to one server, then packets from others.
func TestStrangers(t *testing.T) {
	eachNAT(t, func(t *testing.T, l *Lab, nat *NAT, h, server *Host) {
		f := newFlow(t, h, server)
		outer := f.outer()
		stranger := addHost(t, l, "stranger", nil)
		for _, c := range []struct {
			name    string
			from    *Host
			arrives bool
		}{
			{"another port of the server", server, nat.Kind() == FullCone || nat.Kind() == Restricted},
			{"another host", stranger, nat.Kind() == FullCone},
		} {
			other := &flow{t: t, inner: f.inner}
			var err error
			if other.server, err = c.from.ListenUDP(netip.AddrPortFrom(c.from.Addr(), 0)); err != nil {
				t.Fatal(err)
			}
			defer other.server.Close()
			other.serverAddr = netip.AddrPortFrom(c.from.Addr(), portOf(other.server))
			t.Log(c.name)
			other.wantBack(outer, c.arrives)
			if !c.arrives {
				continue
			}
			// The stranger is answered through the same mapping.
			if got := other.outer(); got != outer {
				t.Errorf("%s is answered from %v, want %v", c.name, got, outer)
			}
		}
	})
}

// TestErrorsComeThrough checks that ICMP errors about a flow are translated,
// too: a host behind a NAT learns that a port is closed.
func TestErrorsComeThrough(t *testing.T) {
	eachNAT(t, func(t *testing.T, _ *Lab, _ *NAT, h, server *Host) {
		c := dialUDP(t, h, netip.AddrPortFrom(server.Addr(), 9)) // nobody listens
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Read(make([]byte, 16)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a packet to a closed port: %v, want %v", err, syscall.ECONNREFUSED)
		}
	})
}

// dialUDP makes a connected UDP socket inside a host.
func dialUDP(t *testing.T, h *Host, to netip.AddrPort) (c *net.UDPConn) {
	t.Helper()
	err := h.Do(func() (err error) {
		c, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestPathMTU narrows the cable of a NAT. Its hosts are told by ICMP (RFC 1191)
// and their kernels refuse to send more.
func TestPathMTU(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	server := addHost(t, l, "server", nil)
	nat := addNAT(t, l, "nat", NATOptions{Kind: PortRestricted})
	h := addHost(t, l, "h", nat)
	const mtu, headers = 1300, 28
	if err := nat.Link().SetMTU(mtu); err != nil {
		t.Fatal(err)
	}
	c := dialUDP(t, h, netip.AddrPortFrom(server.Addr(), 4000))
	large := make([]byte, mtu-headers+1)
	deadline := time.Now().Add(5 * time.Second)
	for {
		_, err := c.Write(large)
		if errors.Is(err, syscall.EMSGSIZE) {
			break
		}
		if err != nil && !errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(deadline) {
			t.Fatalf("a packet that is too large: %v, want %v", err, syscall.EMSGSIZE)
		}
		time.Sleep(ms)
	}
	if _, err := c.Write(large[:mtu-headers]); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a packet that fits: %v", err)
	}
}

// TestMeasureFails measures where there is nothing to measure.
func TestMeasureFails(t *testing.T) {
	t.Parallel()
	udp := Match{Protocol: unix.IPPROTO_UDP}
	for _, c := range []struct {
		name string
		d    Direction
		want string
	}{
		{"nothing gets out", FromNode, "no UDP packet reached 203.0.113.2:"},
		{"nothing gets in", ToNode, "do not come back"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, Options{})
			h := addHost(t, l, "h", nil)
			if _, err := h.Link().Drop(c.d, udp); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Measure(testContext(t), h); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			ctx, cancel := context.WithCancel(testContext(t))
			cancel()
			if _, err := l.Measure(ctx, h); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want %v", err, context.Canceled)
			}
		})
	}
}

// TestMeasureWithLoss measures over a bad cable: packets that get lost must not
// look like packets that are filtered.
func TestMeasureWithLoss(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	nat := addNAT(t, l, "nat", NATOptions{Kind: Restricted})
	h := addHost(t, l, "h", nat)
	if _, err := h.Link().Lose(FromNode, Match{Protocol: unix.IPPROTO_UDP}, 0.3); err != nil {
		t.Fatal(err)
	}
	wantBehaviour(t, l, h, Restricted.Behaviour())
}

// TestManyAtOnce fills a lab from many goroutines.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	const pairs = 8
	type made struct {
		addr netip.Addr
		err  error
	}
	done := make(chan made)
	for i := range pairs {
		go func() {
			nat, err := l.AddNAT(fmt.Sprintf("nat%d", i), NATOptions{Kind: natKinds[i%len(natKinds)]})
			if err != nil {
				done <- made{err: err}
				return
			}
			h, err := l.AddHost(fmt.Sprintf("h%d", i), nat)
			if err != nil {
				done <- made{err: err}
				return
			}
			// The very first packets have to arrive, whatever happens beside.
			r, err := h.Ping(testContext(t), nth(internet4, 1), PingOptions{Count: 20})
			if err == nil && r.Received() != 20 {
				err = fmt.Errorf("%s: %v", h.Name(), r)
			}
			done <- made{nat.Addr(), err}
		}()
	}
	seen := map[netip.Addr]bool{}
	for range pairs {
		m := <-done
		if m.err != nil {
			t.Error(m.err)
		}
		if seen[m.addr] {
			t.Errorf("two NATs have the address %v", m.addr)
		}
		seen[m.addr] = true
	}
	if got, want := len(l.Nodes()), 1+2*pairs; got != want {
		t.Errorf("the lab has %d nodes, want %d", got, want)
	}
}
