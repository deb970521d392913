package main

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"campagnol/internal/lab"
)

// newTAPMesh starts a server with a certificate and peers that carry frames, and waits
// until they have found each other.
func newTAPMesh(t *testing.T, lines string, nats ...lab.Kind) *mesh {
	t.Helper()
	m := newMesh(t, nats...)
	m.restartServer(m.modeOf("strict")...)
	for _, p := range m.peers {
		p.configure("[NETWORK]\nmode = tap\ntun_device = tap9\nrdv_auth = yes\n[ETHERNET]\n" + lines + "\n")
		p.start()
	}
	return m
}

// meshed waits until every peer has a session with every other one.
func (m *mesh) meshed() {
	m.t.Helper()
	for _, p := range m.peers {
		for _, q := range m.peers {
			if p == q {
				continue
			}
			if _, err := p.PingUntil(m.t.Context(), q.vpn, 50*time.Millisecond); err != nil {
				m.t.Fatalf("%s does not reach %s: %v", p.Name(), q.Name(), err)
			}
		}
	}
}

// TestTAP: three kernels on one link of Ethernet that is spread over NATs: ARP, IPv4 and
// IPv6 between them.
func TestTAP(t *testing.T) {
	t.Parallel()
	m := newTAPMesh(t, "", lab.PortRestricted, lab.FullCone, lab.None)
	m.meshed()
	a, b := m.peers[0], m.peers[1]
	if r := a.ping(b, 5); r.Median() > 100*time.Millisecond {
		t.Errorf("ping: %v", r)
	}
	// IPv6 works without anybody having configured it, but for the time that its
	// kernel takes to see that the address is nobody else's.
	var conn *net.UDPConn
	for end := time.Now().Add(20 * time.Second); conn == nil; time.Sleep(50 * time.Millisecond) {
		var err error
		if conn, err = listenLinkLocal(b.Host, "tap9"); err != nil && time.Now().After(end) {
			t.Fatal(err)
		}
	}
	defer conn.Close()
	to := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	err := a.Do(func() error {
		ifi, err := net.InterfaceByName("tap9")
		if err != nil {
			return err
		}
		to = netip.AddrPortFrom(to.Addr().WithZone(strconv.Itoa(ifi.Index)), to.Port())
		out, err := net.DialUDP("udp6", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		defer out.Close()
		_, err = out.Write([]byte("hello"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 100)
	if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "hello" {
		t.Errorf("over IPv6: %q, %v", buf[:n], err)
	}
}

// listenLinkLocal returns a socket at the link-local address of an interface.
func listenLinkLocal(h *lab.Host, name string) (conn *net.UDPConn, err error) {
	err = h.Do(func() error {
		ifi, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		addrs, err := ifi.Addrs()
		for _, x := range addrs {
			p, perr := netip.ParsePrefix(x.String())
			if perr == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
				conn, err = net.ListenUDP("udp6", &net.UDPAddr{IP: p.Addr().AsSlice(), Zone: strconv.Itoa(ifi.Index)})
				return err
			}
		}
		return fmt.Errorf("no link-local address at %s: %v", name, err)
	})
	return conn, err
}
