package pki

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

func identityOf(t testing.TB, leaf *pkitest.Leaf) *Identity {
	t.Helper()
	id, err := NewIdentity(leaf.Chain, leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// longer makes a certificate end a year later.
func longer(c *x509.Certificate) { c.NotAfter = c.NotAfter.AddDate(1, 0, 0) }

func TestCheckRenewal(t *testing.T) {
	root, other := pkitest.NewCA(t, "root", now), pkitest.NewCA(t, "other", now)
	sub := root.Intermediate(t, "sub")
	bob := root.Issue(t, "bob", pkitest.Addrs("10.9.0.2", "fd00::2"))
	revoked := root.IssueKey(t, "bob", bob.Key, pkitest.Addrs("10.9.0.2", "fd00::2"), longer)
	p, err := NewPolicy([]*x509.Certificate{root.Cert}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	p = p.WithLists([]*List{parsedList(t, numbered(t, root, 1, now, revoked.Cert))})
	addrs := pkitest.Addrs("fd00::2", "10.9.0.2")
	for _, c := range []struct {
		name string
		leaf *pkitest.Leaf
		want string // "": good
	}{
		{"the same key", root.IssueKey(t, "bob", bob.Key, addrs, longer), ""},
		{"a new key", root.Issue(t, "bob", addrs, longer), ""},
		{"by an intermediate authority", sub.Issue(t, "bob", addrs, longer), ""},
		{"another name", root.Issue(t, "eve", addrs, longer), "another name than CN=bob"},
		{"more in the name", root.Issue(t, "bob", addrs, longer, func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "bob", Organization: []string{"x"}} }), "another name"},
		{"another address", root.Issue(t, "bob", pkitest.Addrs("10.9.0.3", "fd00::2"), longer), "it names the addresses"},
		{"one address less", root.Issue(t, "bob", pkitest.Addrs("10.9.0.2"), longer), "it names the addresses"},
		{"one address more", root.Issue(t, "bob", pkitest.Addrs("10.9.0.2", "fd00::2", "10.9.0.3"), longer), "it names the addresses"},
		{"not longer", root.Issue(t, "bob", addrs), "it ends on"},
		{"not valid yet", root.Issue(t, "bob", addrs, longer, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) }), "not valid before"},
		{"of another authority", other.Issue(t, "bob", addrs, longer), "issuer CN=other"},
		{"a server's", root.Issue(t, "bob", addrs, longer, func(c *x509.Certificate) { c.URIs = []*url.URL{RendezvousURI()} }), "another role"},
		{"for clients only", root.Issue(t, "bob", addrs, longer, pkitest.ExtUsage(x509.ExtKeyUsageClientAuth)), "does not allow the role of DTLS server"},
		{"revoked", revoked, "revoked"},
	} {
		err := p.CheckRenewal(now, identityOf(t, bob), identityOf(t, c.leaf))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// loadPair loads an identity, of which a key and a certificate must belong together.
func loadPair(t *testing.T, cert, key string) *Identity {
	t.Helper()
	id, err := LoadIdentity(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestReplace(t *testing.T) {
	for _, c := range []struct {
		name           string
		newKey, joined bool
	}{{"the same key", false, false}, {"a new key", true, false}, {"one file", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			root := pkitest.NewCA(t, "root", now)
			sub := root.Intermediate(t, "sub")
			bob := root.Issue(t, "bob")
			cert, key := bob.WriteFiles(t, dir)
			if c.joined {
				text := readFile(t, key) + readFile(t, cert)
				cert = key
				if err := os.WriteFile(key, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(cert, 0o640); err != nil {
				t.Fatal(err)
			}
			id := loadPair(t, cert, key)
			next := sub.IssueKey(t, "bob", bob.Key, longer)
			if c.newKey {
				next = sub.Issue(t, "bob", longer)
			}
			keyBefore := readFile(t, key)
			if err := id.Replace(identityOf(t, next)); err != nil {
				t.Fatal(err)
			}
			got := loadPair(t, cert, key)
			if !got.Chain[0].Equal(next.Cert) || len(got.Chain) != 2 || !sameKey(next.Cert, got.Key) {
				t.Errorf("%d certificates, %v", len(got.Chain), got.Chain[0].Subject)
			}
			if same := readFile(t, key) == keyBefore; same == c.newKey {
				t.Errorf("the key file is the same: %v", same)
			}
			if n := strings.Count(readFile(t, key), "PRIVATE KEY-----"); n != 2 {
				t.Errorf("%d lines about keys in the key file, want 2: one key", n)
			}
			if info, err := os.Stat(cert); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("permissions %v, %v", info.Mode(), err)
			}
		})
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestReplaceCrash: wherever the power fails while a certificate with a new key is
// written, there is a pair that works.
func TestReplaceCrash(t *testing.T) {
	dir := t.TempDir()
	root := pkitest.NewCA(t, "root", now)
	old, next := root.Issue(t, "bob"), root.Issue(t, "bob", longer)
	cert, key := old.WriteFiles(t, dir)
	id := loadPair(t, cert, key)

	// The certificate cannot be replaced: its name is that of a folder.
	broken := *id
	broken.CertFile = filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(broken.CertFile, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := broken.Replace(identityOf(t, next)); err == nil {
		t.Fatal("a folder was replaced")
	}
	if got := loadPair(t, cert, key); !got.Chain[0].Equal(old.Cert) {
		t.Error("after the first step the old pair does not work")
	}
	// As after a crash behind the certificate.
	pkitest.Write(t, cert, "CERTIFICATE", next.Raw()...)
	got := loadPair(t, cert, key)
	if !got.Chain[0].Equal(next.Cert) || !sameKey(next.Cert, got.Key) {
		t.Error("after the second step the new pair does not work")
	}
	// The next renewal clears up.
	after := root.IssueKey(t, "bob", next.Key, longer, longer)
	if err := got.Replace(identityOf(t, after)); err != nil {
		t.Fatal(err)
	}
	loadPair(t, cert, key)
	for name, bad := range map[string]Identity{
		"no certificate": {Chain: id.Chain, Key: id.Key, CertFile: filepath.Join(dir, "absent"), KeyFile: key},
		"no key":         {Chain: id.Chain, Key: id.Key, CertFile: cert, KeyFile: filepath.Join(dir, "absent")},
	} {
		if err := bad.Replace(identityOf(t, next)); err == nil {
			t.Errorf("%s: replaced", name)
		}
	}
}

// TestSeveralKeys: the key that belongs to the certificate is used; what is behind the
// first key and cannot be read does not matter.
func TestSeveralKeys(t *testing.T) {
	dir := t.TempDir()
	root := pkitest.NewCA(t, "root", now)
	bob := root.Issue(t, "bob")
	cert, _ := bob.WriteFiles(t, dir)
	block := func(key crypto.Signer) string {
		b, err := keyPEM(key)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	own, other := block(bob.Key), block(pkitest.NewKey(t))
	noise := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("noise")}))
	locked := string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("noise")}))
	for i, c := range []struct {
		text string
		want string // "": loaded
	}{
		{own, ""}, {other + own, ""}, {own + other, ""}, {own + noise, ""}, {other + locked + own, ""},
		{other, "does not belong to the certificate"}, {other + other, "does not belong"},
		{noise + own, "not a private key"}, {locked + own, "encrypted"},
	} {
		path := filepath.Join(dir, fmt.Sprint(i, ".key"))
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadIdentity(cert, path)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d: %v, want %q", i, err, c.want)
		}
	}
}
