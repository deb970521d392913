package udp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"campagnol/punch"
)

// TestOffloadsOnCable sends over a cable rather than loopback.
func TestOffloadsOnCable(t *testing.T) {
	n, m := newNamespace(t), newNamespace(t)
	join(t, n, "eth0", "10.1.0.1/24", m, "eth0", "10.1.0.2/24", 1500)
	a, b := mustOpen(t, n.open(t), "0.0.0.0"), mustOpen(t, m.open(t), "10.1.0.2")
	const size, count = 1472, 44
	for range 20 {
		send(t, a, punch.Datagram{Addr: b.LocalAddr(), Data: fill(size*count, 1), Segment: size})
	}
	var joined []byte
	for i, p := range receive(t, b, 20*count) {
		if joined = append(joined, p.data...); i%count == count-1 {
			if !bytes.Equal(joined, fill(size*count, 1)) {
				t.Fatal("the payloads are not what was sent")
			}
			joined = joined[:0]
		}
	}
	if st := a.Stats(); st.Cut != 20 || st.Sent != 20*count || st.Writes != 20 {
		t.Errorf("sender %+v, want 20 cut messages of %d", st, count)
	}
	if st := b.Stats(); st.Joined != 20 || st.Received != 20*count {
		t.Errorf("receiver %+v, want 20 joined messages of %d", st, count)
	}

	// Payloads that exceed the MTU: the short last one fits.
	err := a.Send([]punch.Datagram{{Addr: b.LocalAddr(), Data: fill(2*1473+5, 1), Segment: 1473}})
	if err != unix.EMSGSIZE {
		t.Errorf("payloads larger than the MTU: %v, want EMSGSIZE", err)
	}
	if got := receive(t, b, 1); len(got[0].data) != 5 {
		t.Errorf("%d bytes arrived, want the 5 of the last payload", len(got[0].data))
	}
	if f := a.Features(); !f.GSO {
		t.Error("GSO was given up because of the MTU")
	}
}

// TestPathMTU sends more than a router can pass on, and checks that the router
// is heard and not believed.
func TestPathMTU(t *testing.T) {
	for _, c := range []struct {
		name             string
		left, gwL        string
		right, gwR       string
		netL, netR       string
		header, mtu      int
		forwarding, addr string
	}{
		{"IPv4", "10.1.0.1/24", "10.1.0.254/24", "10.2.0.1/24", "10.2.0.254/24",
			"10.1.0.0/24", "10.2.0.0/24", 28, 1300, "/proc/sys/net/ipv4/ip_forward", "0.0.0.0"},
		{"IPv6", "fd01::1/64", "fd01::fe/64", "fd02::1/64", "fd02::fe/64",
			"fd01::/64", "fd02::/64", 48, 1300, "/proc/sys/net/ipv6/conf/all/forwarding", "::"},
	} {
		t.Run(c.name, func(t *testing.T) {
			left, router, right := newNamespace(t), newNamespace(t), newNamespace(t)
			ip := func(cidr string) string { return netip.MustParsePrefix(cidr).Addr().String() }
			join(t, left, "eth0", c.left, router, "eth0", c.gwL, 1500)
			join(t, router, "eth1", c.gwR, right, "eth0", c.right, c.mtu)
			left.route(t, c.netR, ip(c.gwL))
			right.route(t, c.netL, ip(c.gwR))
			router.do(t, func() error { return os.WriteFile(c.forwarding, []byte("1"), 0) })

			a, b := mustOpen(t, left.open(t), c.addr), mustOpen(t, right.open(t), c.addr)
			to := netip.AddrPortFrom(netip.MustParseAddr(ip(c.right)), b.LocalAddr().Port())
			large := punch.Datagram{Addr: to, Data: fill(c.mtu-c.header+1, 1)}
			fits := punch.Datagram{Addr: to, Data: fill(c.mtu-c.header, 2)}
			received := make(chan []payload, 1)
			go func() { received <- receive(t, a, 1) }()

			send(t, a, large)
			want := PathError{Addr: to, Err: unix.EMSGSIZE, MTU: c.mtu, From: netip.MustParseAddr(ip(c.gwL))}
			if got := next(t, a); got != want {
				t.Errorf("event %+v, want %+v", got, want)
			}
			// The kernel has learnt the path's MTU. It must not refuse the next
			// large datagram because of that: the path may have changed, or the
			// message been forged.
			send(t, a, large, fits)
			if got := next(t, a); got != want {
				t.Errorf("event %+v, want %+v again", got, want)
			}
			got := receive(t, b, 1)
			if !bytes.Equal(got[0].data, fits.Data) {
				t.Errorf("%d bytes arrived, want the %d that fit", len(got[0].data), len(fits.Data))
			}
			send(t, b, punch.Datagram{Addr: got[0].from, Data: []byte("x"), Local: got[0].local})
			<-received
		})
	}
}

