package main

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/lab"
	"campagnol/internal/testenv"
)

// An ocspMesh is a mesh whose certificates name a responder on the host of the
// rendezvous server.
type ocspMesh struct {
	*mesh
	openssl string
	ca      string // directory
}

// responderPort is where the responder listens.
const responderPort = 8080

// newOCSPMesh makes peers whose certificates name the responder, which does not run
// yet.
func newOCSPMesh(t *testing.T, peers int) *ocspMesh {
	t.Helper()
	m := &ocspMesh{openssl: testenv.Tool(t, "openssl", "openssl"), mesh: newMesh(t, make([]lab.Kind, peers)...)}
	m.ca = filepath.Join(m.lab.Dir(), "ca")
	for _, p := range m.peers {
		m.command("issue", p.Name(), "--renew", "--ocsp", m.url())
	}
	m.command("issue", "responder", "--responder")
	return m
}

// command runs "campagnol ca" for the CA of the mesh.
func (m *ocspMesh) command(args ...string) {
	m.t.Helper()
	if code, _, stderr := campagnol(m.t, append([]string{"ca", "--dir", m.ca}, args...)...); code != 0 {
		m.t.Fatalf("campagnol ca %v: %s", args, stderr)
	}
}

// respond starts the responder, whose answers count for a minute.
func (m *ocspMesh) respond() *lab.Process {
	m.t.Helper()
	dir := filepath.Join(m.ca, "hosts", "responder")
	p, err := m.server.Start("ocsp", m.openssl, "ocsp", "-port", fmt.Sprint(responderPort), "-nmin", "1",
		"-index", filepath.Join(m.ca, "index.txt"), "-CA", filepath.Join(m.ca, "cacert.pem"),
		"-rsigner", filepath.Join(dir, "certificate.pem"), "-rkey", filepath.Join(dir, "key.pem"))
	if err != nil {
		m.t.Fatal(err)
	}
	// It is not tried whether it can be reached: a connection without a question
	// makes OpenSSL's responder wait for one for ever.
	eventually(m.t, "the responder does not listen", func() bool { return strings.Contains(p.Tail(), "ACCEPT") })
	return p
}

// publish makes the responder read the index again: OpenSSL's looks at it when it has
// answered, so that the first question after a change is answered by the old one.
func (m *ocspMesh) publish() {
	m.t.Helper()
	p, err := m.server.Start("ask", m.openssl, "ocsp", "-url", m.url(), "-issuer", filepath.Join(m.ca, "cacert.pem"),
		"-CAfile", filepath.Join(m.ca, "cacert.pem"), "-cert", filepath.Join(m.ca, "hosts", m.peers[0].Name(), "certificate.pem"))
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(m.t.Context(), 20*time.Second)
	defer cancel()
	if err := p.Wait(ctx); err != nil {
		m.t.Fatalf("openssl asks the responder: %v\n%s", err, p.Tail())
	}
}

// url returns the address of the responder.
func (m *ocspMesh) url() string {
	return fmt.Sprintf("http://%v/", netip.AddrPortFrom(m.server.Addr(), responderPort))
}

// TestRevokedInIndex: a peer is revoked in the index that its responder reads. Its
// tunnels end when the last answer about it does, without any file on the hosts,
// and it gets no others; those of others stay.
func TestRevokedInIndex(t *testing.T) {
	t.Parallel()
	m := newOCSPMesh(t, 3)
	a, b, c := m.peers[0], m.peers[1], m.peers[2]
	m.respond()
	a.configure("[SECURITY]\nocsp = require\n")
	c.configure("[SECURITY]\nocsp = yes\n")
	socket, socketC := a.withSocket(), c.withSocket()
	for _, p := range m.peers {
		p.start()
	}
	a.ping(b, 1)
	c.ping(b, 1)
	a.ping(c, 1)
	awaitStatus(t, socket, "two good answers", func(s *control.Status) bool {
		return s.OCSP.Mode == "require" && s.OCSP.Good == 2 && s.OCSP.Failed == 0
	})
	m.command("revoke", b.Name(), "--reason", "keyCompromise")
	m.publish()
	since := time.Now()
	a.ping(b, 1) // the last answer counts still

	for _, p := range []*meshPeer{a, c} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		line, err := p.process.Await(ctx, since, lab.Pattern{Message: "Closing DTLS connection with peer"})
		cancel()
		if err != nil {
			t.Fatalf("%s keeps its tunnel with a revoked peer: %v", p.Name(), err)
		}
		t.Logf("%s has closed its tunnel after %v", p.Name(), time.Since(since).Round(time.Millisecond))
		if text := fmt.Sprint(line.Attrs); !strings.Contains(text, "OCSP") || !strings.Contains(text, "keyCompromise") || !strings.Contains(text, b.vpn.String()) {
			t.Errorf("the log says %s", text)
		}
	}
	a.ping(c, 1)
	for _, s := range []string{socket, socketC} {
		awaitStatus(t, s, "one peer, and one revoked", func(s *control.Status) bool {
			return len(s.Peers) == 1 && s.Peers[0].State == "ESTABLISHED" && s.OCSP.Revoked == 1
		})
	}
	for _, p := range []*meshPeer{a, c} {
		if r, err := b.Ping(t.Context(), p.vpn, lab.PingOptions{Count: 1}); err != nil || r.Received() != 0 {
			t.Errorf("%s pings %s after the revocation: %v, %v", b.Name(), p.Name(), r, err)
		}
	}
}

// TestNoResponder: without an answer a tunnel opens, unless one is required; then it
// opens when there is one.
func TestNoResponder(t *testing.T) {
	t.Parallel()
	m := newOCSPMesh(t, 3)
	a, b, c := m.peers[0], m.peers[1], m.peers[2]
	a.configure("[SECURITY]\nocsp = require\n")
	c.configure("[SECURITY]\nocsp = yes\n")
	socket, socketB := a.withSocket(), b.withSocket()
	for _, p := range m.peers {
		p.start()
	}
	c.ping(b, 1)
	m.await(c.process, "No answer from the responder of a certificate (OCSP)")
	if r, err := a.Ping(t.Context(), b.vpn, lab.PingOptions{Count: 1}); err != nil || r.Received() != 0 {
		t.Errorf("a tunnel without an answer: %v, %v", r, err)
	}
	awaitStatus(t, socket, "a failure for want of an answer", func(s *control.Status) bool {
		return len(s.Failures) == 1 && strings.Contains(s.Failures[0].Reason, "no responder (OCSP) has said that it is good") && s.OCSP.Failed > 0
	})
	m.respond()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := a.PingUntil(ctx, b.vpn, 200*time.Millisecond); err != nil {
		t.Fatalf("no tunnel although there is an answer now: %v", err)
	}

	// b has asked nobody so far, and now wants answers: it gets them before it
	// would close the tunnels of those about whom it has none.
	b.configure("[SECURITY]\nocsp = require\n")
	since := b.signal(syscall.SIGHUP)
	awaitStatus(t, socketB, "answers about both peers", func(s *control.Status) bool {
		return s.OCSP.Mode == "require" && s.OCSP.Good == 2 && len(s.Peers) == 2
	})
	b.ping(a, 1)
	b.ping(c, 1)
	lines, err := b.process.Log()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if !l.Time.Before(since) && strings.HasPrefix(l.Message, "Closing DTLS connection") {
			t.Errorf("a tunnel was closed: %+v", l)
		}
	}
}
