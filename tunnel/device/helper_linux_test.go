package device

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"campagnol/internal/testenv"
)

var (
	vpnAddr = netip.MustParseAddr("10.9.0.1")
	peer    = netip.MustParseAddr("10.9.0.2")
	usual   = Settings{Addr: vpnAddr, Network: netip.MustParsePrefix("10.9.0.0/24"), MTU: 1419}
)

// enter moves the test to a network namespace of its own. The test's goroutine
// keeps its thread, which ends with it and takes the namespace along; what
// other goroutines open is elsewhere.
func enter(t testing.TB) *netlink.Handle {
	t.Helper()
	testenv.Root(t)
	runtime.LockOSThread() // never unlocked
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	ns.Close() // the thread keeps it
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nl.Close)
	lo, err := nl.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := nl.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	return nl
}

// mustOpen opens a device and closes it at the end of the test, or when that
// takes suspiciously long.
func mustOpen(t testing.TB, cfg Config) *Kernel {
	t.Helper()
	k, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(20*time.Second, func() { k.Close() })
	t.Cleanup(func() {
		guard.Stop()
		k.Close()
	})
	return k
}

// configured opens a device and makes it a part of a VPN.
func configured(t testing.TB, s Settings) *Kernel {
	t.Helper()
	k := mustOpen(t, Config{})
	if err := k.Configure(s); err != nil {
		t.Fatal(err)
	}
	return k
}

// udpPacket returns an IPv4 packet with a UDP datagram.
func udpPacket(src, dst netip.AddrPort, payload string) []byte {
	const ipHeader, udpHeader = 20, 8
	b := make([]byte, ipHeader+udpHeader, ipHeader+udpHeader+len(payload))
	b = append(b, payload...)
	s, d := src.Addr().As4(), dst.Addr().As4()
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	binary.BigEndian.PutUint16(b[10:], ^sum(b[:ipHeader], 0))
	u := b[ipHeader:]
	binary.BigEndian.PutUint16(u, src.Port())
	binary.BigEndian.PutUint16(u[2:], dst.Port())
	binary.BigEndian.PutUint16(u[4:], uint16(len(u)))
	pseudo := uint32(unix.IPPROTO_UDP) + uint32(len(u)) + uint32(sum(b[12:20], 0))
	binary.BigEndian.PutUint16(u[6:], ^sum(u, pseudo))
	return b
}

// sum is the Internet checksum, not inverted (RFC 1071).
func sum(b []byte, s uint32) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// listen opens a socket in the test's namespace.
func listen(t testing.TB, addr string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { c.Close() })
	return c
}

// sendTo sends a datagram to dst, which the kernel routes.
func sendTo(t testing.TB, c *net.UDPConn, dst netip.AddrPort, payload string) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort([]byte(payload), dst); err != nil {
		t.Fatal(err)
	}
}

// datagram returns the next datagram that c gets, and where it comes from.
func datagram(t testing.TB, c *net.UDPConn) (string, netip.AddrPort) {
	t.Helper()
	b := make([]byte, 1<<16)
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n]), netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

// describe renders an IPv4 packet with a UDP datagram.
func describe(b []byte) string {
	if len(b) < 28 || b[0] != 0x45 || b[9] != unix.IPPROTO_UDP {
		return fmt.Sprintf("% x", b)
	}
	return fmt.Sprintf("%v > %v %q", netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[28:])
}

// readOne returns what the device reads next, described.
func readOne(t testing.TB, k *Kernel) string {
	t.Helper()
	ps, err := k.Read()
	if err != nil {
		t.Fatal(err)
	}
	if len(ps) != 1 {
		t.Fatalf("%d packets, want 1; the last is %s", len(ps), describe(ps[len(ps)-1].Data))
	}
	return describe(ps[0].Data)
}
