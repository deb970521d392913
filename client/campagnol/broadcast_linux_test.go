package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"campagnol/internal/lab"

	"golang.org/x/sys/unix"
)

// TestBroadcastWhole: broadcasts of real programs reach those on other hosts, at
// the network's address and at 255.255.255.255, in one packet, in fragments, and
// with IP options. In the original the kernel drops them all: it writes another
// destination into them, which their checksums do not fit.
func TestBroadcastWhole(t *testing.T) {
	t.Parallel()
	const port = 7777
	m := newMesh(t, lab.PortRestricted, lab.PortRestricted)
	a, b := m.peers[0], m.peers[1]
	a.configure("[NETWORK]\ntun_device = vpn0\n")
	a.start()
	b.start()
	a.ping(b, 3)
	inbox, err := b.ListenUDP(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
	if err != nil {
		t.Fatal(err)
	}
	defer inbox.Close()
	for _, to := range []string{"10.9.0.255", "255.255.255.255"} {
		for _, size := range []int{100, 1391, 4000} {
			for _, options := range [][]byte{nil, {1, 1, 1, 0}} {
				t.Run(fmt.Sprintf("%s/%d bytes/%d of options", to, size, len(options)), func(t *testing.T) {
					sent := bytes.Repeat([]byte{byte(size), byte(len(options))}, size/2)
					a.broadcast(t, netip.AddrPortFrom(netip.MustParseAddr(to), port), sent, options)
					got := make([]byte, 8192)
					inbox.SetReadDeadline(time.Now().Add(5 * time.Second))
					n, from, err := inbox.ReadFromUDPAddrPort(got)
					if err != nil || !bytes.Equal(got[:n], sent) || from.Addr().Unmap() != a.vpn {
						t.Errorf("%d bytes from %v arrive, %v; want the %d that were sent", n, from, err, len(sent))
					}
				})
			}
		}
	}
}

// broadcast sends a datagram from the peer's virtual interface to everybody.
func (p *meshPeer) broadcast(t *testing.T, to netip.AddrPort, payload, options []byte) {
	t.Helper()
	conn, err := p.ListenUDP(netip.AddrPortFrom(p.vpn, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var errs [3]error
	if err := raw.Control(func(fd uintptr) {
		errs[0] = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
		errs[1] = unix.BindToDevice(int(fd), "vpn0")
		if options != nil {
			errs[2] = unix.SetsockoptString(int(fd), unix.IPPROTO_IP, unix.IP_OPTIONS, string(options))
		}
	}); err != nil {
		t.Fatal(err)
	}
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.WriteToUDP(payload, net.UDPAddrFromAddrPort(to)); err != nil {
		t.Fatal(err)
	}
}
