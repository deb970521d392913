package main

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/lab"
)

// obey makes a peer obey a policy from its next start, or, if it runs, from now on.
func (p *meshPeer) obey(text string) {
	p.m.t.Helper()
	file := filepath.Join(filepath.Dir(p.conf), "policy")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		p.m.t.Fatal(err)
	}
	if p.process == nil {
		p.configure("[SECURITY]\npolicy_file = " + file + "\n")
		return
	}
	p.m.awaitSince(p.process, p.signal(syscall.SIGHUP), "reloading the configuration")
}

// hears reports whether a datagram of from's reaches a port at to within a second.
func hears(t *testing.T, from, to *meshPeer, port uint16) bool {
	t.Helper()
	in, err := to.ListenUDP(netip.AddrPortFrom(to.vpn, port))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := from.ListenUDP(netip.AddrPortFrom(from.vpn, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := in.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := out.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(to.vpn, port))); err != nil {
		t.Fatal(err)
	}
	_, _, err = in.ReadFrom(make([]byte, 16))
	return err == nil
}

// eventually waits until something is so, for what has no other sign.
func eventually(t *testing.T, otherwise string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}

// TestPolicyForReal has three peers, of which the first obeys nothing: the second
// holds it to the policy, and the third does not talk with it at all.
func TestPolicyForReal(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None, lab.None, lab.None)
	a, b, c := m.peers[0], m.peers[1], m.peers[2]
	rules := strings.NewReplacer("A", a.vpn.String(), "B", b.vpn.String(), "C", c.vpn.String()).
		Replace("default deny\nallow A <-> B\nallow B <-> C\nfilter A -> B: allow icmp, udp/5000\nfilter A -> B: deny\n")
	b.obey(rules)
	c.obey(rules)
	socket := b.withSocket()
	for _, p := range m.peers {
		p.start()
	}

	a.ping(b, 3)
	b.ping(c, 3)
	if !hears(t, a, b, 5000) || hears(t, a, b, 5001) || !hears(t, b, a, 5001) {
		t.Error("the packet filter does not do what the policy says")
	}
	awaitStatus(t, socket, "that a packet was stopped", func(s *control.Status) bool {
		return s.Drops.Client["filter"] == 1
	})
	if r, err := c.Ping(t.Context(), a.vpn, lab.PingOptions{Count: 1}); err != nil || r.Received() != 0 {
		t.Errorf("a ping between peers that may not talk: %v, %v", r, err)
	}
	m.await(c.process, "Error during DTLS handshake")
	if log := c.process.Tail(); !strings.Contains(log, "does not let us talk") {
		t.Errorf("the log does not say that the policy is the reason:\n%s", log)
	}

	// Another policy, while the tunnel is open.
	b.obey(strings.Replace(rules, "udp/5000", "udp/5001", 1))
	eventually(t, "the new policy does not hold", func() bool {
		return !hears(t, a, b, 5000) && hears(t, a, b, 5001)
	})
	since := time.Now()
	b.obey("no policy at all\n")
	m.awaitSince(b.process, since, "Cannot be used")
	if !hears(t, a, b, 5001) {
		t.Error("a broken policy replaced a good one")
	}
	since = time.Now()
	b.obey("default deny\n")
	line := m.awaitSince(b.process, since, "Closing DTLS connection with peer")
	if hears(t, a, b, 5001) {
		t.Errorf("a peer that may not talk any more does, after %v", line)
	}
}

// TestPolicyBroken: a client does not start with a policy that it cannot read.
func TestPolicyBroken(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "policy")
	if err := os.WriteFile(file, []byte("default deny\nallow alice <=> bob\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := writeConf(t, "[SECURITY]\npolicy_file = "+file)
	if code, _, stderr := campagnol(t, conf); code == 0 || !strings.Contains(stderr, file+":2:") {
		t.Errorf("exit status %d, %s, want the place of the mistake", code, stderr)
	}
}
