package udp

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"campagnol/punch"
)

// TestDualFallbacks runs the tests of sockets for both families on those of kernels
// that lack a feature.
func TestDualFallbacks(t *testing.T) {
	for name, change := range map[string]func(*Features){
		"no GSO":     func(f *Features) { f.GSO = false },
		"no GRO":     func(f *Features) { f.GRO = false },
		"no batches": func(f *Features) { f.RecvBatch, f.SendBatch = false, false },
		"nothing":    func(f *Features) { *f = Features{DontFragment: true} },
	} {
		t.Run(name, func(t *testing.T) { testDual(t, without(change)) })
	}
}

// TestDualFeatures: a socket for both families has for both what one of either has:
// offloads, ECN, and the address that was reached.
func TestDualFeatures(t *testing.T) {
	for _, addr := range loopback {
		a, b := mustOpen(t, dual(openListen), addr), mustOpen(t, dual(openListen), addr)
		if f := a.Features(); f.Missing() != "" {
			t.Fatalf("missing: %s", f.Missing())
		}
		const size, n = 1200, 40
		for ecn := uint8(0); ecn < 4; ecn++ {
			for _, local := range []netip.Addr{{}, netip.MustParseAddr(addr)} {
				send(t, a, punch.Datagram{Addr: at(b), Data: fill(size*n-7, 1), Segment: size, ECN: ecn, Local: local})
				ds, err := b.Receive()
				if err != nil {
					t.Fatal(err)
				}
				if len(ds) != 1 || ds[0].Segment != size || ds[0].ECN != ecn || !bytes.Equal(ds[0].Data, fill(size*n-7, 1)) {
					t.Errorf("%s: %d messages, the first cut at %d, ECN %d; want one cut at %d, ECN %d", addr, len(ds), ds[0].Segment, ds[0].ECN, size, ecn)
				}
				if ds[0].Addr != at(a) || ds[0].Local != netip.MustParseAddr(addr) {
					t.Errorf("%s: from %v at %v, want %v at %s", addr, ds[0].Addr, ds[0].Local, at(a), addr)
				}
			}
		}
		if st := a.Stats(); st.Cut != 8 || st.Sent != 8*n || st.Rerouted != 0 {
			t.Errorf("%s: sender %+v, want 8 cut messages of %d", addr, st, n)
		}
		if st := b.Stats(); st.Joined != 8 || st.Received != 8*n {
			t.Errorf("%s: receiver %+v, want 8 joined messages of %d", addr, st, n)
		}
	}
}

