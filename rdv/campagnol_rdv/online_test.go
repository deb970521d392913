//go:build unix

package main

import (
	"crypto/x509"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/pki/pkitest"
	"campagnol/rdv"
)

// TestOCSP starts the server with each mode. The responder that alice's certificate
// names is on this host, and never asked; carol's names none.
func TestOCSP(t *testing.T) {
	t.Parallel()
	asked, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	f := newFiles(t)
	url := "http://" + asked.Addr().String() + "/"
	alice := f.ca.Issue(t, "alice", pkitest.Addrs("10.9.0.1"), func(c *x509.Certificate) { c.OCSPServer = []string{url} })
	carol := f.ca.IssueKey(t, "carol", alice.Key, pkitest.Addrs("10.9.0.1")) // who takes the address over
	for _, c := range []struct {
		mode         string
		alice, carol string // what the log says; "": they get in
	}{
		{"no", "", ""},
		{"yes", "", ""},
		{"require", "is not asked: it is no address of a host for others", "it names no responder that could be asked"},
	} {
		p := start(t, f.args("-v", "--ocsp", c.mode)...)
		for leaf, want := range map[*pkitest.Leaf]string{alice: c.alice, carol: c.carol} {
			cl := dial(t, "", "127.0.0.1", p.port)
			if want == "" {
				cl.channel(leaf)
				continue
			}
			if _, err := cl.shake(leaf); err == nil {
				t.Errorf("%s: %s gets in", c.mode, leaf.Cert.Subject.CommonName)
			}
			p.waitLine(want)
		}
		p.signal(syscall.SIGTERM)
		p.wait()
	}
	asked.(*net.TCPListener).SetDeadline(time.Now())
	if conn, err := asked.Accept(); err == nil {
		conn.Close()
		t.Error("the responder on this host was asked")
	}
}

// TestOnlineOptions: what responders have said outlives the trust that asked them.
func TestOnlineOptions(t *testing.T) {
	var o onlineOptions
	trust := &rdv.Trust{}
	for _, text := range []string{"", "no"} {
		o.text = text
		if got := o.with(trust, slog.Default()); got != trust || o.responders != nil || o.asked() || o.check() != nil {
			t.Errorf("%q: responders are asked", text)
		}
	}
	o.text = "yes"
	if got := o.with(trust, slog.Default()); got == trust || !o.asked() || o.check() != nil {
		t.Error("yes: no responder is asked")
	}
	before := o.responders
	o.with(trust, slog.Default())
	if before == nil || o.responders != before {
		t.Error("after the files were read again all is forgotten")
	}
	o.text = "Yes?"
	if err := o.check(); err == nil || !strings.Contains(err.Error(), "Yes?") {
		t.Errorf("%q: %v", o.text, err)
	}
}
