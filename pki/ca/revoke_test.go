package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
)

func TestRevoke(t *testing.T) {
	c := newCA(t)
	alice, bob := issue(t, c, "alice", "10.9.0.1"), issue(t, c, "bob", "10.9.0.2")
	carl, dora := issue(t, c, "carl", "10.9.0.3"), issue(t, c, "dora", "10.9.0.4")
	for _, r := range []struct {
		which, reason string
		want          *Issued
	}{
		{"alice", "keycompromise", alice},
		{formatSerial(bob.Cert.SerialNumber), "", bob},
		{strings.ToLower(formatSerial(carl.Cert.SerialNumber)), "superseded", carl},
	} {
		got, err := reopen(t, c).Revoke(now, r.which, r.reason)
		if err != nil || len(got) != 1 || got[0].Name != r.want.Name || got[0].Status != Revoked || !got[0].Revoked.Equal(now) {
			t.Fatalf("revoke %s = %+v, %v", r.which, got, err)
		}
	}
	if _, err := c.Revoke(now, dora.CertFile, ""); err != nil {
		t.Fatal(err)
	}
	l, err := c.CRL(now, rand.Reader, 30)
	if err != nil {
		t.Fatal(err)
	}
	if l.Revoked != 4 || l.Number.Int64() != 2 || l.File != c.Files.CRL || !l.Next.Equal(now.AddDate(0, 0, 30)) {
		t.Errorf("list = %+v", l)
	}
	for _, out := range []*Issued{alice, bob, carl, dora} {
		_, err := verify(t, out, l.File)
		var r *pki.Refusal
		if !errors.As(err, &r) || r.Reason != pki.Revoked {
			t.Errorf("%s: %v, want Revoked", out.Name, err)
		}
	}
	_, err = verify(t, alice, l.File)
	if err == nil || !strings.Contains(err.Error(), "keyCompromise") {
		t.Errorf("error = %v, want the reason", err)
	}
	if _, err := verify(t, issue(t, c, "eve", "10.9.0.5"), l.File); err != nil {
		t.Error(err)
	}
}

func TestRevokeErrors(t *testing.T) {
	c := newCA(t)
	alice := issue(t, c, "alice", "10.9.0.1")
	foreign := pkitest.NewCA(t, "other", now).Issue(t, "alice")
	foreignFile, _ := foreign.WriteFiles(t, t.TempDir())
	// A host whose name is the serial number of another.
	issue(t, c, formatSerial(alice.Cert.SerialNumber), "10.9.0.2")
	for _, r := range []struct {
		which, reason string
		parts         []string
	}{
		{"nobody", "", []string{"no certificate with the name or serial number \"nobody\"", "ca list"}},
		{"alice", "because", []string{"not a reason", "keyCompromise"}},
		{"none.pem", "", []string{"none.pem", "no such file"}},
		{foreignFile, "", []string{"not issued by this CA"}},
		{formatSerial(alice.Cert.SerialNumber), "", []string{"serial number of a certificate and the name of a host", c.Files.Certs}},
	} {
		got, err := c.Revoke(now, r.which, r.reason)
		if got != nil {
			t.Errorf("%s: revoked %v", r.which, got)
		}
		wantError(t, err, r.parts...)
	}
	if _, err := c.Revoke(now, "alice", ""); err != nil {
		t.Fatal(err)
	}
	_, err := c.Revoke(now, "alice", "")
	wantError(t, err, "revoked on 2026-03-01 already")
	issue(t, c, "alice", "10.9.0.1")
	if _, err := c.Revoke(now, "alice", ""); err != nil {
		t.Fatal(err)
	}
	_, err = c.Revoke(now, "alice", "")
	wantError(t, err, "no valid certificate")
	// Signed by the CA, and lost from the index.
	key, err := c.key()
	if err != nil {
		t.Fatal(err)
	}
	lost := pkitest.CAWithCert(c.Cert, key, now).Issue(t, "lost")
	lostFile, _ := lost.WriteFiles(t, t.TempDir())
	_, err = c.Revoke(now, lostFile, "")
	wantError(t, err, "not in its index", "backup")
}

func TestListAndShow(t *testing.T) {
	c := newCA(t)
	issue(t, c, "alice", "10.9.0.1", "fd00::1")
	bob := issue(t, c, "bob", "10.9.0.2")
	if _, err := c.Issue(now, rand.Reader, Request{Name: "short", Addrs: addrs("10.9.0.3"), Days: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Revoke(now, "bob", "superseded"); err != nil {
		t.Fatal(err)
	}
	later := now.Add(48 * time.Hour)
	list, err := reopen(t, c).List(later)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, fmt.Sprintf("%s %s %v %s %s", e.Name, e.Status, e.Addrs, e.Reason, e.Subject))
		if e.File != c.certFile(e.Serial) {
			t.Errorf("file of %s = %q", e.Name, e.File)
		}
	}
	want := []string{"alice valid [10.9.0.1 fd00::1]  /CN=alice", "bob revoked [10.9.0.2] superseded /CN=bob", "short expired [10.9.0.3]  /CN=short"}
	if !slices.Equal(got, want) {
		t.Errorf("list = %q, want %q", got, want)
	}
	show, err := c.Show(later, "bob")
	if err != nil || len(show) != 1 {
		t.Fatalf("show = %v, %v", show, err)
	}
	d := show[0]
	if d.Key != "ECDSA, P-256" || d.KeyID != pki.KeyOf(bob.Cert) || d.Signature != "ECDSA-SHA256" || !d.NotBefore.Equal(now.Add(-time.Hour)) ||
		fmt.Sprint(d.Usage) != "[digitalSignature keyAgreement clientAuth serverAuth]" || d.Status != Revoked {
		t.Errorf("details = %+v", d)
	}
	// The file of the certificate is lost; the index still knows.
	if err := os.Remove(d.File); err != nil {
		t.Fatal(err)
	}
	show, err = reopen(t, c).Show(later, d.Serial)
	if err != nil || len(show) != 1 || show[0].Name != "bob" || show[0].File != "" || show[0].Cert != nil {
		t.Errorf("without file: %+v, %v", show, err)
	}
	_, err = c.Show(later, "nobody")
	wantError(t, err, "nobody")
}

func TestKeyNames(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if got := keyName(p384.Public()); got != "ECDSA, P-384" {
		t.Errorf("P-384 = %q", got)
	}
	if got := keyName(pkitest.RSAKey(t).Public()); got != "RSA, 2048 bits" {
		t.Errorf("RSA = %q", got)
	}
	if got := keyName(1); got != "unknown" {
		t.Errorf("1 = %q", got)
	}
}
