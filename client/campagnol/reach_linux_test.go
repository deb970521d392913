package main

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"campagnol/internal/lab"
)

// renumber gives a peer another address in its network, in place of the one that it
// has, as a change of network does.
func (p *meshPeer) renumber(to netip.Prefix) {
	p.m.t.Helper()
	err := p.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		routes, err := netlink.RouteList(link, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		old, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		for _, a := range old {
			if err := netlink.AddrDel(link, &a); err != nil {
				return err
			}
		}
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: to.Addr().AsSlice(), Mask: net.CIDRMask(to.Bits(), 32)}}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return err
		}
		for _, r := range routes {
			if r.Gw != nil {
				if err := netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: r.Gw, Dst: r.Dst}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		p.m.t.Fatalf("renumber %s: %v", p.Name(), err)
	}
}

// TestAddressChanges: a host whose address changes is registered under the new one
// within a moment, can be asked for, and goes on with the session that it has.
func TestAddressChanges(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.PortRestricted, lab.None)
	a, b := m.peers[0], m.peers[1]
	m.restartServer(m.modeOf("strict")...)
	for _, p := range m.peers {
		p.configure("[NETWORK]\nrdv_auth = yes\n")
		p.start()
	}
	a.ping(b, 1)

	lan := a.nat.LAN()
	other := lan.Addr().As4()
	other[3] += 77
	since := time.Now()
	a.renumber(netip.PrefixFrom(netip.AddrFrom4(other), lan.Bits()))
	line := m.awaitSince(a.process, since, "The local address is another one now")
	if got := line.Attr("addr"); got != netip.AddrFrom4(other).String() {
		t.Errorf("the local address is %s now, want %v", got, netip.AddrFrom4(other))
	}
	m.awaitSince(a.process, since, "This host's way to the network may have changed")
	m.awaitSince(a.process, since, "The channel to the RDV server is a new one")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := b.PingUntil(ctx, a.vpn, 50*time.Millisecond); err != nil {
		t.Errorf("b does not reach a: %v", err)
	}
	t.Logf("b reaches a %v after the change", time.Since(since))
}

// awaitRegister waits until the server has got a REGISTER of a peer.
func (m *mesh) awaitRegister(p *meshPeer, since time.Time) {
	m.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		lines, err := m.rdv.Log()
		if err != nil {
			m.t.Fatal(err)
		}
		for _, line := range lines {
			if line.Time.After(since) && line.Attr("type") == "REGISTER" && line.Attr("name") == p.Name() && strings.HasPrefix(line.Message, "<<") {
				return
			}
		}
		if time.Now().After(end) {
			m.t.Fatalf("%s has not registered again", p.Name())
		}
	}
}

// TestReachReloaded: what the configuration says about reaching a host is told at once
// when it is read again, over the channel that stands.
func TestReachReloaded(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None, lab.None)
	a, b := m.peers[0], m.peers[1]
	m.restartServer(m.modeOf("strict")...)
	a.configure("[NETWORK]\nrdv_auth = yes\nlocal_port = 4444\n")
	b.configure("[NETWORK]\nrdv_auth = yes\nscope = plant\n")
	for _, p := range m.peers {
		p.start()
	}
	a.configure("[NETWORK]\nexternal_addr = 203.0.113.250:9 plant\nscope = office\n")
	since := a.signal(syscall.SIGHUP)
	m.awaitRegister(a, since)
	since = time.Now()
	b.ping(a, 1)
	if line := m.awaitSince(b.process, since, "Punching "); line.Attr("ip") != "203.0.113.250" {
		t.Errorf("the first punch goes to %s, want the address in the scope", line.Attr("ip"))
	}
	lines, err := a.process.Log()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if strings.HasPrefix(line.Message, "The channel to the RDV server is a new one") {
			t.Error("a has made a new channel")
		}
	}
}
