package udp

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cmsg builds a control message as the kernel does, with data of the caller.
func cmsg(level, typ int32, data ...byte) []byte {
	var c control
	_, n := c.add(0, level, typ, len(data))
	copy(c.b[unix.CmsgLen(0):], data)
	return slices.Clone(c.b[:n])
}

func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// pktinfo4 is a struct in_pktinfo: interface, address to answer from,
// destination in the header.
func pktinfo4(ifindex uint32, spec, dst string) []byte {
	b := u32(ifindex)
	b = append(b, netip.MustParseAddr(spec).AsSlice()...)
	return append(b, netip.MustParseAddr(dst).AsSlice()...)
}

func pktinfo6(ifindex uint32, dst string) []byte {
	a := netip.MustParseAddr(dst).As16()
	return append(a[:], u32(ifindex)...)
}

func TestParseControl(t *testing.T) {
	gro := cmsg(unix.SOL_UDP, unix.UDP_GRO, u32(1200)...)
	info4 := cmsg(unix.IPPROTO_IP, unix.IP_PKTINFO, pktinfo4(3, "10.0.0.1", "10.0.0.255")...)
	info6 := cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, pktinfo6(7, "fe80::1")...)
	a4, a6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1")
	for _, c := range []struct {
		name string
		b    []byte
		want received
	}{
		{"nothing", nil, received{}},
		{"gro", gro, received{segment: 1200}},
		{"gro, short", cmsg(unix.SOL_UDP, unix.UDP_GRO, 1, 2), received{}},
		{"IPv4", info4, received{local: a4, ifindex: 3}},
		{"IPv4, short", cmsg(unix.IPPROTO_IP, unix.IP_PKTINFO, 1, 2, 3, 4, 5, 6, 7), received{}},
		{"IPv6", info6, received{local: a6, ifindex: 7}},
		{"IPv6, multicast", cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, pktinfo6(7, "ff02::1")...), received{ifindex: 7}},
		{"IPv4, ECN", cmsg(unix.IPPROTO_IP, unix.IP_TOS, 0xba|3), received{ecn: 3}},
		{"IPv6, no traffic class", cmsg(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 3), received{}},
		{"IPv6, ECN", cmsg(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, u32(0xb8|2)...), received{ecn: 2}},
		{"IPv6, half a traffic class", cmsg(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 3, 0), received{}},
		{"both", slices.Concat(gro, info4), received{1200, a4, 3, 0}},
		{"both, other order", slices.Concat(info6, gro), received{1200, a6, 7, 0}},
		{"IPv4 at a socket for both", cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, pktinfo6(3, "::ffff:10.0.0.1")...), received{local: a4, ifindex: 3}},
		{"IPv4 at a socket for both, multicast", cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, pktinfo6(3, "::ffff:224.0.0.1")...), received{ifindex: 3}},
		{"unknown in between", slices.Concat(gro, cmsg(unix.SOL_SOCKET, unix.SCM_TIMESTAMP, 1, 2, 3), info4), received{1200, a4, 3, 0}},
		{"cut off", slices.Concat(gro, info4[:20]), received{segment: 1200}},
		{"cut off in the header", gro[:unix.SizeofCmsghdr-1], received{}},
		{"length below the header's", make([]byte, 32), received{}},
	} {
		if got := parseControl(c.b); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestControlRoundTrip reads what is written for the kernel.
func TestControlRoundTrip(t *testing.T) {
	for _, addr := range []string{"192.0.2.1", "2001:db8::1", "fe80::1"} {
		a := netip.MustParseAddr(addr)
		var c control
		n := c.addSegment(0, 1472)
		n = c.addLocal(n, a, 9)
		n = c.addECN(n, a.Is4(), 1)
		if n > controlSize {
			t.Fatalf("%d bytes of control, room for %d", n, controlSize)
		}
		// The kernel reads two bytes of UDP_SEGMENT and writes four of UDP_GRO.
		_, typ, data, _, ok := nextControl(c.b[:n])
		if !ok || typ != unix.UDP_SEGMENT || binary.NativeEndian.Uint16(data) != 1472 {
			t.Errorf("%s: segment % x", addr, data)
		}
		if got := parseControl(c.b[:n]); got.local != a || a.Is6() && got.ecn != 1 || a.Is4() && binary.NativeEndian.Uint32(c.b[n-8:]) != 1 {
			t.Errorf("local %v and ECN %d, want %v and 1", got.local, got.ecn, a)
		}
	}
}

func TestParseCause(t *testing.T) {
	// errno, origin, type, code, pad, info, data
	ee := slices.Concat(u32(uint32(unix.EMSGSIZE)), []byte{unix.SO_EE_ORIGIN_ICMP, 3, 4, 0}, u32(1400), u32(0))
	sin := slices.Concat(binary.NativeEndian.AppendUint16(nil, unix.AF_INET), []byte{0, 0, 192, 0, 2, 1}, make([]byte, 8))
	six := netip.MustParseAddr("2001:db8::1").As16()
	sin6 := slices.Concat(binary.NativeEndian.AppendUint16(nil, unix.AF_INET6), make([]byte, 6), six[:], make([]byte, 4))
	to := netip.MustParseAddrPort("198.51.100.1:500")
	for _, c := range []struct {
		name string
		b    []byte
		ok   bool
		want PathError
	}{
		{"nothing", nil, false, PathError{}},
		{"IPv4", cmsg(unix.IPPROTO_IP, unix.IP_RECVERR, slices.Concat(ee, sin)...), true,
			PathError{Addr: to, Err: unix.EMSGSIZE, From: netip.MustParseAddr("192.0.2.1"), MTU: 1400}},
		{"IPv6", cmsg(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, slices.Concat(ee, sin6)...), true,
			PathError{Addr: to, Err: unix.EMSGSIZE, From: netip.MustParseAddr("2001:db8::1"), MTU: 1400}},
		{"without offender", cmsg(unix.IPPROTO_IP, unix.IP_RECVERR, ee...), true,
			PathError{Addr: to, Err: unix.EMSGSIZE, From: netip.Addr{}, MTU: 1400}},
		{"offender of no family", cmsg(unix.IPPROTO_IP, unix.IP_RECVERR, slices.Concat(ee, make([]byte, 28))...), true,
			PathError{Addr: to, Err: unix.EMSGSIZE, From: netip.Addr{}, MTU: 1400}},
		{"short", cmsg(unix.IPPROTO_IP, unix.IP_RECVERR, ee[:15]...), false, PathError{}},
		{"after another", slices.Concat(cmsg(unix.IPPROTO_IP, unix.IP_TTL, 64, 0, 0, 0), cmsg(unix.IPPROTO_IP, unix.IP_RECVERR, ee...)), true,
			PathError{Addr: to, Err: unix.EMSGSIZE, From: netip.Addr{}, MTU: 1400}},
	} {
		cause, from, ok := parseCause(c.b)
		if ok != c.ok {
			t.Errorf("%s: ok %v, want %v", c.name, ok, c.ok)
			continue
		}
		if got := pathError(cause, from, to); ok && got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestPathError(t *testing.T) {
	router := netip.MustParseAddr("192.0.2.1")
	to := netip.MustParseAddrPort("198.51.100.1:500")
	for _, c := range []struct {
		name  string
		cause unix.SockExtendedErr
		want  PathError
	}{
		{"refused", unix.SockExtendedErr{Errno: uint32(unix.ECONNREFUSED), Origin: unix.SO_EE_ORIGIN_ICMP, Info: 77},
			PathError{Addr: to, Err: unix.ECONNREFUSED, From: router, MTU: 0}},
		{"local", unix.SockExtendedErr{Errno: uint32(unix.EMSGSIZE), Origin: unix.SO_EE_ORIGIN_LOCAL, Info: 1500},
			PathError{Addr: to, Err: unix.EMSGSIZE, From: netip.Addr{}, MTU: 1500}},
		{"absurd MTU", unix.SockExtendedErr{Errno: uint32(unix.EMSGSIZE), Origin: unix.SO_EE_ORIGIN_ICMP6, Info: 1<<32 - 1},
			PathError{Addr: to, Err: unix.EMSGSIZE, From: router, MTU: 65576}},
	} {
		if got := pathError(c.cause, router, to); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestSockaddr(t *testing.T) {
	var z zones
	for _, s := range []string{"192.0.2.1:1", "0.0.0.0:65535", "[2001:db8::1]:57888", "[::]:0", "[fe80::1%lo]:80"} {
		want := netip.MustParseAddrPort(s)
		var sa sockaddr
		n := putAddr(&sa, want, &z)
		if got := getAddr(&sa, n, &z); got != want {
			t.Errorf("%v became %v", want, got)
		}
		if got := getAddr(&sa, n-1, &z); got.IsValid() {
			t.Errorf("%v, cut off, became %v", want, got)
		}
	}
	if got := getAddr(&sockaddr{Family: unix.AF_UNIX}, unix.SizeofSockaddrInet6, &z); got.IsValid() {
		t.Errorf("a local socket's address became %v", got)
	}
	// What was there before must not shine through.
	var sa sockaddr
	putAddr(&sa, netip.MustParseAddrPort("[fe80::1%lo]:80"), &z)
	want := netip.MustParseAddrPort("[2001:db8::2]:81")
	if got := getAddr(&sa, putAddr(&sa, want, &z), &z); got != want {
		t.Errorf("%v became %v", want, got)
	}
	mapped := sockaddr{Family: unix.AF_INET6, Addr: netip.MustParseAddr("::ffff:192.0.2.1").As16()}
	if got, want := getAddr(&mapped, unix.SizeofSockaddrInet6, &z).Addr(), netip.MustParseAddr("192.0.2.1"); got != want {
		t.Errorf("mapped address %v, want %v", got, want)
	}
}

func TestZones(t *testing.T) {
	var z zones
	lo := z.index("lo")
	if lo == 0 || z.name(lo) != "lo" {
		t.Errorf("lo is number %d, whose name is %q", lo, z.name(lo))
	}
	if got := z.index("nosuch0"); got != 0 {
		t.Errorf("an interface that does not exist has number %d", got)
	}
	if got := z.name(1 << 30); got != "1073741824" {
		t.Errorf("a number without interface is called %q", got)
	}
	if got := z.index("1073741825"); got != 1073741825 {
		t.Errorf("a number as name has number %d", got)
	}
	for i := range uint32(10 * maxZones) {
		z.name(1<<20 + i)
	}
	if len(z.byIndex) > maxZones || len(z.byName) > maxZones {
		t.Errorf("%d names and %d numbers are remembered, want at most %d", len(z.byIndex), len(z.byName), maxZones)
	}
	z.forget()
	if got := z.index("lo"); got != lo {
		t.Errorf("lo is number %d after forget, want %d", got, lo)
	}
	if n := testing.AllocsPerRun(100, func() { z.index(z.name(lo)) }); n != 0 {
		t.Errorf("a zone that is known allocates %.0f times", n)
	}
}

func TestControlAlignment(t *testing.T) {
	var cs [2]control
	if uintptr(unsafe.Pointer(&cs[1].b))%8 != 0 || unsafe.Sizeof(cs[0])%8 != 0 {
		t.Error("the kernel's headers are not aligned")
	}
}

// FuzzControl feeds ancillary data and addresses that no kernel would write.
func FuzzControl(f *testing.F) {
	f.Add(cmsg(unix.SOL_UDP, unix.UDP_GRO, u32(1200)...), []byte{})
	f.Add(cmsg(unix.IPPROTO_IP, unix.IP_PKTINFO, pktinfo4(3, "10.0.0.1", "10.0.0.255")...), []byte{unix.AF_INET, 0})
	f.Add(cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, pktinfo6(7, "fe80::1")...), []byte{unix.AF_INET6, 0})
	f.Add(cmsg(unix.IPPROTO_IP, unix.IP_RECVERR, make([]byte, 32)...), make([]byte, 28))
	f.Add(cmsg(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, make([]byte, 44)...), make([]byte, 16))
	f.Fuzz(func(t *testing.T, b, name []byte) {
		// The kernel's buffers are aligned; those of the fuzzer need not be.
		var c control
		n := copy(c.b[:], b)
		if r := parseControl(c.b[:n]); r.local.Is4In6() || r.local.IsValid() && r.local.Is6() && r.local.IsMulticast() {
			t.Errorf("local address %v", r.local)
		}
		cause, from, ok := parseCause(c.b[:n])
		if !ok && from.IsValid() {
			t.Errorf("an offender %v without a cause", from)
		}
		var sa sockaddr
		m := copy(unsafe.Slice((*byte)(unsafe.Pointer(&sa)), unsafe.Sizeof(sa)), name)
		sa.Scope_id = 0 // no questions to the kernel
		to := getAddr(&sa, uint32(m), new(zones))
		if to.Addr().Is4In6() {
			t.Errorf("address %v", to)
		}
		if e := pathError(cause, from, to); e.MTU < 0 || e.MTU > 65576 {
			t.Errorf("MTU %d", e.MTU)
		}
	})
}