// TestDualSockets: several sockets share an address in both families.
func TestDualSockets(t *testing.T) {
	c, err := Listen(Config{Addr: netip.MustParseAddrPort("[::]:0"), Dual: true, Sockets: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, addr := range loopback {
		one := mustOpen(t, openListen, addr)
		for _, s := range append([]*Conn{c}, c.More()...) {
			send(t, s, punch.Datagram{Addr: at(one), Data: []byte("x")})
			want := netip.AddrPortFrom(netip.MustParseAddr(addr), c.LocalAddr().Port())
			if got := receive(t, one, 1)[0].from; got != want {
				t.Errorf("from %v, want %v", got, want)
			}
		}
	}
}

// TestDualHomed has a host with two addresses of each family: what comes to the
// second is answered from the second, and a lost one does not stop what is sent.
func TestDualHomed(t *testing.T) {
	n, m := newNamespace(t), newNamespace(t)
	join(t, n, "eth0", "10.1.0.1/24", m, "eth0", "10.1.0.2/24", 1500)
	for _, a := range []struct{ left, right string }{{"10.1.0.9/24", ""}, {"fd01::1/64", "fd01::2/64"}, {"fd01::9/64", ""}} {
		n.assign(t, "eth0", a.left)
		n.await(t, "eth0", a.left)
		if a.right != "" {
			m.assign(t, "eth0", a.right)
			m.await(t, "eth0", a.right)
		}
	}
	server := mustOpen(t, dual(n.open(t)), "::")
	for _, c := range []struct{ client, second string }{{"10.1.0.2", "10.1.0.9"}, {"fd01::2", "fd01::9"}} {
		client := mustOpen(t, m.open(t), c.client)
		to := netip.AddrPortFrom(netip.MustParseAddr(c.second), server.LocalAddr().Port())
		send(t, client, punch.Datagram{Addr: to, Data: []byte("question")})
		q := receive(t, server, 1)[0]
		if q.from != client.LocalAddr() || q.local != to.Addr() {
			t.Errorf("from %v at %v, want %v at %v", q.from, q.local, client.LocalAddr(), to.Addr())
		}
		send(t, server, punch.Datagram{Addr: q.from, Data: []byte("answer"), Local: q.local, ECN: 2})
		ds, err := client.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if ds[0].Addr != to || ds[0].ECN != 2 {
			t.Errorf("the answer came from %v with ECN %d, want %v with 2", ds[0].Addr, ds[0].ECN, to)
		}
		lost := netip.MustParseAddr("192.0.2.7")
		if to.Addr().Is6() {
			lost = netip.MustParseAddr("2001:db8::7")
		}
		send(t, server, punch.Datagram{Addr: q.from, Data: []byte("again"), Local: lost})
		if got := receive(t, client, 1)[0]; string(got.data) != "again" {
			t.Errorf("%q arrived, want again", got.data)
		}
		// An address of the other family says nothing about this one.
		other := netip.MustParseAddr("fd01::9")
		if to.Addr().Is6() {
			other = netip.MustParseAddr("10.1.0.9")
		}
		send(t, server, punch.Datagram{Addr: q.from, Data: []byte("and again"), Local: other})
		receive(t, client, 1)
	}
	if got := server.Stats().Rerouted; got != 2 {
		t.Errorf("%d messages rerouted, want the two from lost addresses", got)
	}
}

// TestDualPathMTU: a router's word about a path is heard on a socket for both
// families, in both, and not believed.
func TestDualPathMTU(t *testing.T) {
	left, router, right := newNamespace(t), newNamespace(t), newNamespace(t)
	join(t, left, "eth0", "10.1.0.1/24", router, "eth0", "10.1.0.254/24", 1500)
	join(t, router, "eth1", "10.2.0.254/24", right, "eth0", "10.2.0.1/24", 1300)
	for _, a := range []struct {
		n          *namespace
		name, addr string
	}{{left, "eth0", "fd01::1/64"}, {router, "eth0", "fd01::fe/64"}, {router, "eth1", "fd02::fe/64"}, {right, "eth0", "fd02::1/64"}} {
		a.n.assign(t, a.name, a.addr)
		a.n.await(t, a.name, a.addr)
	}
	left.route(t, "10.2.0.0/24", "10.1.0.254")
	left.route(t, "fd02::/64", "fd01::fe")
	right.route(t, "10.1.0.0/24", "10.2.0.254")
	right.route(t, "fd01::/64", "fd02::fe")
	router.do(t, func() error {
		for _, f := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
			if err := os.WriteFile(f, []byte("1"), 0); err != nil {
				return err
			}
		}
		return nil
	})
	a, b := mustOpen(t, dual(left.open(t)), "::"), mustOpen(t, dual(right.open(t)), "::")
	received := make(chan []payload, 1)
	go func() { received <- receive(t, a, 2) }()
	for _, c := range []struct {
		to, gw string
		header int
	}{{"10.2.0.1", "10.1.0.254", 28}, {"fd02::1", "fd01::fe", 48}} {
		to := netip.AddrPortFrom(netip.MustParseAddr(c.to), b.LocalAddr().Port())
		large := punch.Datagram{Addr: to, Data: fill(1300-c.header+1, 1)}
		fits := punch.Datagram{Addr: to, Data: fill(1300-c.header, 2)}
		want := PathError{Addr: to, Err: unix.EMSGSIZE, MTU: 1300, From: netip.MustParseAddr(c.gw)}
		for range 2 { // the kernel has learnt it at the second, and must not refuse
			send(t, a, large)
			if got := next(t, a); got != want {
				t.Errorf("event %+v, want %+v", got, want)
			}
		}
		send(t, a, fits)
		got := receive(t, b, 1)[0]
		if !bytes.Equal(got.data, fits.Data) {
			t.Errorf("%d bytes arrived, want the %d that fit", len(got.data), len(fits.Data))
		}
		send(t, b, punch.Datagram{Addr: got.from, Data: []byte("x"), Local: got.local})

		// What does not fit the interface, the host itself refuses, with the MTU.
		huge := punch.Datagram{Addr: to, Data: fill(1500-c.header+1, 1)}
		if err := a.Send([]punch.Datagram{huge}); err != unix.EMSGSIZE {
			t.Errorf("to %v, larger than the interface: %v, want EMSGSIZE", to, err)
		}
		if to.Addr().Is4() {
			to = netip.AddrPortFrom(to.Addr(), 0) // Linux does not tell it
		}
		if got, want := next(t, a), (PathError{Addr: to, Err: unix.EMSGSIZE, MTU: 1500}); got != want {
			t.Errorf("event %+v, want %+v", got, want)
		}
	}
	<-received
}

// TestDualDevice: a socket bound to an interface hears nothing else, in both
// families.
func TestDualDevice(t *testing.T) {
	n, m, o := newNamespace(t), newNamespace(t), newNamespace(t)
	join(t, n, "eth0", "fd01::1/64", m, "eth0", "fd01::2/64", 1500)
	join(t, n, "eth1", "10.2.0.1/24", o, "eth0", "10.2.0.2/24", 1500)
	n.assign(t, "eth0", "10.1.0.1/24")
	m.assign(t, "eth0", "10.1.0.2/24")
	n.await(t, "eth0", "10.1.0.1/24")
	m.await(t, "eth0", "10.1.0.2/24")
	c := mustOpen(t, dual(func(cfg Config) (testConn, error) {
		cfg.Device = "eth0"
		return n.open(t)(cfg)
	}), "::")
	port := c.LocalAddr().Port()
	far := mustOpen(t, o.open(t), "10.2.0.2")
	send(t, far, punch.Datagram{Addr: netip.AddrPortFrom(netip.MustParseAddr("10.2.0.1"), port), Data: []byte("far")})
	for _, a := range []struct{ from, to string }{{"10.1.0.2", "10.1.0.1"}, {"fd01::2", "fd01::1"}} {
		near := mustOpen(t, m.open(t), a.from)
		send(t, near, punch.Datagram{Addr: netip.AddrPortFrom(netip.MustParseAddr(a.to), port), Data: []byte(a.from)})
		if got := receive(t, c, 1)[0]; string(got.data) != a.from {
			t.Errorf("%q arrived, want %s", got.data, a.from)
		}
	}
}

// TestWithoutIPv6: on a host whose kernel does no IPv6, a socket for both families
// becomes one for IPv4, and says so in its features and nowhere else.
func TestWithoutIPv6(t *testing.T) {
	withoutFamily(t, unix.AF_INET6, func() {
		var log logBuffer
		c, err := Listen(Config{
			Addr: netip.MustParseAddrPort("[::]:0"), Dual: true, Sockets: 2, RcvBuf: 1 << 17, SndBuf: 1 << 17, Log: log.logger(),
		})
		if err != nil {
			t.Errorf("Listen: %v", err)
			return
		}
		defer c.Close()
		if f := c.Features(); !f.IPv4 || f.IPv6 || f.Missing() != "" {
			t.Errorf("features %+v, want IPv4 alone with everything", f)
		}
		if got := c.LocalAddr().Addr(); got != netip.IPv4Unspecified() {
			t.Errorf("LocalAddr %v, want 0.0.0.0", got)
		}
		if lines := log.lines(); len(lines) != 0 {
			t.Errorf("logged %q", lines)
		}
		if err := c.Send([]punch.Datagram{{Addr: netip.MustParseAddrPort("[::1]:9"), Data: []byte("x")}}); err != unix.EAFNOSUPPORT {
			t.Errorf("to IPv6: %v, want EAFNOSUPPORT", err)
		}
		p, err := ListenPortable(Config{Addr: netip.MustParseAddrPort("[::]:0"), Dual: true})
		if err != nil {
			t.Errorf("ListenPortable: %v", err)
			return
		}
		p.Close()
		if f := p.Features(); !f.IPv4 || f.IPv6 {
			t.Errorf("features %+v of the portable socket, want IPv4 alone", f)
		}
		if _, err := Listen(Config{Addr: netip.MustParseAddrPort("[::]:0")}); err == nil {
			t.Error("a socket for IPv6 alone was opened")
		}
	})
}

// TestIPv6Disabled: on a host whose interfaces do no IPv6, a socket for both
// families works with IPv4, and refuses IPv6 datagrams one by one.
func TestIPv6Disabled(t *testing.T) {
	n, m := newNamespace(t), newNamespace(t)
	n.do(t, func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0)
	})
	join(t, n, "eth0", "10.1.0.1/24", m, "eth0", "10.1.0.2/24", 1500)
	a, b := mustOpen(t, dual(n.open(t)), "::"), mustOpen(t, m.open(t), "10.1.0.2")
	good := punch.Datagram{Addr: b.LocalAddr(), Data: []byte("good")}
	bad := punch.Datagram{Addr: netip.MustParseAddrPort("[2001:db8::1]:9"), Data: []byte("bad")}
	if err := a.Send([]punch.Datagram{good, bad, good}); err == nil {
		t.Error("sent to IPv6")
	}
	if got := receive(t, b, 2); string(got[1].data) != "good" {
		t.Errorf("%q arrived, want good", got[1].data)
	}
}

