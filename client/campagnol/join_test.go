package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/conf"
	"campagnol/pki"
	"campagnol/pki/ca"
	"campagnol/pki/enroll"
	"campagnol/rdv/wire"
)

// A fakeGate is the part of a rendezvous server that hosts without certificate
// see, on a real socket, with the authority behind it.
type fakeGate struct {
	conn *net.UDPConn

	mu     sync.Mutex
	answer authorityFunc
	hear   func(m wire.GateMessage) bool // by UDP; nil: everything
	lose   int                           // of so many datagrams one is lost; 0: none
	n      int
}

type authorityFunc = func(now time.Time, from netip.AddrPort, request []byte) []byte

// newFakeGate serves an authority on the loopback, until the test ends.
func newFakeGate(t *testing.T, answer authorityFunc) *fakeGate {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	g := &fakeGate{conn: conn, answer: answer}
	var server sync.WaitGroup
	server.Go(g.serve)
	t.Cleanup(func() {
		conn.Close()
		server.Wait()
	})
	return g
}

func (g *fakeGate) addr() string { return g.conn.LocalAddr().String() }

func (g *fakeGate) serve() {
	b := make([]byte, 2048)
	for {
		n, from, err := g.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if !g.hears(b[:n]) {
			continue
		}
		out := g.reply(from, b[:n])
		if out == nil || g.lost() {
			continue
		}
		_, _ = g.conn.WriteToUDPAddrPort(out, from) // it may be gone
	}
}

// set changes what the gate does.
func (g *fakeGate) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

// hears reports whether what comes by UDP is not lost on the way.
func (g *fakeGate) hears(b []byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	m, err := wire.ParseGate(b)
	return g.hear == nil || err == nil && g.hear(m)
}

func (g *fakeGate) lost() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n++
	return g.lose > 0 && g.n%g.lose == 0
}

func (g *fakeGate) reply(from netip.AddrPort, b []byte) []byte {
	m, err := wire.ParseGate(b)
	if err != nil {
		return nil
	}
	switch m.Type {
	case wire.Knock:
		return wire.GateMessage{Type: wire.Cookie, Version: wire.GateVersion, Cookie: joinCookie}.Append(nil)
	case wire.Apply:
		if m.Cookie != joinCookie {
			return nil
		}
		var answer authorityFunc
		g.set(func() { answer = g.answer })
		return wire.GateMessage{Type: wire.Reply, ID: m.ID, Data: answer(time.Now(), from, m.Data)}.Append(nil)
	}
	return nil
}

// A joinWorld is an authority, a rendezvous server before it, and the files of a
// host.
type joinWorld struct {
	t       *testing.T
	ca      *ca.CA
	gate    *fakeGate
	dir     string // of the host
	started string // configuration that the client was started with
	startIs error
}