// TestRefusals has the kernel refuse datagrams in various ways.
func TestRefusals(t *testing.T) {
	n := newNamespace(t)
	a, b := mustOpen(t, n.open(t), "0.0.0.0"), mustOpen(t, n.open(t), "127.0.0.1")
	for _, r := range []struct {
		dst string
		typ int
	}{
		{"10.3.0.0/24", unix.RTN_PROHIBIT},
		{"10.4.0.0/24", unix.RTN_UNREACHABLE},
		{"10.5.0.0/24", unix.RTN_BLACKHOLE},
	} {
		_, dst, err := net.ParseCIDR(r.dst)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.nl.RouteAdd(&netlink.Route{Dst: dst, Type: r.typ}); err != nil {
			t.Fatalf("route to %s: %v", r.dst, err)
		}
	}
	for _, c := range []struct {
		to   string
		want error
	}{
		{"10.3.0.1:9", unix.EACCES},
		{"10.4.0.1:9", unix.EHOSTUNREACH},
		{"10.5.0.1:9", unix.EINVAL}, // a blackhole
		{"10.6.0.1:9", unix.ENETUNREACH},
		{"127.0.0.1:0", unix.EINVAL},
	} {
		for _, segment := range []int{0, 10} {
			for _, local := range []string{"", "127.0.0.1"} {
				bad := punch.Datagram{Addr: netip.MustParseAddrPort(c.to), Data: make([]byte, 25), Segment: segment}
				if local != "" {
					bad.Local = netip.MustParseAddr(local)
				}
				good := punch.Datagram{Addr: b.LocalAddr(), Data: []byte("good")}
				if err := a.Send([]punch.Datagram{good, bad, good}); err != c.want {
					t.Errorf("to %s (segment %d, local %q): %v, want %v", c.to, segment, local, err, c.want)
				}
				receive(t, b, 2)
			}
		}
	}
	if f := a.Features(); f.Missing() != "" {
		t.Errorf("features were given up: %s", f.Missing())
	}
}

// TestDevice binds to an interface, and to one that vanishes.
func TestDevice(t *testing.T) {
	n, m, o := newNamespace(t), newNamespace(t), newNamespace(t)
	join(t, n, "eth0", "10.1.0.1/24", m, "eth0", "10.1.0.2/24", 1500)
	join(t, n, "eth1", "10.2.0.1/24", o, "eth0", "10.2.0.2/24", 1500)
	var c testConn
	bound := func(cfg Config) (testConn, error) {
		cfg.Device = "eth0"
		return n.open(t)(cfg)
	}
	c = mustOpen(t, bound, "0.0.0.0")
	near, far := mustOpen(t, m.open(t), "10.1.0.2"), mustOpen(t, o.open(t), "10.2.0.2")
	port := c.LocalAddr().Port()
	send(t, far, punch.Datagram{Addr: netip.AddrPortFrom(netip.MustParseAddr("10.2.0.1"), port), Data: []byte("far")})
	send(t, near, punch.Datagram{Addr: netip.AddrPortFrom(netip.MustParseAddr("10.1.0.1"), port), Data: []byte("near")})
	if got := receive(t, c, 1); string(got[0].data) != "near" {
		t.Errorf("%q arrived, want near", got[0].data)
	}
	if err := n.nl.LinkDel(n.link(t, "eth0")); err != nil {
		t.Fatal(err)
	}
	if err := c.Send([]punch.Datagram{{Addr: near.LocalAddr(), Data: []byte("x")}}); err == nil {
		t.Error("sent through an interface that does not exist")
	}

	n.do(t, func() error {
		_, err := Listen(Config{Addr: netip.MustParseAddrPort("0.0.0.0:0"), Device: "nosuch0"})
		if !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "ip link") {
			return fmt.Errorf("%v, want that there is no such interface", err)
		}
		return nil
	})
}

