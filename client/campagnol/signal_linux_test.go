package main

import (
	"bytes"
	"os"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/lab"
)

// signal sends a signal to the peer's client and returns when.
func (p *meshPeer) signal(s os.Signal) time.Time {
	p.m.t.Helper()
	since := time.Now()
	if err := p.process.Signal(s); err != nil {
		p.m.t.Fatal(err)
	}
	return since
}

// edit changes the peer's configuration file.
func (p *meshPeer) edit(from, to string) {
	p.m.t.Helper()
	b, err := os.ReadFile(p.conf)
	if err != nil {
		p.m.t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(from)) {
		p.m.t.Fatalf("%q is not in the configuration:\n%s", from, b)
	}
	if err := os.WriteFile(p.conf, bytes.Replace(b, []byte(from), []byte(to), 1), 0o600); err != nil {
		p.m.t.Fatal(err)
	}
}

// count returns how many messages with a given beginning the peer's client has
// logged.
func (p *meshPeer) count(msg string) int {
	p.m.t.Helper()
	lines, err := p.process.Log()
	if err != nil {
		p.m.t.Fatal(err)
	}
	n := 0
	for _, l := range lines {
		if (lab.Pattern{Message: msg}).Matches(l) {
			n++
		}
	}
	return n
}

// started makes a mesh of two peers with an open tunnel.
func started(t *testing.T) (m *mesh, a, b *meshPeer) {
	m = newMesh(t, lab.PortRestricted, lab.PortRestricted)
	a, b = m.peers[0], m.peers[1]
	a.start()
	b.start()
	a.ping(b, 3)
	return m, a, b
}

// TestRestartSignal: SIGUSR1 closes every session and registers anew, on the same
// socket and device, also while the server is away.
func TestRestartSignal(t *testing.T) {
	t.Parallel()
	m, a, b := started(t)
	before := m.await(m.rdv, "Adding new client").Attr("addr")
	since := a.signal(syscall.SIGUSR1)
	m.awaitSince(a.process, since, "Registration complete")
	m.awaitSince(b.process, since, "DTLS connection closed by peer")
	if after := m.awaitSince(m.rdv, since, "Adding new client").Attr("addr"); after != before {
		t.Errorf("registered from %s, and after the restart from %s", before, after)
	}
	a.ping(b, 3)
	if n := a.count("TUN interface initialization"); n != 1 {
		t.Errorf("the device was opened %d times", n)
	}

	if err := m.rdv.Stop(); err != nil {
		t.Fatal(err)
	}
	since = a.signal(syscall.SIGUSR1)
	m.awaitSince(a.process, since, "reloading client")
	m.startServer()
	m.awaitSince(a.process, since, "Registration complete")
	m.awaitSince(b.process, since, "Registration complete")
	a.ping(b, 3)
}

// TestRenewSignal: SIGUSR2 reads keys and certificates again for new sessions.
// When that fails, the old ones stay, and the log names the file.
func TestRenewSignal(t *testing.T) {
	t.Parallel()
	m, a, b := started(t)
	opened := a.count("New DTLS connection")
	since := a.signal(syscall.SIGUSR2)
	m.awaitSince(a.process, since, "recreating DTLS contexts")
	a.ping(b, 3)

	a.edit("ca_certificates = ", "ca_certificates = /nowhere") // not read by SIGUSR2
	key := confValue(t, a.conf, "key")
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	since = a.signal(syscall.SIGUSR2)
	line := m.awaitSince(a.process, since, "Cannot be used")
	if err := line.Attr("err"); !bytes.Contains([]byte(err), []byte(key)) {
		t.Errorf("the error %q does not name %s", err, key)
	}
	a.ping(b, 3)
	if n := a.count("New DTLS connection"); n != opened {
		t.Errorf("%d sessions were opened, %d before", n, opened)
	}
}

// TestReloadSignal: SIGHUP reads the whole configuration; what can be changed
// without closing sessions is.
func TestReloadSignal(t *testing.T) {
	t.Parallel()
	m, a, b := started(t)
	a.configure("timeout = 5\n")
	since := a.signal(syscall.SIGHUP)
	m.awaitSince(a.process, since, "reloading the configuration")
	a.ping(b, 3)
	if n := a.count("New DTLS connection"); n != 1 {
		t.Errorf("%d sessions, want that which was open", n)
	}
	m.awaitSince(a.process, since, "Closing DTLS connection with peer") // idle for 5 s, not 120

	a.ping(b, 3)
	a.edit("timeout = 5", "timeout = 1") // too short: refused
	since = a.signal(syscall.SIGHUP)
	m.awaitSince(a.process, since, "The configuration cannot be used")
	a.ping(b, 3)

	// Another VPN address takes another certificate; the device is made anew.
	a.edit("timeout = 1", "timeout = 60")
	a.edit("vpn_ip = 10.9.0.1", "vpn_ip = 10.9.0.9")
	a.vpn = a.vpn.Next().Next().Next().Next().Next().Next().Next().Next()
	since = a.signal(syscall.SIGHUP)
	m.awaitSince(m.rdv, since, "Adding new client")
	m.awaitSince(a.process, since, "Registration complete")
	b.Ping(t.Context(), a.vpn, lab.PingOptions{Count: 1}) // the certificate is for the old address
	m.awaitSince(b.process, since, "Error during DTLS handshake with peer")
}

// TestReloadReverifies: SIGHUP closes the tunnels of peers that are no longer
// trusted.
func TestReloadReverifies(t *testing.T) {
	t.Parallel()
	m, a, b := started(t)
	other, err := certifyPeers(t.TempDir()+"/ca", []lab.Identity{{Name: "x", Addr: a.vpn}})
	if err != nil {
		t.Fatal(err)
	}
	a.edit("ca_certificates = ", "ca_certificates = "+other[0].CA+"\nold_ca = ")
	since := a.signal(syscall.SIGHUP)
	line := m.awaitSince(a.process, since, "Closing DTLS connection with peer")
	if line.Attr("err") == "" {
		t.Errorf("no reason in %v", line)
	}
	m.awaitSince(b.process, since, "DTLS connection closed by peer")
}
