package main

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/lab"

	"github.com/vishvananda/netlink"
)

// vpn6 returns the IPv6 address of a peer of a dual mesh.
func (p *meshPeer) vpn6() netip.Addr {
	a := netip.MustParseAddr("fd00:9::").As16()
	a[15] = p.vpn.As4()[3]
	return netip.AddrFrom16(a)
}

// newDualMesh is newMesh with an IPv6 address for each peer, by certificates that
// "campagnol ca" has made, at a server that has a certificate.
func newDualMesh(t *testing.T, nats ...lab.Kind) *mesh {
	t.Helper()
	m := newMesh(t, nats...)
	for _, p := range m.peers {
		p.name("--ip", p.vpn.String(), "--ip", p.vpn6().String())
		p.configure("[VPN]\nvpn_ip6 = " + p.vpn6().String() + "\nnetwork6 = fd00:9::/64\n")
	}
	m.restartServer(m.modeOf("strict")...)
	return m
}

// name gives the peer a new certificate, with options of "campagnol ca issue".
func (p *meshPeer) name(options ...string) {
	p.m.t.Helper()
	args := append([]string{"ca", "--dir", filepath.Join(p.m.lab.Dir(), "ca"), "issue", p.Name(), "--renew"}, options...)
	if code, _, stderr := campagnol(p.m.t, args...); code != 0 {
		p.m.t.Fatal(stderr)
	}
}

// pingAt pings an address and wants every answer.
func (p *meshPeer) pingAt(to netip.Addr, o lab.PingOptions) {
	p.m.t.Helper()
	r, err := p.Ping(p.m.t.Context(), to, o)
	if err != nil {
		p.m.t.Fatal(err)
	}
	if r.Received() != o.Count {
		p.m.t.Errorf("%s pings %v: %v", p.Name(), to, r)
	}
}

// transfers sends data over TCP and returns whether it arrives.
func transfers(t *testing.T, from, to *meshPeer, data []byte) {
	t.Helper()
	l, err := to.ListenTCP(netip.AddrPortFrom(to.vpn6(), 4000))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	received := make(chan []byte, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			received <- nil
			return
		}
		defer conn.Close()
		b, _ := io.ReadAll(conn) // what is missing shows
		received <- b
	}()
	conn, err := from.DialTCP(t.Context(), netip.AddrPortFrom(to.vpn6(), 4000))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); got != from.vpn6() {
		t.Errorf("connected from %v, want %v", got, from.vpn6())
	}
	if _, err := conn.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-received:
		if !bytes.Equal(got, data) {
			t.Errorf("%d bytes arrived, of %d, or others", len(got), len(data))
		}
	case <-time.After(30 * time.Second):
		t.Error("not all has arrived after 30 s")
	}
}

// TestIPv6ForReal has two hosts behind NATs of IPv4 talk by IPv6: whoever is asked for
// first, large and small, and over a path that turns out to be small.
func TestIPv6ForReal(t *testing.T) {
	t.Parallel()
	m := newDualMesh(t, lab.PortRestricted, lab.PortRestricted)
	a, b := m.peers[0], m.peers[1]
	socket := a.withSocket()
	for _, p := range m.peers {
		p.start()
	}
	a.pingAt(b.vpn6(), lab.PingOptions{Count: 3})
	b.pingAt(a.vpn6(), lab.PingOptions{Count: 3})
	a.ping(b, 3)
	s := statusAt(t, socket)
	if s.VPNAddress6 != a.vpn6() || s.Network6.String() != "fd00:9::/64" || len(s.Peers) != 1 || s.Peers[0].VPNAddress != b.vpn ||
		len(s.Peers[0].Addresses) != 2 || s.Peers[0].Addresses[1] != b.vpn6() {
		t.Errorf("status: %v in %v, peers %+v", s.VPNAddress6, s.Network6, s.Peers)
	}
	const header = 40 + 8
	a.pingAt(b.vpn6(), lab.PingOptions{Count: 3, Size: 1419 - header})
	data := make([]byte, 4<<20)
	rand.Read(data)
	transfers(t, a, b, data)

	for _, p := range m.peers {
		if err := p.nat.Link().SetMTU(1400); err != nil {
			t.Fatal(err)
		}
	}
	transfers(t, b, a, data[:1<<20])
	awaitStatus(t, socket, "that b is not far", func(s *control.Status) bool { return len(s.Peers) == 1 && s.Peers[0].State == "ESTABLISHED" })
	a.pingAt(b.vpn6(), lab.PingOptions{Count: 3, Size: 1280 - header})

	a.tun(func(link netlink.Link) error {
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V6)
		if err != nil {
			return err
		}
		if len(addrs) != 1 || addrs[0].Flags&syscall.IFA_F_TENTATIVE != 0 {
			t.Errorf("addresses %v, want one that is not asked about", addrs)
		}
		return nil
	})
}

// TestIPv6CertificateForReal: a client does not start, and does not change, with an
// IPv6 address that its certificate does not name.
func TestIPv6CertificateForReal(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None)
	a := m.peers[0]
	m.restartServer(m.modeOf("mixed")...)
	a.start()
	a.configure("[VPN]\nvpn_ip6 = fd00:9::1\nnetwork6 = fd00:9::/64\n")
	m.awaitSince(a.process, a.signal(syscall.SIGHUP), "The configuration cannot be used")
	if log := a.process.Tail(); !strings.Contains(log, "vpn_ip6 fd00:9::1 needs a certificate that names it") || !strings.Contains(log, a.conf+":") {
		t.Errorf("the log does not say why:\n%s", log)
	}
	a.name("--ip", a.vpn.String(), "--ip", "fd00:9::1")
	since := a.signal(syscall.SIGHUP)
	m.awaitSince(a.process, since, "Registration complete")
	a.tun(func(link netlink.Link) error {
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V6)
		if err == nil && len(addrs) != 1 {
			t.Errorf("addresses %v, want the one", addrs)
		}
		return err
	})
}
