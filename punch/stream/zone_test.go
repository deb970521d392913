package stream

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestZone: the address of a client is one that no datagram comes from, and tells where
// its connection does.
func TestZone(t *testing.T) {
	for _, c := range []struct{ real, want string }{
		{"192.0.2.1:443", "[::ffff:192.0.2.1%tcp]:443"},
		{"[2001:db8::1]:443", "[2001:db8::1%tcp]:443"},
		{"[fe80::1%eth0]:443", "[fe80::1%tcp]:443"},
	} {
		at := netip.MustParseAddrPort(c.real)
		z := Zone(at)
		if z.String() != c.want || !IsStream(z) || IsStream(at) || z == at {
			t.Errorf("%v becomes %v, want %s", at, z, c.want)
		}
		back := Real(z)
		if back.Addr() != at.Addr().WithZone("") || back.Port() != 443 || Real(at) != at {
			t.Errorf("%v comes back as %v", at, back)
		}
		if u := net.UDPAddrFromAddrPort(z).AddrPort(); u != z {
			t.Errorf("%v is %v as net.UDPAddr", z, u)
		}
	}
	if IsStream(netip.AddrPort{}) || networkOf(netip.Addr{}).IsValid() {
		t.Error("no address is one")
	}
}

// TestLimits: so many of a network, so many in all, and so fast.
func TestLimits(t *testing.T) {
	now := time.Unix(1e9, 0)
	a, b := networkOf(netip.MustParseAddr("::ffff:192.0.2.1")), networkOf(netip.MustParseAddr("192.0.2.2"))
	c, d := networkOf(netip.MustParseAddr("2001:db8::1%tcp")), networkOf(netip.MustParseAddr("2001:db8::2:1"))
	if a == b || c != d {
		t.Fatalf("networks %v, %v, %v, %v", a, b, c, d)
	}
	l := newLimits(5, 3)
	enters := func(want bool, at time.Time, n netip.Prefix) {
		t.Helper()
		if got := l.enter(at, n); got != want {
			t.Errorf("%v may enter: %v", n, got)
		}
	}
	for range 3 {
		enters(true, now, a)
	}
	enters(false, now, a)
	enters(true, now, b)
	enters(true, now, c)
	enters(false, now, d) // in all
	l.leave(now, a)
	enters(true, now, d)

	l = newLimits(1000, 1000) // how fast
	for range beginBurst {
		enters(true, now, a)
		l.leave(now, a)
	}
	enters(false, now, a)
	enters(true, now, b)
	enters(true, now.Add(beginInterval), a)
	enters(false, now.Add(beginInterval), a)

	l = newLimits(1<<20, 1000) // what is remembered
	for i := range maxNetworks {
		enters(true, now, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32))
	}
	enters(false, now, c)
	for n := range l.networks {
		l.leave(now, n)
	}
	enters(false, now, c) // they were here just now
	enters(true, now.Add(time.Second), c)
	if len(l.networks) != 1 {
		t.Errorf("%d networks are remembered", len(l.networks))
	}
}
