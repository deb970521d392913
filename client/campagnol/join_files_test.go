package main

import (
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/conf"
	"campagnol/pki/enroll"
	"campagnol/pki/pkitest"
)

// joinResult returns what an exchange with a CA could bring.
func joinResult(t *testing.T, ca *pkitest.CA, roots ...*x509.Certificate) *enroll.Result {
	t.Helper()
	leaf := ca.Issue(t, "alice", pkitest.Addrs("fd00::1", "10.9.0.1"))
	return &enroll.Result{Key: leaf.Key, Chain: leaf.Chain, Roots: roots, Name: "alice",
		Addrs: []netip.Addr{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("10.9.0.1")}, Network: netip.MustParsePrefix("10.9.0.0/24"), Server: "rdv.example.org:7"}
}

// TestJoinLists names a revocation list only if there is one of every authority:
// otherwise peers of the others would be refused.
func TestJoinLists(t *testing.T) {
	a, b := pkitest.NewCA(t, "A", joinStart), pkitest.NewCA(t, "B", joinStart)
	end := joinStart.AddDate(1, 0, 0)
	for _, c := range []struct {
		name  string
		roots []*x509.Certificate
		lists [][]byte
		sub   bool
		want  bool
	}{
		{"one of the one", []*x509.Certificate{a.Cert}, [][]byte{a.CRL(t, joinStart, end)}, false, true},
		{"none", []*x509.Certificate{a.Cert}, nil, false, false},
		{"one of two", []*x509.Certificate{a.Cert, b.Cert}, [][]byte{a.CRL(t, joinStart, end)}, false, false},
		{"one of each", []*x509.Certificate{a.Cert, b.Cert}, [][]byte{b.CRL(t, joinStart, end), a.CRL(t, joinStart, end)}, false, true},
		{"of another", []*x509.Certificate{a.Cert}, [][]byte{b.CRL(t, joinStart, end)}, false, false},
		{"an intermediate authority", []*x509.Certificate{a.Cert}, [][]byte{a.CRL(t, joinStart, end)}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			issuer := a
			if c.sub {
				issuer = a.Intermediate(t, "Sub")
			}
			r := joinResult(t, issuer, c.roots...)
			r.CRLs = c.lists
			dir := t.TempDir()
			f, err := newJoinFiles(filepath.Join(dir, "c"), filepath.Join(dir, "my vpn"), enroll.ID{1})
			if err != nil {
				t.Fatal(err)
			}
			files, err := f.content(joinStart, r, r.Server)
			if err != nil {
				t.Fatal(err)
			}
			last := files[len(files)-1]
			cfg, problems, err := conf.ParseClient(last.path, last.data)
			if err != nil || len(problems) > 0 || (cfg.CRLFile != "") != c.want || len(files) != map[bool]int{false: 4, true: 5}[c.want] {
				t.Errorf("%d files, crl_file %q, %v, %v, want a list: %t", len(files), cfg.CRLFile, problems, err, c.want)
			}
			if cfg.VPNIP.String() != "10.9.0.1" || cfg.Key != filepath.Join(dir, "my vpn", "key.pem") {
				t.Errorf("address %v, key %q", cfg.VPNIP, cfg.Key)
			}
		})
	}
}

