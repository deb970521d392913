package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/lab"
)

// TestRevokedWhileOpen: a revocation list that an administrator copies over the old
// one ends the tunnels of those who are on it, without a signal, and nobody else's.
// A list that cannot be read changes nothing.
func TestRevokedWhileOpen(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None, lab.None, lab.None)
	a, b, c := m.peers[0], m.peers[1], m.peers[2]
	caDir := filepath.Join(m.lab.Dir(), "ca")
	list := filepath.Join(m.lab.Dir(), "crl.pem")
	ca := func(args ...string) {
		t.Helper()
		if code, _, stderr := campagnol(t, append([]string{"ca", "--dir", caDir}, args...)...); code != 0 {
			t.Fatalf("campagnol ca %v: %s", args, stderr)
		}
	}
	publish := func(text []byte) time.Time {
		t.Helper()
		since := time.Now()
		if err := os.WriteFile(list, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return since
	}
	current := func() []byte {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(caDir, "crl.pem"))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	ca("crl")
	publish(current())
	for _, p := range m.peers {
		p.configure("[SECURITY]\ncrl_file = " + list + "\n")
	}
	socket := a.withSocket()
	for _, p := range m.peers {
		p.start()
	}
	a.ping(b, 1)
	a.ping(c, 1)

	since := publish([]byte("this is no list\n"))
	m.awaitSince(a.process, since, "Cannot be used")
	a.ping(b, 1)

	ca("revoke", "peer2", "--reason", "keyCompromise")
	since = publish(current())
	line := m.awaitSince(a.process, since, "Closing DTLS connection with peer")
	if took := time.Since(since); took > 10*time.Second {
		t.Errorf("the tunnel of a revoked peer was closed after %v", took)
	} else {
		t.Logf("the tunnel of a revoked peer was closed after %v", took.Round(time.Millisecond))
	}
	if text := fmt.Sprint(line.Attrs); !strings.Contains(text, "revoked") || !strings.Contains(text, b.vpn.String()) {
		t.Errorf("the log says %s", text)
	}
	awaitStatus(t, socket, "that peer3 alone is left", func(s *control.Status) bool {
		return len(s.Peers) == 1 && s.Peers[0].VPNAddress == c.vpn && s.Peers[0].State == "ESTABLISHED"
	})
	a.ping(c, 1)
	for _, from := range []*meshPeer{a, b} {
		to := map[*meshPeer]*meshPeer{a: b, b: a}[from]
		if r, err := from.Ping(t.Context(), to.vpn, lab.PingOptions{Count: 1}); err != nil || r.Received() != 0 {
			t.Errorf("%s pings %s after the revocation: %v, %v", from.Name(), to.Name(), r, err)
		}
	}
	if s := statusAt(t, socket); len(s.Certificates) != 2 || s.Certificates[0].Authority || !s.Certificates[1].Authority ||
		s.Certificates[0].Expires.Before(time.Now()) {
		t.Errorf("certificates %+v, want ours and the authority's", s.Certificates)
	}
}
