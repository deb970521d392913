//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/service"
	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/rdv"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// files are those of a server with a certificate, and of its authority.
type files struct {
	dir           string
	ca            *pkitest.CA
	caFile        string
	cert, key     string // the server's
	alice         *pkitest.Leaf
	crl           string
	aliceKeyFiles [2]string
}

func newFiles(t *testing.T) *files {
	t.Helper()
	f := &files{dir: t.TempDir(), ca: pkitest.NewCA(t, "ca", time.Now())}
	f.caFile = f.ca.WriteFile(t, f.dir)
	server := f.ca.Issue(t, "rdv", func(c *x509.Certificate) { c.URIs = append(c.URIs, pki.RendezvousURI()) })
	f.cert, f.key = server.WriteFiles(t, f.dir)
	f.alice = f.ca.Issue(t, "alice", pkitest.Addrs("10.9.0.1"))
	f.aliceKeyFiles[0], f.aliceKeyFiles[1] = f.alice.WriteFiles(t, f.dir)
	f.crl = filepath.Join(f.dir, "crl.pem")
	f.revoke(t)
	return f
}

// revoke writes a revocation list.
func (f *files) revoke(t *testing.T, certs ...*x509.Certificate) {
	t.Helper()
	pkitest.Write(t, f.crl, "X509 CRL", f.ca.CRL(t, time.Now().Add(-time.Minute), time.Now().AddDate(1, 0, 0), certs...))
}

// args are the options of a server with a certificate.
func (f *files) args(more ...string) []string {
	return append([]string{"--certificate", f.cert, "--key", f.key, "--ca", f.caFile, "--crl", f.crl}, more...)
}

// next returns the next datagram from the server.
func (c *client) next() []byte {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 2048)
	n, err := c.conn.Read(b)
	if err != nil {
		c.t.Fatal(err)
	}
	return b[:n]
}

// channel opens a channel and registers 10.9.0.1.
func (c *client) channel(leaf *pkitest.Leaf) *handshake.Result {
	c.t.Helper()
	r := c.open(leaf)
	c.register(r)
	return r
}

// open opens a channel.
func (c *client) open(leaf *pkitest.Leaf) *handshake.Result {
	c.t.Helper()
	r, err := c.shake(leaf)
	if err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	return r
}

// shake performs a handshake.
func (c *client) shake(leaf *pkitest.Leaf) (*handshake.Result, error) {
	c.t.Helper()
	id, err := pki.NewIdentity(leaf.Chain, leaf.Key)
	if err != nil {
		c.t.Fatal(err)
	}
	c.conn.Write(wire.GateMessage{Type: wire.Knock, Version: wire.GateVersion}.Append(nil))
	cookie, err := wire.ParseGate(c.next())
	if err != nil || cookie.Type != wire.Cookie {
		c.t.Fatalf("KNOCK is answered with %+v, %v", cookie, err)
	}
	hs, err := handshake.New(handshake.Config{Certificate: id.TLS(), Protocols: []string{channel.Protocol}}, func(b []byte) {
		c.conn.Write(wire.GateMessage{Type: wire.Admit, Cookie: cookie.Cookie, Data: b}.Append(nil))
	})
	if err != nil {
		c.t.Fatal(err)
	}
	type end struct {
		result *handshake.Result
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		r, err := hs.Run(c.t.Context())
		ended <- end{r, err}
		c.conn.SetReadDeadline(time.Now()) // ends the loop below
	}()
	b := make([]byte, 2048)
	for {
		c.conn.SetReadDeadline(time.Now().Add(patience))
		select {
		case e := <-ended:
			return e.result, e.err
		default:
		}
		if n, err := c.conn.Read(b); err == nil {
			hs.Handle(b[:n])
		}
	}
}

// register registers 10.9.0.1 over a channel.
func (c *client) register(r *handshake.Result) {
	c.t.Helper()
	msg := channel.Message{Type: channel.Register, ID: 1, VPN: []netip.Addr{netip.MustParseAddr("10.9.0.1")}}
	rec, err := r.Seal.Seal(nil, msg.Append(nil), record.ApplicationData, new(record.Scratch))
	if err != nil {
		c.t.Fatal(err)
	}
	c.conn.Write(rec)
	typ, payload := c.hear(r)
	m, err := channel.Parse(payload)
	if typ != record.ApplicationData || err != nil || m.Type != channel.Registered || !strings.HasPrefix(m.Software, "campagnol_rdv 1.") {
		c.t.Fatalf("REGISTER is answered with %+v, record %d, %v", m, typ, err)
	}
}

// hear returns the next record of the server.
func (c *client) hear(r *handshake.Result) (record.ContentType, []byte) {
	c.t.Helper()
	for {
		h, rec, _, err := record.Split(c.next())
		if err != nil || h.Epoch != 1 || h.Type == record.Handshake {
			continue
		}
		payload, err := r.Open.Open(h, rec, new(record.Scratch))
		if err != nil {
			c.t.Fatal(err)
		}
		return h.Type, payload
	}
}