func newJoinWorld(t *testing.T) *joinWorld {
	t.Helper()
	w := &joinWorld{t: t, dir: t.TempDir()}
	var err error
	w.ca, err = ca.Init(filepath.Join(t.TempDir(), "CA"), ca.InitOptions{Settings: ca.Settings{Server: "rdv.example.org:57888", Network: netip.MustParsePrefix("10.9.0.0/24")}}, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ca.OpenService(w.ca.Dir, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.gate = newFakeGate(t, s.Answer)
	return w
}

// invite returns a token for a host.
func (w *joinWorld) invite(name string) *enroll.Token {
	w.t.Helper()
	_, token, err := w.ca.Invite(time.Now(), rand.Reader, ca.InviteOptions{Name: name, Server: w.gate.addr()})
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

func (w *joinWorld) config() string { return filepath.Join(w.dir, "campagnol.conf") }

func (w *joinWorld) file(name string) string { return filepath.Join(w.dir, "etc", name) }

// join runs "campagnol join".
func (w *joinWorld) join(token string, args ...string) (string, error) {
	w.t.Helper()
	var out bytes.Buffer
	cmd := joinCommand(&joiner{now: time.Now, start: func(_ context.Context, config string) error {
		w.started = config
		return w.startIs
	}})
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetIn(strings.NewReader(token + "\n"))
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append([]string{"-", "--config", w.config(), "--dir", w.file("")}, args...))
	err := cmd.ExecuteContext(context.Background())
	return out.String(), err
}

// TestJoin makes a host a member of a VPN, over a network that loses datagrams.
func TestJoin(t *testing.T) {
	w := newJoinWorld(t)
	w.gate.set(func() { w.gate.lose = 3 })
	token := w.invite("alice")
	out, err := w.join(token.String())
	if err != nil {
		t.Fatalf("%s\n%s", cliText(err), out)
	}
	for _, part := range []string{"this host is alice, 10.9.0.1 in the VPN 10.9.0.0/24", "wrote " + w.config(), "campagnol status", "the authority answers"} {
		if !strings.Contains(out, part) {
			t.Errorf("output %q, want it to contain %q", out, part)
		}
	}
	if w.started != w.config() {
		t.Errorf("started the client with %q, want %q", w.started, w.config())
	}
	cfg, problems, err := conf.LoadClient(w.config())
	if err != nil || len(problems) > 0 {
		t.Fatalf("configuration: %v, %v", problems, err)
	}
	if serverNames(cfg) != w.gate.addr() || cfg.VPNIP.String() != "10.9.0.1" || cfg.Network.String() != "10.9.0.0/24" || cfg.RDVAuth != conf.AutoYes || cfg.CRLFile != w.file("crl.pem") {
		t.Errorf("configuration %+v", cfg)
	}
	// What was written is all that a client needs.
	cfg.StateDir = t.TempDir()
	trusted, err := loadTrust(t.Context(), cfg, time.Now(), slog.New(slog.DiscardHandler), func(msg, _ string) { t.Error(msg) })
	if err != nil {
		t.Fatal(err)
	}
	if err := trusted.policy.Usable(); err != nil {
		t.Error(err)
	}
	for name, mode := range map[string]os.FileMode{"key.pem": 0o600, "certificate.pem": 0o644, "ca.pem": 0o644, "crl.pem": 0o644} {
		if fi, err := os.Stat(w.file(name)); err != nil || fi.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want mode %v", name, fi, err, mode)
		}
	}
	if left, err := filepath.Glob(filepath.Join(w.file(""), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// TestJoinOverwritesNothing says what would change, before the token is used.
func TestJoinOverwritesNothing(t *testing.T) {
	w := newJoinWorld(t)
	if _, err := w.join(w.invite("alice").String(), "--no-start"); err != nil {
		t.Fatal(err)
	}
	if w.started != "" {
		t.Error("the client was started in spite of --no-start")
	}
	old, err := os.ReadFile(w.file("key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	second := w.invite("bob")
	_, err = w.join(second.String(), "--rdv", "rdv.example.org")
	text := cliText(err)
	for _, part := range []string{"set up already", "key.pem would be replaced", w.config() + " would be replaced: it is that of 10.9.0.1", "the rendezvous server is " + w.gate.addr() + " and would be rdv.example.org:57888", "--force"} {
		if !strings.Contains(text, part) {
			t.Errorf("error %q, want it to contain %q", text, part)
		}
	}
	if list, err := w.ca.Invitations(); err != nil || list[1].State(time.Now()) != ca.InvitationOpen {
		t.Errorf("the token was used: %+v, %v", list[1], err)
	}
	if _, err := w.join(second.String(), "--force"); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(w.file("key.pem.old"))
	if err != nil || !bytes.Equal(kept, old) {
		t.Errorf("the old key is not kept: %v", err)
	}
	if fi, err := os.Stat(w.file("key.pem.old")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode of the old key: %v, %v, want 0600", fi.Mode(), err)
	}
	if cfg, _, err := conf.LoadClient(w.config()); err != nil || cfg.VPNIP.String() != "10.9.0.2" {
		t.Errorf("configuration of %v, %v, want that of 10.9.0.2", cfg.VPNIP, err)
	}
}

// TestJoinInterrupted fails at each file, and goes on with the same command.
func TestJoinInterrupted(t *testing.T) {
	w := newJoinWorld(t)
	token := w.invite("alice")
	blocked := []string{w.file("certificate.pem"), w.file("ca.pem"), w.file("crl.pem")}
	for _, path := range blocked {
		if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var key []byte
	for n, path := range blocked {
		args := []string{"--force"}
		if n > 0 {
			args = nil // it is known where we were
		}
		if out, err := w.join(token.String(), args...); err == nil || !strings.Contains(cliText(err), "run the same command again") {
			t.Fatalf("with %s in the way: %v\n%s", path, err, out)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		now, err := os.ReadFile(w.file("key.pem"))
		if err != nil || key != nil && !bytes.Equal(now, key) {
			t.Fatalf("key: %v, another one: %t", err, key != nil)
		}
		key = now
	}
	w.startIs = errors.New("no TUN device")
	if _, err := w.join(token.String()); err == nil || !strings.Contains(cliText(err), "the client does not start: no TUN device") {
		t.Errorf("with a client that does not start: %v", err)
	}
	if _, err := pki.LoadIdentity(w.file("certificate.pem"), w.file("key.pem")); err != nil {
		t.Error(err)
	}
	if list, err := w.ca.List(time.Now()); err != nil || len(list) != 1 {
		t.Errorf("%d certificates, %v, want 1", len(list), err)
	}
}

// TestJoinErrors says for each failure what it is.
func TestJoinErrors(t *testing.T) {
	w := newJoinWorld(t)
	token := w.invite("alice")
	if _, err := w.ca.Uninvite(time.Now(), "alice"); err != nil {
		t.Fatal(err)
	}
	used := w.invite("bob")
	if _, err := w.join(used.String(), "--no-start"); err != nil {
		t.Fatal(err)
	}
	typo := "a"
	if used.String()[60] == 'a' {
		typo = "b"
	}
	for _, c := range []struct {
		name, token string
		args        []string
		want        []string
	}{
		{"a typo", used.String()[:60] + typo + used.String()[61:], nil, []string{"token is not usable"}},
		{"withdrawn", token.String(), nil, []string{"the authority refuses", "withdrawn", "ca invite"}},
		{"used", used.String(), nil, []string{"used already", "ca revoke"}},
		{"no such server", token.String(), []string{"--rdv", "no-such-host.invalid"}, []string{"cannot be resolved", "--rdv ADDRESS:PORT"}},
		{"a directory that cannot be made", token.String(), []string{"--dir", "/dev/null/x"}, []string{"join: "}},
		{"a configuration that cannot be written", token.String(), []string{"--config", "/dev/null/x"}, []string{"join: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			args := append([]string{"--dir", filepath.Join(dir, "etc"), "--config", filepath.Join(dir, "c")}, c.args...)
			_, err := w.join(c.token, args...)
			for _, part := range c.want {
				if !strings.Contains(cliText(err), part) {
					t.Errorf("error %q, want it to contain %q", cliText(err), part)
				}
			}
			if strings.Contains(cliText(err), c.token[20:40]) {
				t.Errorf("the error has a part of the token: %v", err)
			}
		})
	}
	for _, args := range [][]string{{}, {"a", "b"}} {
		cmd := newJoinCommand()
		cmd.SetArgs(args)
		cmd.SetErr(&bytes.Buffer{})
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		var hint interface{ Hint() string }
		if err := cmd.Execute(); !errors.As(err, &hint) {
			t.Errorf("%q: %v, want an error with a hint", args, err)
		}
	}
}

// TestJoinStops ends when the user does not want to wait.
func TestJoinStops(t *testing.T) {
	w := newJoinWorld(t)
	w.gate.set(func() { w.gate.answer = func(time.Time, netip.AddrPort, []byte) []byte { return nil } })
	ctx, cancel := context.WithCancel(context.Background())
	var said bytes.Buffer
	j := &joiner{tls: tlsOptions{port: defaultFallbackPort}, config: w.config(), dir: w.file(""), now: time.Now, out: &said, err: writerFunc(func(b []byte) (int, error) {
		if strings.Contains(string(b), "does not reach the authority") {
			cancel()
		}
		return said.Write(b)
	})}
	if err := j.run(ctx, w.invite("alice")); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("error %v after %q", err, &said)
	}
	if left, err := filepath.Glob(filepath.Join(w.file(""), ".join-*.pem")); err != nil || len(left) != 1 {
		t.Errorf("the key for the next attempt: %q, %v", left, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestQuoteConf(t *testing.T) {
	for _, dir := range []string{"/etc/campagnol", "/srv/my vpn", `/a"b`, `/a\b`, "/a#b;c", "/${x}", "/$$", "/ä", "/a=b", " /x "} {
		text := "[NETWORK]\nserver_host = h\n[VPN]\nvpn_ip = 10.9.0.1\nnetwork = 10.9.0.0/24\n[SECURITY]\ncertificate = c\nca_certificates = a\nkey = " + quoteConf(dir) + "\n"
		cfg, problems, err := conf.ParseClient("test", []byte(text))
		if err != nil || len(problems) > 0 || cfg.Key != dir {
			t.Errorf("%q written as %s is read as %+v, %v, %v", dir, quoteConf(dir), cfg, problems, err)
		}
	}
}
