package main

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/internal/lab"
)

// firstReply is how long the first reply of a peer may take on a loaded machine. With
// a family below that is broken it may take brokenFamily more.
const (
	firstReply   = time.Second
	brokenFamily = 250 * time.Millisecond
)

// meets pings a peer for the first time, wants every answer, and the first in time.
func (p *meshPeer) meets(to *meshPeer, within time.Duration) {
	p.m.t.Helper()
	if first := p.ping(to, 5).First(); first > within {
		p.m.t.Errorf("%s: the first reply of %s took %v, want at most %v", p.Name(), to.Name(), first, within)
	}
}

// over checks of which family the only path of a peer is, and the server.
func (p *meshPeer) over(socket string, ip6 bool) {
	p.m.t.Helper()
	s := statusAt(p.m.t, socket)
	if len(s.Peers) != 1 || s.Peers[0].Path.Addr().Is6() != ip6 || s.RDV.Address.Addr().Is6() != ip6 {
		p.m.t.Errorf("%s: server at %v, peers %+v, want IPv6: %v", p.Name(), s.RDV.Address, s.Peers, ip6)
	}
}

// dropIPv4 makes a peer one with IPv6 alone.
func (p *meshPeer) dropIPv4() {
	p.m.t.Helper()
	if err := p.DropIPv4(); err != nil {
		p.m.t.Fatal(err)
	}
	p.configure("[NETWORK]\nserver_host = " + p.m.server.Addr6().String() + "\n")
}

// TestBelowIPv6ForReal: two hosts have IPv6 alone, behind stateful firewalls, and two
// IPv4 alone, behind NATs. All are served by one server on one port.
func TestBelowIPv6ForReal(t *testing.T) {
	t.Parallel()
	m := newMeshIn(t, lab.Options{IPv6: true}, lab.PortRestricted, lab.Symmetric, lab.PortRestricted, lab.PortRestricted)
	m.restartServer(m.modeOf("mixed")...)
	a, b, c, d := m.peers[0], m.peers[1], m.peers[2], m.peers[3]
	a.dropIPv4()
	b.dropIPv4()
	for _, p := range []*meshPeer{c, d} {
		// Whoever has no IPv6 gets a socket that is the better for it.
		if err := p.SetSysctl("net/ipv6/conf/all/disable_ipv6", "1"); err != nil {
			t.Fatal(err)
		}
	}
	inA, inC := a.withSocket(), c.withSocket()
	for _, p := range m.peers {
		p.start()
	}
	a.meets(b, firstReply)
	c.meets(d, firstReply)
	a.over(inA, true)
	c.over(inC, false)
	if f := statusAt(t, inA).Socket.Features; !slices.Contains(f, "ipv4") || !slices.Contains(f, "ipv6") {
		t.Errorf("features of the socket: %q, want both families", f)
	}

	// A full packet of the device makes more than 1500 bytes over IPv6. The kernel is
	// told so at the first, which it has sent with DF, and cuts those that follow.
	full := lab.PingOptions{Count: 1, Size: 1419 - 28, Patience: time.Second}
	if _, err := a.Ping(t.Context(), b.vpn, full); err != nil {
		t.Fatal(err)
	}
	full.Count = 3
	a.pingAt(b.vpn, full)
	if r, err := lab.Bulk(t.Context(), a.Node, b.Node, netip.AddrPortFrom(b.vpn, 0), lab.BulkOptions{Size: 4 << 20}); err != nil {
		t.Error(err)
	} else {
		t.Logf("over IPv6: %s in %v", lab.FormatBytes(uint64(r.Bytes)), r.Took)
	}
}

// TestBelowBrokenForReal: two hosts have both families, and IPv6 leads nowhere from one
// of them, without a word. It costs next to no time.
func TestBelowBrokenForReal(t *testing.T) {
	t.Parallel()
	m := newMeshIn(t, lab.Options{IPv6: true}, lab.PortRestricted, lab.PortRestricted)
	m.restartServer(m.modeOf("strict")...)
	a, b := m.peers[0], m.peers[1]
	if err := a.nat.BreakIPv6(true); err != nil {
		t.Fatal(err)
	}
	socket := a.withSocket()
	a.start()
	b.start()
	a.meets(b, firstReply+brokenFamily)
	a.over(socket, false)
}

// TestBelowBothForReal: hosts with both families register over the family of the
// server's address, and meet.
func TestBelowBothForReal(t *testing.T) {
	t.Parallel()
	m := newMeshIn(t, lab.Options{IPv6: true}, lab.PortRestricted, lab.PortRestricted)
	m.restartServer(m.modeOf("strict")...)
	a, b := m.peers[0], m.peers[1]
	for _, p := range m.peers {
		p.configure("[NETWORK]\nserver_host = " + m.server.Addr6().String() + "\nlocal_host = " + p.Addr6().String() + "\n")
	}
	socket := a.withSocket()
	a.start()
	b.start()
	a.meets(b, firstReply)
	a.over(socket, true)
}
