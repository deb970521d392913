package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"campagnol/internal/lab"

	"github.com/miekg/dns"
)

// other is what a name server on bob's host, which answers for the rest of the world,
// says about the name that it has.
const other = "www.example.org"

// TestResolved: systemd-resolved, told by the client under its unit, finds members of the
// VPN by their names, for all that asks the system, and everything else where it did; also
// when it has been started again. It forgets about it when the client ends.
func TestResolved(t *testing.T) {
	v := newVPN(t)
	m := &named{machine: v.alice}
	m.elsewhere = serveDNS(t, v.bob)
	v.install("1.0.0")
	m.write("/etc/systemd/resolved.conf.d/bob.conf", fmt.Sprintf("[Resolve]\nDNS=%v\nLLMNR=no\n", v.bob.Addr()), 0o644)
	m.run("systemctl", "restart", "systemd-resolved")
	v.serve()
	v.configure("/etc/campagnol.conf", "alice", "10.9.0.1", "10.9.0.0/24", "[VPN]\ndns_domain = vpn.example\n[NETWORK]\nrdv_auth = yes\n")
	m.run("systemctl", "start", "campagnol_rdv", "campagnol")
	v.startBob("[NETWORK]\nrdv_auth = yes\n")

	m.wantNames()
	m.run("systemctl", "restart", "systemd-resolved")
	m.wantNames()
	// It also keeps what it was told in a file, which is not there after a crash at the
	// wrong moment, or if it starts after the client.
	m.run("systemctl", "stop", "systemd-resolved")
	m.run("rm", "-rf", "/run/systemd/resolve/netif")
	m.run("systemctl", "start", "systemd-resolved")
	m.wantNames()
	if out := m.run("journalctl", "--quiet", "--priority=warning", "--unit=campagnol", "_SYSTEMD_UNIT=campagnol.service"); out != "" {
		t.Errorf("the client warns:\n%s", out)
	}

	m.run("systemctl", "stop", "campagnol")
	if out, err := m.try("resolvectl", "query", "bob.vpn.example"); err == nil {
		t.Errorf("without the client there is %s", out)
	}
	if out := m.run("resolvectl", "domain"); strings.Contains(out, "vpn.example") {
		t.Errorf("the domain is left: %s", out)
	}
	m.wantOther()
}

// TestResolvedRefuses: without the rule of the package systemd-resolved takes nothing from
// the user of the services; the log says so and what to do, and the client goes on.
func TestResolvedRefuses(t *testing.T) {
	v := newVPN(t)
	m := v.alice
	v.install("1.0.0")
	m.run("rm", "/usr/share/polkit-1/rules.d/campagnol.rules")
	m.run("systemctl", "restart", "polkit")
	v.serve()
	v.configure("/etc/campagnol.conf", "alice", "10.9.0.1", "10.9.0.0/24", "[VPN]\ndns_domain = vpn.example\n")
	m.run("systemctl", "start", "campagnol_rdv", "campagnol")
	v.startBob("")
	m.await("the log says that names are not found", func() error {
		out := m.run("journalctl", "--priority=warning", "--unit=campagnol")
		if !strings.Contains(out, "The resolver of this host is not told") || !strings.Contains(out, "docs/names.md has a rule") {
			return errors.New(out)
		}
		return nil
	})
	v.ping()
}

// A named machine has a resolver.
type named struct {
	*machine
	elsewhere *atomic.Int64 // how often another name server was asked for the domain of the VPN
}

// wantNames checks that a member has its name for whoever asks, with a dot and without.
func (m *named) wantNames() {
	m.t.Helper()
	for _, command := range []string{
		"resolvectl query --legend=no bob.vpn.example",
		"resolvectl query --legend=no bob",
		"getent ahostsv4 bob.vpn.example",
		"getent ahostsv4 bob",
		"ping -c 1 -W 2 bob",
	} {
		m.await(command, func() error {
			out, err := m.try("sh", "-c", command)
			if err == nil && !strings.Contains(out, bobVPN.String()) {
				err = errors.New("not the address of the member")
			}
			if err != nil {
				domains, _ := m.try("resolvectl", "status")
				return fmt.Errorf("%w\n%s%s", err, out, domains)
			}
			return nil
		})
	}
	if out := m.run("resolvectl", "query", "--legend=no", bobVPN.String()); !strings.Contains(out, "bob.vpn.example") {
		m.t.Errorf("the address has the name %s", out)
	}
	m.run("resolvectl", "flush-caches")
	m.elsewhere.Store(0) // from before it was told
	m.run("resolvectl", "query", "bob.vpn.example")
	if out, err := m.try("resolvectl", "query", "--legend=no", "nobody.vpn.example"); err == nil {
		m.t.Errorf("somebody whom nobody knows is %s", out)
	}
	if n := m.elsewhere.Load(); n > 0 {
		m.t.Errorf("another name server was asked %d times for names in the domain of the VPN", n)
	}
	m.wantOther()
}

// wantOther checks that other names are found where they were.
func (m *named) wantOther() {
	m.t.Helper()
	if out := m.run("getent", "ahostsv4", other); !strings.Contains(out, "192.0.2.80") {
		m.t.Errorf("%s is %s", other, out)
	}
}

// serveDNS answers questions for other at a host, and no others. It counts those for the
// client's domain.
func serveDNS(t *testing.T, at *lab.Host) *atomic.Int64 {
	t.Helper()
	conn, err := at.ListenUDP(netip.AddrPortFrom(at.Addr(), 53))
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg).SetReply(q)
		name := strings.TrimSuffix(q.Question[0].Name, ".")
		switch {
		case name != other:
			a.Rcode = dns.RcodeNameError
			if strings.HasSuffix(name, "vpn.example") {
				asked.Add(1)
			}
		case q.Question[0].Qtype == dns.TypeA:
			rr, err := dns.NewRR(name + ". 1 IN A 192.0.2.80")
			if err != nil {
				t.Error(err)
			}
			a.Answer = append(a.Answer, rr)
		}
		w.WriteMsg(a)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.ActivateAndServe() // until it is shut down
	}()
	t.Cleanup(func() {
		server.Shutdown()
		<-done
	})
	return &asked
}
