package main

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"campagnol/internal/control"
	"campagnol/internal/lab"

	"github.com/vishvananda/netlink"
)

// TestRoutesForReal has a gateway with a second VPN address and a network behind it,
// by the certificate that "campagnol ca" has made.
func TestRoutesForReal(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None, lab.None)
	a, gate := m.peers[0], m.peers[1]
	second, inside := netip.MustParseAddr("10.9.0.22"), netip.MustParseAddr("192.168.77.1")
	network := netip.MustParsePrefix("192.168.77.0/24")
	caDir := filepath.Join(m.lab.Dir(), "ca")
	if code, _, stderr := campagnol(t, "ca", "--dir", caDir, "issue", gate.Name(), "--renew", "--ip", gate.vpn.String(),
		"--ip", second.String(), "--route", network.String()); code != 0 {
		t.Fatal(stderr)
	}
	a.configure("[VPN]\naccept_routes = yes\n")
	socket := a.withSocket()
	for _, p := range m.peers {
		p.start()
	}
	for _, addr := range []netip.Addr{second, inside} {
		gate.tun(func(link netlink.Link) error {
			return netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(32, 32)}})
		})
	}
	a.tun(func(link netlink.Link) error {
		return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: &net.IPNet{IP: network.Addr().AsSlice(), Mask: net.CIDRMask(24, 32)}})
	})

	a.ping(gate, 1)
	reaches := func(addr netip.Addr) bool {
		t.Helper()
		r, err := a.Ping(t.Context(), addr, lab.PingOptions{Count: 1})
		if err != nil {
			t.Fatal(err)
		}
		return r.Received() == 1
	}
	if !reaches(second) || !reaches(inside) {
		t.Error("the other address, or the network, is not reached")
	}
	awaitStatus(t, socket, "what is behind the gateway", func(s *control.Status) bool {
		return len(s.Peers) == 1 && s.Peers[0].Name == gate.Name() &&
			slices.Equal(s.Peers[0].Addresses, []netip.Addr{gate.vpn, second}) && slices.Equal(s.Peers[0].Networks, []netip.Prefix{network})
	})

	a.edit("accept_routes = yes", "accept_routes = no")
	m.awaitSince(a.process, a.signal(syscall.SIGHUP), "reloading the configuration")
	awaitStatus(t, socket, "that the network is gone", func(s *control.Status) bool {
		return len(s.Peers) == 1 && s.Peers[0].State == "ESTABLISHED" && len(s.Peers[0].Networks) == 0
	})
	if reaches(inside) || !reaches(second) {
		t.Error("the network is still reached, or the other address is not")
	}
}