// TestJoinRefusesConfiguration writes nothing that the client could not read.
func TestJoinRefusesConfiguration(t *testing.T) {
	r := joinResult(t, pkitest.NewCA(t, "A", joinStart))
	for name, c := range map[string]struct{ dir, server string }{
		"a line break in a path": {"/tmp/a\nb", "h:1"}, "no port": {"/tmp/a", "h"}, "an IPv6 address": {"/tmp/a", "[2001:db8::1]:1"},
	} {
		f, err := newJoinFiles("/tmp/c", c.dir, enroll.ID{1})
		if err != nil {
			t.Fatal(err)
		}
		text, err := f.configuration(joinStart, r, c.server, "")
		if err == nil {
			cfg, problems, perr := conf.ParseClient("c", []byte(text))
			if perr != nil || len(problems) > 0 || cfg.Key != f.key {
				t.Errorf("%s: %v, %v:\n%s", name, problems, perr, text)
			}
		}
	}
	for domain, good := range map[string]bool{"vpn.internal": true, "vpn.local": false, "a\nb": false} {
		r.Domain = domain
		f, err := newJoinFiles("/tmp/c", "/tmp/a", enroll.ID{1})
		if err != nil {
			t.Fatal(err)
		}
		text, err := f.configuration(joinStart, r, "h:1", "")
		if cfg, _, _ := conf.ParseClient("c", []byte(text)); good != (err == nil) || good && cfg.DNSDomain != domain {
			t.Errorf("the domain %q: %v\n%s", domain, err, text)
		}
	}
	r.Domain = ""
	r.Network = netip.MustParsePrefix("10.8.0.0/24")
	f, err := newJoinFiles("/tmp/c", "/tmp/a", enroll.ID{1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.configuration(joinStart, r, "h:1", ""); err == nil || !strings.Contains(err.Error(), "no address in 10.8.0.0/24") {
		t.Errorf("error %v", err)
	}
}

// TestJoinKey keeps a key from one attempt to the next, and for one token only.
func TestJoinKey(t *testing.T) {
	dir := t.TempDir()
	files := func(id byte) *joinFiles {
		t.Helper()
		f, err := newJoinFiles(filepath.Join(dir, "c"), filepath.Join(dir, "etc"), enroll.ID{id})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	take := func(f *joinFiles) string {
		t.Helper()
		key, err := f.takeKey(&countingReader{})
		if err != nil {
			t.Fatal(err)
		}
		text, err := keyPEM(key)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := take(files(1))
	if take(files(1)) != first {
		t.Error("the second attempt has another key")
	}
	if take(files(2)) == first {
		t.Error("another token has the same key")
	}
	if fi, err := os.Stat(files(1).pending); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v, want mode 0600", fi.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".campagnol-join-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	if err := os.WriteFile(files(1).pending, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := files(1).takeKey(&countingReader{}); err == nil || !strings.Contains(cliText(err), "remove "+files(1).pending) {
		t.Errorf("a broken key: %v", err)
	}
}

// countingReader is a source of bytes; ECDSA keys do not depend on it alone.
type countingReader struct{ n byte }

func (r *countingReader) Read(b []byte) (int, error) {
	for i := range b {
		r.n++
		b[i] = r.n
	}
	return len(b), nil
}

// TestJoinClock writes everything, and does not start what cannot run.
func TestJoinClock(t *testing.T) {
	w := newJoinWorld(t)
	var out strings.Builder
	j := &joiner{tls: tlsOptions{port: defaultFallbackPort}, config: w.config(), dir: w.file(""), now: func() time.Time { return time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC) }, out: &out, err: &out}
	err := j.run(t.Context(), w.invite("alice"))
	if text := cliText(err); !strings.Contains(text, "by the clock of this host it is 1970-01-01") || !strings.Contains(text, "set the clock") {
		t.Errorf("error %q", text)
	}
	if _, _, err := conf.LoadClient(w.config()); err != nil {
		t.Error(err)
	}
}

// TestJoinServers resolves what a token may name.
func TestJoinServers(t *testing.T) {
	for server, want := range map[string]string{"192.0.2.1:7": "192.0.2.1:7", "[2001:db8::1]:7": "[2001:db8::1]:7"} {
		if got, err := joinServers(t.Context(), server); err != nil || addrList(got) != want {
			t.Errorf("%s is %s, %v, want %s", server, addrList(got), err, want)
		}
	}
	for _, bad := range []string{"host", "host:x", "no-such-host.invalid:1"} {
		if got, err := joinServers(t.Context(), bad); err == nil {
			t.Errorf("%s is %v, want an error", bad, got)
		}
	}
}
