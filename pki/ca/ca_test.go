package ca

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/pki"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func addrs(s ...string) []netip.Addr {
	var as []netip.Addr
	for _, a := range s {
		as = append(as, netip.MustParseAddr(a))
	}
	return as
}

// newCA makes a CA in a new directory.
func newCA(t testing.TB) *CA {
	t.Helper()
	c, err := Init(filepath.Join(t.TempDir(), "CA"), InitOptions{}, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reopen opens the directory of c again, so that nothing comes from memory.
func reopen(t testing.TB, c *CA) *CA {
	t.Helper()
	c, err := Open(c.Dir, Files{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func issue(t testing.TB, c *CA, name string, ips ...string) *Issued {
	t.Helper()
	out, err := c.Issue(now, rand.Reader, Request{Name: name, Addrs: addrs(ips...)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wantError checks that error and hint together contain all of the parts.
func wantError(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	text := err.Error() + "\n" + hint(err)
	for _, part := range append(parts, "ca: ") {
		if !strings.Contains(text, part) {
			t.Errorf("error and hint = %q, want them to contain %q", text, part)
		}
	}
}

// verify lets package pki decide about the files of a host.
func verify(t testing.TB, out *Issued, crlFile string) (*pki.Peer, error) {
	t.Helper()
	p, err := pki.LoadPolicy(pki.PolicyConfig{CAFile: out.CAFile, CRLFile: crlFile}, now)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := pki.LoadCertificates(out.CertFile)
	if err != nil {
		t.Fatal(err)
	}
	var raw [][]byte
	for _, c := range certs {
		raw = append(raw, c.Raw)
	}
	if peer, err := p.Verify(now, raw, pki.Server); err != nil {
		return peer, err
	}
	return p.Verify(now, raw, pki.Client)
}

func wantMode(t testing.TB, path string, mode os.FileMode) {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Perm() != mode {
		t.Errorf("%s has mode %v, want %v", path, fi.Mode().Perm(), mode)
	}
}

func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "CA")
	c, err := Init(dir, InitOptions{Name: "Our VPN", Days: 100}, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := c.Cert
	if cert.Subject.CommonName != "Our VPN" || !cert.IsCA || !cert.MaxPathLenZero || cert.SignatureAlgorithm != x509.ECDSAWithSHA256 ||
		cert.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || cert.SerialNumber.BitLen() < 64 || cert.SerialNumber.BitLen() > 128 {
		t.Errorf("certificate = %+v", cert)
	}
	if !cert.NotBefore.Equal(now.Add(-time.Hour)) || !cert.NotAfter.Equal(now.AddDate(0, 0, 100)) {
		t.Errorf("valid from %v to %v", cert.NotBefore, cert.NotAfter)
	}
	wantMode(t, dir, 0o700)
	wantMode(t, filepath.Join(dir, "private"), 0o700)
	wantMode(t, filepath.Join(dir, "private", "cakey.pem"), 0o600)
	wantMode(t, filepath.Join(dir, "cacert.pem"), 0o644)
	list, err := reopen(t, c).List(now)
	if err != nil || len(list) != 0 {
		t.Errorf("list = %v, %v, want an empty one", list, err)
	}
	// The revocation list is there from the start, so that hosts can name it.
	out := issue(t, c, "alice", "10.9.0.1")
	if _, err := verify(t, out, c.Files.CRL); err != nil {
		t.Error(err)
	}
}

func TestInitRefuses(t *testing.T) {
	for name, opts := range map[string]InitOptions{
		"small key": {RSA: 1024}, "large key": {RSA: 16384}, "slash": {Name: "a/b"}, "newline": {Name: "a\nb"},
		"long name": {Name: strings.Repeat("x", 65)}, "days": {Days: -1}, "many days": {Days: 100000},
	} {
		dir := filepath.Join(t.TempDir(), "CA")
		if _, err := Init(dir, opts, now, rand.Reader); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: the directory was made all the same", name)
		}
	}
}

func TestInitNeverOverwrites(t *testing.T) {
	for _, name := range []string{"cacert.pem", "private/cakey.pem", "index.txt", "openssl.cnf", "ca.crt", "private/ca.key"} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Init(dir, InitOptions{}, now, rand.Reader)
		wantError(t, err, path, "never overwritten", "--dir")
		if got, err := os.ReadFile(path); string(got) != "precious" {
			t.Errorf("%s = %q, %v", name, got, err)
		}
	}
	if _, err := Init("/dev/null/x", InitOptions{}, now, rand.Reader); err == nil {
		t.Error("a CA below a file")
	}
}

func TestInitRSAEncrypted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "CA")
	c, err := Init(dir, InitOptions{RSA: 2048, Passphrase: []byte("secret")}, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Cert.PublicKey.(*rsa.PublicKey); !ok || c.Cert.SignatureAlgorithm != x509.SHA256WithRSA {
		t.Errorf("key %T, signature %v, want RSA", c.Cert.PublicKey, c.Cert.SignatureAlgorithm)
	}
	c = reopen(t, c)
	req := Request{Name: "alice", Addrs: addrs("10.9.0.1")}
	_, err = c.Issue(now, rand.Reader, req)
	wantError(t, err, "encrypted", "nobody to ask", "cakey.pem")
	c.Passphrase = func(path string) ([]byte, error) {
		if path != c.Files.Key {
			t.Errorf("asked for %s, want %s", path, c.Files.Key)
		}
		return []byte("wrong"), nil
	}
	_, err = c.Issue(now, rand.Reader, req)
	wantError(t, err, "wrong pass phrase")
	if list, _ := c.List(now); len(list) != 0 {
		t.Errorf("list = %v, want nothing issued", list)
	}
	c.Passphrase = func(string) ([]byte, error) { return []byte("secret"), nil }
	out, err := c.Issue(now, rand.Reader, req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify(t, out, ""); err != nil {
		t.Error(err)
	}
}

// TestConcurrent issues from several goroutines, as several processes would do.
func TestConcurrent(t *testing.T) {
	c := newCA(t)
	const workers = 6
	var wg sync.WaitGroup
	errs := make([]error, 2*workers)
	for i := range workers {
		mine := reopen(t, c)
		wg.Go(func() {
			_, errs[i] = mine.Issue(now, rand.Reader, Request{Name: fmt.Sprint("host", i), Addrs: addrs(fmt.Sprint("10.9.0.", i+1))})
			// All want this one; one gets it.
			_, errs[workers+i] = mine.Issue(now, rand.Reader, Request{Name: fmt.Sprint("rival", i), Addrs: addrs("10.9.1.1")})
		})
	}
	wg.Wait()
	rivals := 0
	for i, err := range errs {
		if i < workers && err != nil {
			t.Error(err)
		}
		if i >= workers && err == nil {
			rivals++
		}
	}
	if rivals != 1 {
		t.Errorf("%d rivals got the address, want 1", rivals)
	}
	list, err := c.List(now)
	if err != nil || len(list) != workers+1 {
		t.Errorf("%d certificates, %v, want %d", len(list), err, workers+1)
	}
}
