package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/lab"

	"github.com/vishvananda/netlink"
)

// A lanSite is a network behind a host of a mesh, with one host in it that knows nothing
// of the VPN.
type lanSite struct {
	*meshPeer
	t       *testing.T
	network netip.Prefix
	host    *lab.Node
	addr    netip.Addr // of host
	socket  string     // control socket of the gateway
}

// newSite makes the i-th peer of m the gateway of a network 172.20.i+1.0/24, as
// docs/site-to-site.md says.
func newSite(m *mesh, i int) *lanSite {
	m.t.Helper()
	s := &lanSite{meshPeer: m.peers[i], t: m.t, network: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 20, byte(i + 1), 0}), 24),
		addr: netip.AddrFrom4([4]byte{172, 20, byte(i + 1), 2})}
	router := s.network.Addr().Next()
	s.campagnolCA("issue", s.Name(), "--renew", "--ip", s.vpn.String(), "--route", s.network.String())
	var err error
	if s.host, err = m.lab.AddNode(fmt.Sprintf("desk%d", i+1)); err == nil {
		_, err = m.lab.Join(s.Node, "lan0", s.host, "eth0")
	}
	for _, step := range []func() error{
		func() error { return s.Interface("lan0").AddAddress(netip.PrefixFrom(router, 24)) },
		func() error { return s.host.Interface("eth0").AddAddress(netip.PrefixFrom(s.addr, 24)) },
		func() error {
			return s.host.Interface("eth0").AddRoute(netip.PrefixFrom(netip.IPv4Unspecified(), 0), router)
		},
		func() error { return s.SetSysctl("net/ipv4/conf/lan0/forwarding", "1") },
	} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		m.t.Fatal(err)
	}
	s.configure("[VPN]\naccept_routes = yes\nforward = yes\nroute_metric = 70\n[SECURITY]\ncrl_file = " + filepath.Join(m.lab.Dir(), "ca", "crl.pem") + "\n")
	s.socket = s.withSocket()
	return s
}

// campagnolCA runs a command of the mesh's authority.
func (s *lanSite) campagnolCA(args ...string) {
	s.t.Helper()
	if code, _, stderr := campagnol(s.t, append([]string{"ca", "--dir", filepath.Join(s.m.lab.Dir(), "ca")}, args...)...); code != 0 {
		s.t.Fatal(stderr)
	}
}

// routesTo returns the metrics of the gateway's routes to the network of another site.
func (s *lanSite) routesTo(to *lanSite) (metrics []int) {
	s.t.Helper()
	err := s.Do(func() error {
		list, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{
			Dst: &net.IPNet{IP: to.network.Addr().AsSlice(), Mask: net.CIDRMask(to.network.Bits(), 32)}}, netlink.RT_FILTER_DST)
		for _, r := range list {
			metrics = append(metrics, r.Priority)
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return metrics
}

// awaitRoute waits until there is one route to the network of another site, or none.
func (s *lanSite) awaitRoute(to *lanSite, there bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got := s.routesTo(to)
		if there && len(got) == 1 && got[0] == 70 || !there && len(got) == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s has routes of metrics %v to %v; want one of 70: %v", s.Name(), got, to.network, there)
		}
	}
}

// reaches has the host of a site ping that of another one until it answers, and then
// send it something over TCP.
func (s *lanSite) reaches(to *lanSite) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	if _, err := s.host.PingUntil(ctx, to.addr, 100*time.Millisecond); err != nil {
		s.t.Fatalf("%v does not reach %v: %v", s.addr, to.addr, err)
	}
	ln, err := to.host.ListenTCP(netip.AddrPortFrom(to.addr, 0))
	if err != nil {
		s.t.Fatal(err)
	}
	defer ln.Close()
	conn, err := s.host.DialTCP(ctx, ln.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	peer, err := ln.AcceptTCP()
	if err != nil {
		s.t.Fatal(err)
	}
	defer peer.Close()
	if from := peer.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); from != s.addr {
		s.t.Errorf("the connection comes from %v, want %v", from, s.addr)
	}
	const text = "from one site to the other"
	if _, err := conn.Write([]byte(text)); err != nil {
		s.t.Error(err)
	}
	if err := conn.CloseWrite(); err != nil {
		s.t.Error(err)
	}
	if got, err := io.ReadAll(peer); err != nil || string(got) != text {
		s.t.Errorf("received %q, %v", got, err)
	}
}

// TestSiteToSite: hosts of two networks, which know nothing of the VPN, reach each
// other through their gateways, each behind a NAT; also when the gateway's tunnel is
// not open, and after a restart. Spoofed packets do not arrive. When a gateway's
// certificate is revoked the route to its network goes.
func TestSiteToSite(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.PortRestricted, lab.Restricted)
	a, b := newSite(m, 0), newSite(m, 1)
	a.start()
	b.start()
	a.ping(b.meshPeer, 1) // this is when they learn what is behind each other
	a.awaitRoute(b, true)
	b.awaitRoute(a, true)
	a.reaches(b)
	b.reaches(a)

	t.Run("spoofed", func(t *testing.T) { spoof(t, a, b) })

	since := a.signal(syscall.SIGTERM)
	<-a.process.Exited()
	a.awaitRoute(b, false) // it went with the interface
	m.awaitSince(b.process, since, "DTLS connection closed by peer")
	a.start()
	a.awaitRoute(b, true) // it was remembered
	b.awaitRoute(a, true)
	b.reaches(a)
	a.reaches(b)

	b.campagnolCA("revoke", b.Name())
	a.awaitRoute(b, false)
	awaitStatus(t, a.socket, "without the one that was revoked", func(s *control.Status) bool {
		return len(s.Peers) == 0 || s.Peers[0].State != "ESTABLISHED"
	})
}

// spoof has hosts of b's site send from addresses that b's certificate does not name.
func spoof(t *testing.T, a, b *lanSite) {
	stranger := netip.MustParseAddr("172.20.9.9")
	if err := b.host.Interface("eth0").AddAddress(netip.PrefixFrom(stranger, 32)); err != nil {
		t.Fatal(err)
	}
	dst, err := a.host.ListenUDP(netip.AddrPortFrom(a.addr, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	to := dst.LocalAddr().(*net.UDPAddr).AddrPort()
	send := func(from netip.Addr, text string) {
		t.Helper()
		src, err := b.host.ListenUDP(netip.AddrPortFrom(from, 0))
		if err == nil {
			_, err = src.WriteToUDPAddrPort([]byte(text), to)
			src.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	dropped := func(s *control.Status) uint64 { return peerOf(t, s, b.vpn).Drops["source"] }
	before := dropped(statusAt(t, a.socket))
	const count = 5
	for range count {
		send(stranger, "spoofed")
	}
	send(b.addr, "true")
	buf := make([]byte, 100)
	if err := dst.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := dst.ReadFromUDPAddrPort(buf); err != nil || string(buf[:n]) != "true" {
		t.Errorf("received %q, %v; want what is not spoofed, alone", buf[:n], err)
	}
	awaitStatus(t, a.socket, "the spoofed packets are counted", func(s *control.Status) bool { return dropped(s) == before+count })
}