// withoutFamily runs f on a thread on which socket(2) refuses a family, as a kernel
// without it.
func withoutFamily(t *testing.T, family uint32, f func()) {
	t.Helper()
	const nr, arg0 = 0, 16 // offsets in struct seccomp_data
	withFilter(t, []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: nr},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: unix.SYS_SOCKET},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: arg0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: family},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}, f)
}

// BenchmarkDual compares a socket for both families with one for IPv4 alone, both
// for all addresses. They take turns with each call, so that whatever else the machine
// does meets both alike; both/own is the ratio of their median times for IPv4.
func BenchmarkDual(b *testing.B) {
	for _, per := range []int{1, 40} {
		b.Run(fmt.Sprintf("segments=%d", per), func(b *testing.B) {
			var times [2][]float64
			rounds := []func(){
				roundTrip(b, wildcard(openListen), "127.0.0.1", 40, per),
				roundTrip(b, dual(openListen), "127.0.0.1", 40, per),
			}
			for b.Loop() {
				for i, round := range rounds {
					start := time.Now()
					round()
					times[i] = append(times[i], float64(time.Since(start)))
				}
			}
			for i := range times {
				slices.Sort(times[i])
			}
			b.ReportMetric(times[1][len(times[1])/2]/times[0][len(times[0])/2], "both/own")
		})
	}
}

// wildcard returns an opener of sockets for all addresses of one family, which open
// opens.
func wildcard(open opener) opener {
	return func(cfg Config) (testConn, error) {
		ip := cfg.Addr.Addr()
		cfg.Addr = netip.AddrPortFrom(unspecified(ip), cfg.Addr.Port())
		c, err := open(cfg)
		return dualConn{c, ip}, err
	}
}