// TestLinkLocal checks the zones of link-local addresses.
func TestLinkLocal(t *testing.T) {
	n, m := newNamespace(t), newNamespace(t)
	join(t, n, "left", "fe80::1/64", m, "right", "fe80::2/64", 1500)
	// The names are resolved in the namespace of whoever calls, which for this
	// test must be that of the socket.
	n.do(t, func() error {
		b := mustOpen(t, m.open(t), "::")
		c, err := Listen(Config{Addr: netip.MustParseAddrPort("[::]:0")})
		if err != nil {
			return err
		}
		defer c.Close()
		to := netip.AddrPortFrom(netip.MustParseAddr("fe80::2%left"), b.LocalAddr().Port())
		for range 2 {
			if err := c.Send([]punch.Datagram{{Addr: to, Data: []byte("x")}}); err != nil {
				return fmt.Errorf("send to %v: %w", to, err)
			}
		}
		got := receive(t, b, 2)
		if want := netip.MustParseAddr("fe80::1"); got[0].from.Addr().WithZone("") != want {
			return fmt.Errorf("from %v, want %v", got[0].from, want)
		}
		if err := c.Send([]punch.Datagram{{Addr: to, Data: []byte("x"), Local: netip.MustParseAddr("fe80::1%left")}}); err != nil {
			return fmt.Errorf("send from fe80::1%%left: %w", err)
		}
		from := receive(t, b, 1)[0]
		if err := m.answer(b, from); err != nil {
			return err
		}
		ds, err := c.Receive()
		if err != nil {
			return err
		}
		if ds[0].Addr != to {
			return fmt.Errorf("the answer comes from %v, want %v", ds[0].Addr, to)
		}
		if want := netip.MustParseAddr("fe80::1%left"); ds[0].Local != want {
			return fmt.Errorf("the answer came to %v, want %v", ds[0].Local, want)
		}
		for _, zone := range []string{"nosuch0", "99999"} {
			bad := netip.AddrPortFrom(netip.MustParseAddr("fe80::2%"+zone), 9)
			if err := c.Send([]punch.Datagram{{Addr: bad, Data: []byte("x")}}); err == nil {
				return fmt.Errorf("sent to %v", bad)
			}
		}
		// The refusal has emptied the cache of zones; it fills again.
		return c.Send([]punch.Datagram{{Addr: to, Data: []byte("x")}})
	})
}

// answer sends a datagram back to where p came from.
func (n *namespace) answer(c testConn, p payload) error {
	return onThread(func() error {
		if err := netns.Set(n.handle); err != nil {
			return err
		}
		return c.Send([]punch.Datagram{{Addr: p.from, Data: []byte("answer"), Local: p.local}})
	})
}

// TestQueueDrops overruns the interface's queue: what it drops counts as
// unsent, and nothing is sent twice.
func TestQueueDrops(t *testing.T) {
	n, m := newNamespace(t), newNamespace(t)
	join(t, n, "eth0", "10.1.0.1/24", m, "eth0", "10.1.0.2/24", 1500)
	slow(t, n, 2<<20, 20_000, 1<<20)
	a, b := mustOpen(t, n.open(t), "10.1.0.1"), mustOpen(t, m.open(t), "10.1.0.2")
	ds := make([]punch.Datagram, 200)
	for i := range ds {
		ds[i] = punch.Datagram{Addr: b.LocalAddr(), Data: fill(1400, i)}
	}
	if err := a.Send(ds); err != unix.ENOBUFS {
		t.Errorf("Send: %v, want ENOBUFS", err)
	}
	st := a.Stats()
	if st.Unsent == 0 || st.Sent == 0 || st.Sent+st.Unsent != uint64(len(ds)) {
		t.Errorf("%d sent and %d unsent, want some of each and %d in sum", st.Sent, st.Unsent, len(ds))
	}
	seen := make(map[byte]bool)
	for _, p := range receive(t, b, int(st.Sent)) {
		if seen[p.data[0]] {
			t.Errorf("datagram %d came twice", p.data[0])
		}
		seen[p.data[0]] = true
	}
}

