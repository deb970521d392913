package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
)

// modeOf are the options of a server that has a certificate.
func (m *mesh) modeOf(mode string) []string {
	return []string{"--certificate", m.creds.Certificate, "--key", m.creds.Key, "--ca", m.creds.CA, "--auth", mode}
}

// restartServer ends the server without a good-bye, and starts it with other options.
func (m *mesh) restartServer(more ...string) {
	m.t.Helper()
	if err := m.rdv.Signal(os.Kill); err != nil {
		m.t.Fatal(err)
	}
	<-m.rdv.Exited()
	m.startServer(more...)
}

// awaitLong is awaitSince for what takes some tries of a client.
func (m *mesh) awaitLong(p *lab.Process, since time.Time, msg string) lab.LogLine {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 90*time.Second)
	defer cancel()
	line, err := p.Await(ctx, since, lab.Pattern{Message: msg})
	if err != nil {
		m.t.Fatalf("%v has not logged %q: %v", p, msg, err)
	}
	return line
}

// awaitMemory waits until the client has remembered that a server has a channel,
// which follows the registration by a moment.
func (p *meshPeer) awaitMemory(name string) {
	p.m.t.Helper()
	servers := openTestServers(p.m.t, serverFile(filepath.Dir(p.conf)))
	for end := time.Now().Add(10 * time.Second); !servers.known(name); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.m.t.Fatalf("%s has not remembered %s", p.Name(), name)
		}
	}
}

// TestAuthenticated: clients with the default configuration, at a server that has no
// certificate, then one, then seems to have none again.
func TestAuthenticated(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.PortRestricted, lab.None)
	a, b := m.peers[0], m.peers[1]
	a.start()
	if line := m.await(a.process, "Registration complete"); line.Attr("certificate") != "" {
		t.Errorf("at a server without a certificate: %+v", line)
	}

	since := time.Now()
	m.restartServer(m.modeOf("strict")...)
	b.start()
	for _, p := range m.peers {
		if line := m.awaitLong(p.process, since, "Registration complete"); line.Attr("certificate") != "rdv" {
			t.Errorf("%s at a server with a certificate: %+v", p.Name(), line)
		}
		p.awaitMemory(m.server.Addr().String() + ":57888")
	}
	b.ping(a, 3)

	since = time.Now()
	m.restartServer()
	for _, p := range m.peers {
		m.awaitLong(p.process, since, "No authenticated channel to the RDV server")
	}
	lines, err := m.rdv.Log()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if strings.HasPrefix(l.Message, "Adding new client") {
			t.Errorf("somebody has registered in clear: %+v", l)
		}
	}

	m.restartServer(m.modeOf("mixed")...)
	if err := a.process.Stop(); err != nil {
		t.Fatal(err)
	}
	a.start()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	if _, err := a.PingUntil(ctx, b.vpn, 200*time.Millisecond); err != nil {
		t.Fatalf("not back when all is well again: %v", err)
	}
	a.ping(b, 3)
}