// TestAuthentication has a client over a channel, others in clear, and SIGHUP with
// a new revocation list.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	p := start(t, f.args("-v")...)
	a, b := dial(t, "127.0.0.2", "127.0.0.1", p.port), dial(t, "127.0.0.3", "127.0.0.1", p.port)
	keys := a.channel(f.alice)
	p.waitLine("Authenticated channel with alice at " + a.conn.LocalAddr().String())
	p.waitLine("10.9.0.1")
	b.send(hello1)
	b.receive(nok)
	b.send(hello2)
	b.receive(ok)
	a.send(ping)
	a.receive(pong)

	p.signal(syscall.SIGHUP)
	p.waitLine("read again")
	a.send(ping)
	a.receive(pong)
	f.revoke(t, f.alice.Cert)
	p.signal(syscall.SIGHUP)
	a.ended(keys)
	p.waitLine("Channel with alice")
	a.send(ping)
	a.receive(reconnect)
	b.send(ping)
	b.receive(pong)
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestReloadFails: files that cannot be read leave all as it was, and the log says
// so.
func TestReloadFails(t *testing.T) {
	f := newFiles(t)
	a := &authOptions{certificate: f.cert, key: f.key, ca: f.caFile}
	var log bytes.Buffer
	starting := &service.Starting{Log: slog.New(slog.NewTextHandler(&log, nil)), Warn: func(msg, hint string) { t.Error(msg, hint) }}
	reload := a.reload(starting, rdv.New(rdv.Config{Mode: rdv.Mixed}))
	reload(t.Context())
	if !strings.Contains(log.String(), "read again") || strings.Contains(log.String(), "nothing changes") {
		t.Errorf("log %q", &log)
	}
	log.Reset()
	if err := os.Remove(f.cert); err != nil {
		t.Fatal(err)
	}
	reload(t.Context())
	if !strings.Contains(log.String(), "nothing changes") || !strings.Contains(log.String(), f.cert) {
		t.Errorf("log %q", &log)
	}
	if got := (&authOptions{}).signals(); got != nil {
		t.Errorf("without a certificate there are functions for %v", got)
	}
}

func TestStrict(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	p := start(t, f.args("--auth=strict")...)
	c := dial(t, "", "127.0.0.1", p.port)
	c.send(hello2)
	c.receive(nok)
	c.channel(f.alice)
}

// TestOpen: without a certificate there is no channel, and a client is told so.
func TestOpen(t *testing.T) {
	t.Parallel()
	p := start(t)
	c := dial(t, "", "127.0.0.1", p.port)
	c.conn.Write(wire.GateMessage{Type: wire.Knock, Version: wire.GateVersion}.Append(nil))
	c.receive("0f05")
}

// TestAuthRefused has what does not start a server with a certificate.
func TestAuthRefused(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	old := f.ca.Issue(t, "old", pkitest.Valid(time.Now().AddDate(-1, 0, 0), time.Now().AddDate(0, 0, -1)), func(c *x509.Certificate) {
		c.URIs = append(c.URIs, pki.RendezvousURI())
	})
	oldCert, oldKey := old.WriteFiles(t, f.dir)
	for _, c := range []struct {
		name string
		args []string
		want []string // in standard error
	}{
		{"no certificate", []string{"--auth", "strict"}, []string{"--auth strict needs --certificate", "hint: ", "campagnol ca issue NAME --rdv"}},
		{"no such mode", []string{"--auth", "closed"}, []string{`"closed"`, "open, mixed or strict"}},
		{"no key", []string{"--certificate", f.cert}, []string{"--certificate needs --key"}},
		{"no authority", []string{"--certificate", f.cert, "--key", f.key}, []string{"--ca"}},
		{"only an authority", []string{"--ca", f.caFile}, []string{"without --certificate"}},
		{"a member's certificate", []string{"--certificate", f.aliceKeyFiles[0], "--key", f.aliceKeyFiles[1], "--ca", f.caFile},
			[]string{f.aliceKeyFiles[0], "not a certificate for a rendezvous server", "campagnol:rdv", "hint: ", "--rdv"}},
		{"another key", []string{"--certificate", f.cert, "--key", f.aliceKeyFiles[1], "--ca", f.caFile}, []string{"does not belong"}},
		{"expired", []string{"--certificate", oldCert, "--key", oldKey, "--ca", f.caFile}, []string{"expired"}},
		{"no such mode of responders", f.args("--ocsp", "maybe"), []string{`option --ocsp: "maybe" is not no, yes or require`, "hint: "}},
		{"responders without a certificate", []string{"--ocsp", "yes"}, []string{"--ocsp have no use without --certificate", "hint: "}},
		{"no such file", []string{"--certificate", f.cert, "--key", f.key, "--ca", f.dir + "/absent"}, []string{"absent"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience) // one that starts would go on
			defer cancel()
			cmd := exec.CommandContext(ctx, binary, c.args...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			cmd.Run()
			if got := cmd.ProcessState.ExitCode(); got != 1 {
				t.Errorf("exit status %d, want 1", got)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("%q is missing in %q", want, &stderr)
				}
			}
		})
	}
}

// TestAuthWarnings has what starts, with a word about it.
func TestAuthWarnings(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	other := pkitest.NewCA(t, "other", time.Now()).WriteFile(t, f.dir)
	for _, c := range []struct {
		args []string
		want string
	}{
		{f.args("--auth", "open"), "has no use"},
		{[]string{"--certificate", f.cert, "--key", f.key, "--ca", other}, "will refuse our own certificate"},
	} {
		p := start(t, c.args...)
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != 0 || !strings.Contains(p.stderr.String(), c.want) {
			t.Errorf("%q: exit status %d, standard error %q, want %q in it", c.args, code, &p.stderr, c.want)
		}
	}
	p := start(t, f.args()...)
	p.signal(syscall.SIGTERM)
	if p.wait(); p.stderr.Len() > 0 {
		t.Errorf("standard error %q, want nothing", &p.stderr)
	}
}
