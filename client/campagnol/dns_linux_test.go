package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/lab"

	"github.com/miekg/dns"
)

// ask asks a name server from a peer's host, from one of its addresses, and returns what
// it says: the code and the answers; "" if it says nothing.
func (p *meshPeer) ask(network string, from, server netip.Addr, name string, qtype uint16) (text string) {
	p.m.t.Helper()
	err := p.Do(func() error {
		local := net.Addr(net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)))
		if network == "tcp" {
			local = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		}
		dialer := net.Dialer{LocalAddr: local, Timeout: 2 * time.Second}
		conn, err := dialer.Dial(network, netip.AddrPortFrom(server, 53).String())
		if err != nil {
			return nil // it does not listen: it says nothing
		}
		defer conn.Close()
		c := dns.Client{Net: network, Timeout: 2 * time.Second}
		q := new(dns.Msg).SetQuestion(name, qtype)
		q.SetEdns0(1232, false)
		m, _, err := c.ExchangeWithConn(q, &dns.Conn{Conn: conn})
		if err != nil {
			return nil
		}
		text = dns.RcodeToString[m.Rcode]
		for _, rr := range m.Answer {
			text += " " + strings.TrimPrefix(rr.String(), rr.Header().String())
		}
		return nil
	})
	if err != nil {
		p.m.t.Fatal(err)
	}
	return text
}

// TestNamesForReal: members have names for programs of this host, over UDP and TCP,
// those with a tunnel by their certificates and the others by what the server says; and
// nobody else may ask, unless the configuration lets him.
func TestNamesForReal(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None, lab.PortRestricted, lab.Restricted)
	m.restartServer(m.modeOf("mixed")...)
	a, b, c := m.peers[0], m.peers[1], m.peers[2]
	for _, p := range m.peers {
		p.configure("[VPN]\ndns_domain = vpn.example\n[NETWORK]\nrdv_auth = yes\n")
		p.start()
	}
	m.await(a.process, "Questions for names of members are answered")
	m.await(b.process, "Questions for names of members are answered")
	a.ping(b, 1)
	for _, q := range []struct {
		network, name string
		qtype         uint16
		want          string
	}{
		{"udp", "peer2.vpn.example.", dns.TypeA, "NOERROR 10.9.0.2"}, // a tunnel
		{"tcp", "PEER2.vpn.Example.", dns.TypeA, "NOERROR 10.9.0.2"},
		{"udp", "peer3.vpn.example.", dns.TypeA, "NOERROR 10.9.0.3"}, // none
		{"udp", "peer1.vpn.example.", dns.TypeA, "NOERROR 10.9.0.1"}, // itself
		{"udp", "peer3.vpn.example.", dns.TypeAAAA, "NOERROR"},
		{"udp", "peer4.vpn.example.", dns.TypeA, "NXDOMAIN"},
		{"udp", "3.0.9.10.in-addr.arpa.", dns.TypePTR, "NOERROR peer3.vpn.example."},
		{"udp", "9.0.9.10.in-addr.arpa.", dns.TypePTR, "NXDOMAIN"},
		{"udp", "1.1.168.192.in-addr.arpa.", dns.TypePTR, "REFUSED"},
		{"tcp", "example.org.", dns.TypeA, "REFUSED"},
	} {
		var got string
		// Those who have come a moment ago are not in every list yet.
		for deadline := time.Now().Add(20 * time.Second); got != q.want && time.Now().Before(deadline); {
			got = a.ask(q.network, a.vpn, a.vpn, q.name, q.qtype)
		}
		if got != q.want {
			t.Errorf("%s %s %s: %q, want %q", q.network, q.name, dns.TypeToString[q.qtype], got, q.want)
		}
	}
	for _, network := range []string{"udp", "tcp"} {
		if got := b.ask(network, b.vpn, a.vpn, "peer1.vpn.example.", dns.TypeA); got != "" {
			t.Errorf("a peer asks over %s, and is told %q", network, got)
		}
	}
	b.edit("dns_domain = vpn.example", "dns_domain = vpn.example\ndns_serve = yes")
	since := b.signal(syscall.SIGHUP)
	m.awaitSince(b.process, since, "Questions for names of members are answered")
	if got, want := a.ask("udp", a.vpn, b.vpn, "peer1.vpn.example.", dns.TypeA), "NOERROR 10.9.0.1"; got != want {
		t.Errorf("a peer that may ask is told %q, want %q", got, want)
	}
	t.Run("getent", func(t *testing.T) { getent(t, a, c) })
}

// getent has the resolver of the system find a name, with an /etc/resolv.conf that leads
// to the client.
func getent(t *testing.T, p, to *meshPeer) {
	s, err := p.Shell(lab.ShellOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.Run(t.Context(), fmt.Sprintf("echo 'hosts: dns' > /etc/nsswitch.conf; "+
		"printf 'nameserver %v\\nsearch vpn.example\\n' > /etc/resolv.conf; getent ahostsv4 %s", p.vpn, to.Name()))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if fields := strings.Fields(out); !slices.Contains(fields, to.vpn.String()) {
		t.Errorf("getent says %q, want %v", out, to.vpn)
	}
}

// TestNamesPortTaken: a client that finds port 53 taken says so, and goes on; it answers
// once the port is free.
func TestNamesPortTaken(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None, lab.None)
	a, b := m.peers[0], m.peers[1]
	taken, err := a.ListenUDP(netip.AddrPortFrom(netip.IPv4Unspecified(), 53))
	if err != nil {
		t.Fatal(err)
	}
	a.configure("[VPN]\ndns_domain = vpn.example\n")
	a.start()
	b.start()
	line := m.await(a.process, "Names of members are not answered everywhere")
	if hint := fmt.Sprint(line); !strings.Contains(hint, "another name server of this host") {
		t.Errorf("no hint in %s", hint)
	}
	a.ping(b, 1)
	since := time.Now()
	taken.Close()
	m.awaitSince(a.process, since, "Questions for names of members are answered")
	if got, want := a.ask("udp", a.vpn, a.vpn, "peer2.vpn.example.", dns.TypeA), "NOERROR 10.9.0.2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
