//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/rand"
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
	"campagnol/pki/ca"
	"campagnol/pki/pkitest"
	"campagnol/rdv"
	"campagnol/rdv/channel"
)

// newAuthority makes a CA in a directory.
func newAuthority(t *testing.T, dir string, o ca.InitOptions) *ca.CA {
	t.Helper()
	o.Settings = ca.Settings{Server: "127.0.0.1:57888", Network: netip.MustParsePrefix("10.9.0.0/24")}
	c, err := ca.Init(dir, o, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.Passphrase = func(string) ([]byte, error) { return o.Passphrase, nil }
	return c
}

// member issues the certificate of a host.
func member(t *testing.T, c *ca.CA, name, vpn string) *pkitest.Leaf {
	t.Helper()
	out, err := c.Issue(time.Now(), rand.Reader, ca.Request{Name: name, Addrs: []netip.Addr{netip.MustParseAddr(vpn)}})
	if err != nil {
		t.Fatal(err)
	}
	id, err := pki.LoadIdentity(out.CertFile, out.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	return &pkitest.Leaf{Cert: id.Chain[0], Key: id.Key, Chain: id.Chain}
}

// TestAuthority: with the directory of a CA and nothing else, the server has a
// certificate, members get in with theirs, and a revocation by another process ends
// the channel of who is named, and of nobody else.
func TestAuthority(t *testing.T) {
	t.Parallel()
	c := newAuthority(t, filepath.Join(t.TempDir(), "CA"), ca.InitOptions{})
	alice := member(t, c, "alice", "10.9.0.1")
	p := start(t, "-v", "--authority", c.Dir)
	p.waitLine("There is a new revocation list from the authority of this server")
	client := dial(t, "127.0.0.2", "127.0.0.1", p.port)
	keys := client.channel(alice)
	if _, err := c.Revoke(time.Now(), "alice", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CRL(time.Now(), rand.Reader, 30); err != nil {
		t.Fatal(err)
	}
	client.ended(keys)
	if _, err := dial(t, "", "127.0.0.1", p.port).shake(alice); err == nil {
		t.Error("who was revoked gets another channel")
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 || p.stderr.Len() > 0 {
		t.Errorf("exit status %d, standard error %q", code, &p.stderr)
	}
	first, err := os.ReadFile(filepath.Join(c.Dir, "hosts", ca.RendezvousName, "certificate.pem"))
	if err != nil {
		t.Fatal(err)
	}
	start(t, "--authority="+c.Dir)
	second, err := os.ReadFile(filepath.Join(c.Dir, "hosts", ca.RendezvousName, "certificate.pem"))
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("the second start has another certificate (%v)", err)
	}
}

// TestAuthorityRefused has what does not start.
func TestAuthorityRefused(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	plain := newAuthority(t, filepath.Join(t.TempDir(), "CA"), ca.InitOptions{})
	taken := newAuthority(t, filepath.Join(t.TempDir(), "CA"), ca.InitOptions{})
	member(t, taken, ca.RendezvousName, "10.9.0.1")
	locked := newAuthority(t, filepath.Join(t.TempDir(), "CA"), ca.InitOptions{Passphrase: []byte("secret")})
	wrong := filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(wrong, []byte("guess\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want []string // in standard error
	}{
		{"no CA", []string{"--authority", f.dir + "/absent"}, []string{"--authority", "there is no CA in " + f.dir + "/absent", "campagnol ca init"}},
		{"open", []string{"--authority", plain.Dir, "--auth", "open"}, []string{"--auth open", "hint: "}},
		{"a CA that is not needed", []string{"--authority", plain.Dir, "--ca", f.caFile}, []string{"--ca-dir have no use without --certificate", "hint: "}},
		{"a pass phrase for nothing", []string{"--passphrase-file", wrong}, []string{"without --authority"}},
		{"a grace for nothing", []string{"--grace", "3d"}, []string{"without --authority"}},
		{"a grace that is none", []string{"--authority", plain.Dir, "--grace", "long"}, []string{"--grace", "7d"}},
		{"the name is taken", []string{"--authority", taken.Dir}, []string{"that of a host", "hint: ", "--certificate"}},
		{"an encrypted key", []string{"--authority", locked.Dir}, []string{"cakey.pem is encrypted", "hint: ", "--passphrase-file"}},
		{"an encrypted key in the background", []string{"-D", "--authority", locked.Dir}, []string{"cakey.pem is encrypted", "in the background", "--passphrase-file"}},
		{"a wrong pass phrase", []string{"--authority", locked.Dir, "--passphrase-file", wrong}, []string{"wrong pass phrase"}},
		{"no pass phrase", []string{"--authority", locked.Dir, "--passphrase-file", f.dir + "/absent"}, []string{"--passphrase-file", "absent"}},
		{"an argument for nothing", []string{"/x"}, []string{`no use for the argument "/x"`}},
		{"two directories", []string{"--authority", "/x", "/y"}, []string{`no use for the argument "/y"`}},
		{"two directories, otherwise", []string{"--authority=/x", "/y"}, []string{`no use for the argument "/y"`}},
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

// TestAuthorityStarts has what does: an encrypted key with its pass phrase, a
// certificate of one's own, the directory from the environment or from here.
func TestAuthorityStarts(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	home := t.TempDir()
	plain := newAuthority(t, filepath.Join(home, "CA"), ca.InitOptions{})
	locked := newAuthority(t, filepath.Join(t.TempDir(), "CA"), ca.InitOptions{Passphrase: []byte("secret")})
	pass := filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(pass, []byte("secret\r\nnot this\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, env string
		args      []string
		ca        *ca.CA // whose certificate the server has; nil: that of f
	}{
		{"a pass phrase", "", []string{"--authority", locked.Dir, "--passphrase-file", pass}, locked},
		{"here", "", []string{"--authority"}, plain},
		{"from the environment", locked.Dir, []string{"--authority", "--passphrase-file", pass}, locked},
		{"strict, with a grace", "", []string{"--authority", "--auth", "strict", "--grace", "30d"}, plain},
		{"a certificate of its own", "", f.args("--authority", plain.Dir), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := startIn(t, home, []string{caDirVariable + "=" + c.env}, c.args...)
			leaf := f.alice
			if c.ca != nil {
				leaf = member(t, c.ca, "m"+strings.ReplaceAll(strings.ReplaceAll(c.name, " ", ""), ",", ""), "10.9.0.1")
				if _, err := c.ca.Revoke(time.Now(), leaf.Cert.Subject.CommonName, ""); err != nil { // gives the address free
					t.Fatal(err)
				}
			}
			if _, err := dial(t, "", "127.0.0.1", p.port).shake(leaf); err != nil {
				t.Errorf("a member of the CA has no channel: %v", err)
			}
		})
	}
}

// TestAuthorityKeeps: the server's certificate is renewed while it runs, and taken.
func TestAuthorityKeeps(t *testing.T) {
	t.Parallel()
	c := newAuthority(t, filepath.Join(t.TempDir(), "CA"), ca.InitOptions{})
	p := start(t, "-v", "--authority", c.Dir)
	if _, err := c.Revoke(time.Now(), ca.RendezvousName, ""); err != nil {
		t.Fatal(err)
	}
	p.waitLine("Issued the certificate of the rendezvous server")
	p.waitLine("reading certificates, revocation lists and policy again")
	p.waitLine("read again")
	dial(t, "", "127.0.0.1", p.port).channel(member(t, c, "alice", "10.9.0.1"))
}

// TestAuthorityRotation: after the key of the CA was replaced by another process,
// members with certificates by either key get in, and at last the server has one by
// the new key.
func TestAuthorityRotation(t *testing.T) {
	t.Parallel()
	c := newAuthority(t, filepath.Join(t.TempDir(), "CA"), ca.InitOptions{})
	old := member(t, c, "alice", "10.9.0.1")
	p := start(t, "-v", "--authority", c.Dir)
	if _, err := c.Rotate(time.Now(), rand.Reader, ca.InitOptions{}); err != nil {
		t.Fatal(err)
	}
	p.waitLine("hosts/rdv/ca.pem")
	p.waitLine("read again")
	c, err := ca.Open(c.Dir, ca.Files{})
	if err != nil {
		t.Fatal(err)
	}
	dial(t, "", "127.0.0.1", p.port).open(old)
	out, err := c.Issue(time.Now(), rand.Reader, ca.Request{Name: "alice", Renew: true})
	if err != nil {
		t.Fatal(err)
	}
	id, err := pki.LoadIdentity(out.CertFile, out.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	renewed := &pkitest.Leaf{Cert: id.Chain[0], Key: id.Key, Chain: id.Chain}
	dial(t, "127.0.0.2", "127.0.0.1", p.port).open(renewed)
	p.waitLine("Issued the certificate of the rendezvous server") // alice was the last
	p.waitLine("hosts/rdv/certificate.pem")
	p.waitLine("read again")
	dial(t, "127.0.0.3", "127.0.0.1", p.port).channel(renewed)
}

// TestAuthorityComplains: a certificate that cannot be renewed is said once, and
// again when it was in order meanwhile.
func TestAuthorityComplains(t *testing.T) {
	c := newAuthority(t, filepath.Join(t.TempDir(), "CA"), ca.InitOptions{})
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	a := authOptions{authority: authorityOptions{dir: c.Dir}}
	if err := a.authority.open(&a, time.Now(), false, logger); err != nil {
		t.Fatal(err)
	}
	trust, err := a.load(t.Context(), time.Now(), false, logger, func(msg, hint string) { t.Error(msg, hint) })
	if err != nil || trust == nil {
		t.Fatalf("the server has no trust: %v", err)
	}
	index := c.Files.Index
	count := func() int { return strings.Count(log.String(), "cannot be renewed") }
	keep := func() { a.authority.keep(t.Context(), time.Now(), logger) }
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	keep()
	if count() != 0 {
		t.Fatalf("log %q", &log)
	}
	for want := 1; want <= 2; want++ {
		move(c.Files.Cert, index+".away")
		keep()
		keep()
		if count() != want {
			t.Fatalf("%d complaints, want %d: %s", count(), want, &log)
		}
		move(index+".away", c.Files.Cert)
		keep()
	}
	reload := a.reload(&service.Starting{Log: logger, Warn: func(msg, hint string) { t.Error(msg, hint) }}, rdv.New(rdv.Config{Mode: rdv.Mixed}))
	reload(t.Context())
	if !strings.Contains(log.String(), "read again") {
		t.Errorf("log %q", &log)
	}
}

// TestLocalAuthority: the server gets the list and the bulletin, and none that is not
// there.
func TestLocalAuthority(t *testing.T) {
	if (&authorityOptions{}).serving() != nil {
		t.Error("there is an authority without the option")
	}
	c := newAuthority(t, filepath.Join(t.TempDir(), "CA"), ca.InitOptions{})
	s, err := ca.OpenService(c.Dir, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a := (&authorityOptions{service: s}).serving()
	kinds := func() (kinds []channel.ObjectKind) {
		objects, err := a.Objects(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if len(o.Content) == 0 {
				t.Error("an empty object")
			}
			kinds = append(kinds, o.Kind)
		}
		return kinds
	}
	if got := kinds(); len(got) != 1 || got[0] != channel.CRL {
		t.Errorf("objects %v, want the revocation list", got)
	}
	if _, err := c.Publish(time.Now(), rand.Reader, ""); err != nil {
		t.Fatal(err)
	}
	if got := kinds(); len(got) != 2 || got[1] != channel.Bulletin {
		t.Errorf("objects %v, want the bulletin, too", got)
	}
	if got := a.Answer(time.Now(), netip.AddrPort{}, []byte("hello")); got != nil {
		t.Errorf("an answer to no request: %x", got)
	}
}