// TestErrorsWhileBlocked has ICMP messages come in while the send buffer is
// full. Then they are all that the kernel reports about the socket, and the
// runtime refuses to wait for it.
func TestErrorsWhileBlocked(t *testing.T) {
	n, m := newNamespace(t), newNamespace(t)
	join(t, n, "eth0", "10.1.0.1/24", m, "eth0", "10.1.0.2/24", 1500)
	slow(t, n, 1<<20, 16<<20, 1<<20)
	m.do(t, func() error { return os.WriteFile("/proc/sys/net/ipv4/icmp_ratelimit", []byte("0"), 0) })
	a, b := mustOpen(t, n.open(t), "10.1.0.1").(*Conn), mustOpen(t, m.open(t), "10.1.0.2")
	rawOption(t, a, unix.SOL_SOCKET, unix.SO_SNDBUF, 4608)
	gone := mustOpen(t, m.open(t), "10.1.0.2")
	closed := at(gone)
	gone.Close()

	ds := make([]punch.Datagram, 300)
	for i := range ds {
		ds[i] = punch.Datagram{Addr: b.LocalAddr(), Data: fill(1400, i)}
		if i%2 == 1 {
			ds[i].Addr = closed
		}
	}
	received := make(chan []payload, 1)
	go func() { received <- receive(t, a, len(ds)/2) }()
	sent := make(chan error, 1)
	go func() { sent <- a.Send(ds) }()
	// The other side echoes what it gets, so that a has to receive all along.
	for left := len(ds) / 2; left > 0; {
		for _, p := range receive(t, b, 1) {
			send(t, b, punch.Datagram{Addr: p.from, Data: p.data})
			left--
		}
	}
	if got := len(<-received); got != len(ds)/2 {
		t.Errorf("%d datagrams came back, want %d", got, len(ds)/2)
	}
	if err := <-sent; err != nil {
		t.Errorf("Send: %v", err)
	}
	if st := a.Stats(); st.PathErrors == 0 || st.Unsent != 0 {
		t.Errorf("stats %+v, want path errors and none unsent", st)
	}
}

// TestBlockedSend has a Send wait for a slow interface: it loses nothing and
// ends at Close.
func TestBlockedSend(t *testing.T) {
	n, m := newNamespace(t), newNamespace(t)
	join(t, n, "eth0", "10.1.0.1/24", m, "eth0", "10.1.0.2/24", 1500)
	slow(t, n, 2<<20, 16<<20, 1<<20)
	a, b := mustOpen(t, n.open(t), "10.1.0.1").(*Conn), mustOpen(t, m.open(t), "10.1.0.2")
	rawOption(t, a, unix.SOL_SOCKET, unix.SO_SNDBUF, 4608)
	ds := make([]punch.Datagram, 200)
	for i := range ds {
		ds[i] = punch.Datagram{Addr: b.LocalAddr(), Data: fill(1400, i)}
	}
	sent := make(chan error, 1)
	go func() { sent <- a.Send(ds) }()
	// A cable between two processors' queues may reorder, but not lose.
	seen := make(map[byte]bool)
	for _, p := range receive(t, b, len(ds)) {
		if i := p.data[0]; seen[i] || !bytes.Equal(p.data, ds[i].Data) {
			t.Fatalf("datagram %d came twice or is another", i)
		}
		seen[p.data[0]] = true
	}
	if err := <-sent; err != nil {
		t.Errorf("Send: %v", err)
	}
	if st := a.Stats(); st.Writes <= uint64(len(ds)/sendBatch+1) {
		t.Errorf("%d calls sent %d datagrams: Send did not have to wait", st.Writes, st.Sent)
	}
	for range 3 {
		go func() {
			for {
				if err := a.Send(ds); err != nil {
					sent <- err
					return
				}
			}
		}()
	}
	receive(t, b, 1)
	a.Close()
	for range 3 {
		if err := <-sent; err != net.ErrClosed {
			t.Errorf("Send during Close: %v, want net.ErrClosed", err)
		}
	}
}
