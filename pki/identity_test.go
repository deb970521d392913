package pki

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

// wantError checks that err contains all of the parts.
func wantError(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error = %q, want it to contain %q", err, part)
		}
	}
}

func TestLoadIdentity(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	sub := root.Intermediate(t, "sub")
	leaf := sub.Issue(t, "me", pkitest.Addrs("10.9.0.1"))
	certFile, keyFile := leaf.WriteFiles(t, t.TempDir())
	id, err := LoadIdentity(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if id.CertFile != certFile || id.KeyFile != keyFile || len(id.Chain) != 2 || !id.Chain[0].Equal(leaf.Cert) || !sameKey(leaf.Cert, id.Key) {
		t.Errorf("identity = %+v, want that of the files", id)
	}
	tc := id.TLS()
	if len(tc.Certificate) != 2 || string(tc.Certificate[1]) != string(sub.Cert.Raw) || tc.Leaf != id.Chain[0] || tc.PrivateKey != id.Key {
		t.Errorf("TLS certificate = %+v, want the chain and the key", tc)
	}
	if err := id.Check(now); err != nil {
		t.Error(err)
	}
	if w := id.Warnings(now); len(w) != 0 {
		t.Errorf("warnings = %q, want none", w)
	}
}

// Keys come in three encodings, for three algorithms, among other blocks.
func TestLoadKey(t *testing.T) {
	rsaKey := pkitest.RSAKey(t).(*rsa.PrivateKey)
	ecKey := pkitest.NewKey(t).(*ecdsa.PrivateKey)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	sec1, err := x509.MarshalECPrivateKey(ecKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, label string
		der         []byte
		want        interface{ Equal(any) bool }
	}{
		{"PKCS #8 RSA", "PRIVATE KEY", pkcs8(rsaKey), equalKey{rsaKey}},
		{"PKCS #8 ECDSA", "PRIVATE KEY", pkcs8(ecKey), equalKey{ecKey}},
		{"PKCS #8 Ed25519", "PRIVATE KEY", pkcs8(edKey), equalKey{edKey}},
		{"PKCS #1", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey), equalKey{rsaKey}},
		{"SEC 1", "EC PRIVATE KEY", sec1, equalKey{ecKey}},
		{"wrong label", "RSA PRIVATE KEY", sec1, equalKey{ecKey}},
	} {
		path := filepath.Join(t.TempDir(), "key")
		pkitest.Write(t, path, c.label, c.der)
		// What "openssl ecparam -genkey" writes before the key.
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		params := "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
		if err := os.WriteFile(path, append([]byte("some text\n"+params), content...), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := LoadKey(path)
		if err != nil || !c.want.Equal(got) {
			t.Errorf("%s: %v, want the key", c.name, err)
		}
	}
}

// equalKey compares private keys of any kind.
type equalKey struct{ key any }

func (k equalKey) Equal(other any) bool {
	switch k := k.key.(type) {
	case *rsa.PrivateKey:
		o, ok := other.(*rsa.PrivateKey)
		return ok && k.Equal(o)
	case *ecdsa.PrivateKey:
		o, ok := other.(*ecdsa.PrivateKey)
		return ok && k.Equal(o)
	case ed25519.PrivateKey:
		o, ok := other.(ed25519.PrivateKey)
		return ok && k.Equal(o)
	}
	return false
}

func TestLoadIdentityErrors(t *testing.T) {
	dir := t.TempDir()
	root := pkitest.NewCA(t, "root", now)
	me, you := root.Issue(t, "me"), root.Issue(t, "you")
	cert, key := me.WriteFiles(t, dir)
	_, yourKey := you.WriteFiles(t, dir)
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	der := func(b []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	turned := filepath.Join(dir, "turned.pem")
	pkitest.Write(t, turned, "CERTIFICATE", root.Cert.Raw, me.Cert.Raw)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	trusted := filepath.Join(dir, "trusted.pem")
	pkitest.Write(t, trusted, "TRUSTED CERTIFICATE", me.Cert.Raw)
	leafFile := func(l *pkitest.Leaf) [2]string {
		c, k := l.WriteFiles(t, t.TempDir())
		return [2]string{c, k}
	}
	for _, c := range []struct {
		name  string
		files [2]string
		parts []string
	}{
		{"no certificate file", [2]string{filepath.Join(dir, "none"), key}, []string{"pki:", "none", "no such file"}},
		{"no key file", [2]string{cert, filepath.Join(dir, "none")}, []string{"none", "no such file"}},
		{"empty", [2]string{file("empty", ""), key}, []string{"empty"}},
		{"text", [2]string{file("text", "hello"), key}, []string{"no PEM block"}},
		{"certificate in DER", [2]string{file("c.der", string(me.Cert.Raw)), key}, []string{"openssl x509 -inform DER", "c.der"}},
		{"key in DER", [2]string{cert, file("k.der", der(x509.MarshalPKCS8PrivateKey(p384)))}, []string{"openssl pkey -inform DER"}},
		{"list in DER", [2]string{file("l.der", string(root.CRL(t, now, now))), key}, []string{"openssl crl -inform DER"}},
		{"PKCS #12 or so", [2]string{file("x.p12", "0\x82\x01\x02"), key}, []string{"openssl pkcs12"}},
		{"key instead of certificate", [2]string{key, key}, []string{"no certificate in this file", `"PRIVATE KEY"`}},
		{"certificate instead of key", [2]string{cert, cert}, []string{"no private key", `"CERTIFICATE"`}},
		{"broken certificate", [2]string{file("b.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), key}, []string{"block 1"}},
		{"broken key", [2]string{cert, file("b.key", "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n")}, []string{"not a private key"}},
		{"trusted certificate", [2]string{trusted, key}, []string{"TRUSTED", "openssl x509"}},
		{"other key", [2]string{cert, yourKey}, []string{"does not belong", "CN=me", "you.key"}},
		{"wrong order", [2]string{turned, key}, []string{"certificate 2", "must come first"}},
		{"encrypted PKCS #8", [2]string{cert, file("e8", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n")}, []string{"encrypted", "openssl pkey -in"}},
		{"encrypted PKCS #1", [2]string{cert, file("e1", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,0\n\nMAA=\n-----END RSA PRIVATE KEY-----\n")}, []string{"encrypted", "umask 077"}},
		{"SHA-1", leafFile(root1(t, "me")), []string{"our own", "SHA1", "campagnol ca sign"}},
		{"key usage", leafFile(root.Issue(t, "me", pkitest.Usage(x509.KeyUsageKeyEncipherment))), []string{"digitalSignature"}},
		{"extended key usage", leafFile(root.Issue(t, "me", pkitest.ExtUsage(x509.ExtKeyUsageCodeSigning))), []string{"neither TLS clients nor"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, err := LoadIdentity(c.files[0], c.files[1])
			if id != nil {
				t.Error("an identity was returned")
			}
			wantError(t, err, append(c.parts, "pki: ")...)
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has several lines: %q", err)
			}
		})
	}
	if _, err := NewIdentity(nil, me.Key); err == nil {
		t.Error("an identity without certificate was accepted")
	}
}

// A root that came along in the file does not matter, however old it is.
func TestIdentityWithRoot(t *testing.T) {
	root := pkitest.NewCAWithKey(t, "root", now, pkitest.RSAKey(t), func(c *x509.Certificate) {
		c.SignatureAlgorithm = x509.SHA1WithRSA
		c.NotAfter = now.Add(-time.Minute)
	})
	leaf := root.Issue(t, "me")
	id, err := NewIdentity(append(leaf.Chain, root.Cert), leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Check(now); err != nil {
		t.Error(err)
	}
}

func TestIdentityCheck(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	for _, c := range []struct {
		name     string
		from, to time.Duration
		parts    []string
	}{
		{"expired", -2 * time.Hour, -time.Hour, []string{"our own certificate CN=me", "expired on 2026-03-01 11:00:00 UTC"}},
		{"not yet valid", time.Hour, 2 * time.Hour, []string{"not valid before 2026-03-01 13:00:00 UTC", "clocks"}},
	} {
		leaf := root.Issue(t, "me", pkitest.Valid(now.Add(c.from), now.Add(c.to)))
		certFile, keyFile := leaf.WriteFiles(t, t.TempDir())
		id, err := LoadIdentity(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, id.Check(now), append(c.parts, certFile)...)
	}
	late := root.Intermediate(t, "late", pkitest.Valid(now.Add(-2*time.Hour), now.Add(-time.Hour)))
	leaf := late.Issue(t, "me")
	id, err := NewIdentity(leaf.Chain, leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, id.Check(now), "CN=late", "expired")
}

func TestIdentityWarnings(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	root := pkitest.NewCA(t, "root", now)
	addr := pkitest.Addrs("10.9.0.1")
	for _, c := range []struct {
		name  string
		leaf  *pkitest.Leaf
		mode  os.FileMode
		parts []string // one per warning
	}{
		{"fine", root.Issue(t, "me", addr), 0o600, nil},
		{"key that the group may change", root.Issue(t, "me", addr), 0o660, []string{"mode 0660"}},
		{"key for the world", root.Issue(t, "me", addr), 0o644, []string{"chmod 600"}},
		{"expires soon", root.Issue(t, "me", addr, pkitest.Valid(now.AddDate(-1, 0, 0), now.Add(10*24*time.Hour+time.Minute))), 0o600, []string{"in 10 days"}},
		{"is for a day", root.Issue(t, "me", addr, pkitest.Valid(now.Add(-17*time.Hour), now.Add(7*time.Hour))), 0o600, nil},
		{"expires later", root.Issue(t, "me", addr, pkitest.Valid(now, now.Add(31*24*time.Hour))), 0o600, nil},
		{"client only", root.Issue(t, "me", addr, pkitest.ExtUsage(x509.ExtKeyUsageClientAuth)), 0o600, []string{"DTLS server: peers refuse us when they"}},
		{"server only", root.Issue(t, "me", addr, pkitest.ExtUsage(x509.ExtKeyUsageServerAuth)), 0o600, []string{"DTLS client: peers refuse the connections"}},
		{"no address", root.Issue(t, "me"), 0o600, []string{"names no VPN address"}},
		{"small key", root.IssueKey(t, "me", small, addr), 0o600, []string{"1024 bits"}},
		{"two", root.Issue(t, "me"), 0o604, []string{"mode 0604", "names no VPN address"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			certFile, keyFile := c.leaf.WriteFiles(t, t.TempDir())
			if err := os.Chmod(keyFile, c.mode); err != nil {
				t.Fatal(err)
			}
			id, err := LoadIdentity(certFile, keyFile)
			if err != nil {
				t.Fatal(err)
			}
			got := id.Warnings(now)
			if len(got) != len(c.parts) {
				t.Fatalf("warnings = %q, want %d", got, len(c.parts))
			}
			for i, part := range c.parts {
				if !strings.Contains(got[i], part) {
					t.Errorf("warning %q, want it to contain %q", got[i], part)
				}
			}
		})
	}
}

func FuzzParseKey(f *testing.F) {
	key := pkitest.NewKey(f).(*ecdsa.PrivateKey)
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sec1)
	// An RSA key would not do as a seed: its primes are tested, which takes
	// long when they are none.
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pkcs8)
	f.Fuzz(func(t *testing.T, der []byte) {
		if key, err := ParseKey(der); (key == nil) == (err == nil) {
			t.Fatalf("key %v, error %v, want one of them", key, err)
		}
	})
}
