package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
)

// csr makes a signing request.
func csr(t testing.TB, key any, tmpl x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &tmpl, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemCSR, Bytes: der})
}

func TestSign(t *testing.T) {
	c := newCA(t)
	key := pkitest.NewKey(t)
	greedy := csr(t, key, x509.CertificateRequest{
		Subject:     pkix.Name{CommonName: "bob", Organization: []string{"evil"}},
		IPAddresses: []net.IP{net.IPv4(10, 9, 0, 66)},
		DNSNames:    []string{"alice"},
		ExtraExtensions: []pkix.Extension{ // CA:TRUE
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}},
		},
	})
	out, err := c.Sign(now, rand.Reader, greedy, Request{Addrs: addrs("10.9.0.2")})
	if err != nil {
		t.Fatal(err)
	}
	cert := out.Cert
	if cert.Subject.String() != "CN=bob" || cert.IsCA || len(cert.DNSNames) != 0 || fmt.Sprint(addrsOf(cert)) != "[10.9.0.2]" {
		t.Errorf("the certificate has %v, CA %t, %v, %v, want only what the CA allows", cert.Subject, cert.IsCA, cert.DNSNames, cert.IPAddresses)
	}
	if !key.Public().(*ecdsa.PublicKey).Equal(cert.PublicKey) || out.KeyFile != "" {
		t.Errorf("key %v, file %q, want that of the request", cert.PublicKey, out.KeyFile)
	}
	if _, err := os.Stat(filepath.Join(out.Dir, "key.pem")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a key file: %v", err)
	}
	out, err = c.Sign(now, rand.Reader, greedy, Request{Name: "bob2", AddrsFromCSR: true, Addrs: addrs("10.9.0.3")})
	if err != nil || fmt.Sprint(out.Addrs) != "[10.9.0.3 10.9.0.66]" || out.Name != "bob2" {
		t.Errorf("with addresses of the request: %v, %v", out, err)
	}
}

func TestSignRefuses(t *testing.T) {
	c := newCA(t)
	alice := issue(t, c, "alice", "10.9.0.1")
	other := pkitest.NewCA(t, "other", now)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	named := func(name string) x509.CertificateRequest {
		return x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}
	}
	good := csr(t, pkitest.NewKey(t), named("bob"))
	block, _ := pem.Decode(good)
	forged := bytes.Clone(block.Bytes)
	forged[len(forged)-1] ^= 1
	caKey, err := c.key()
	if err != nil {
		t.Fatal(err)
	}
	ip := addrs("10.9.0.2")
	for _, s := range []struct {
		name  string
		data  []byte
		req   Request
		parts []string
	}{
		{"nothing", nil, Request{Addrs: ip}, []string{"neither", "openssl req"}},
		{"key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}}), Request{Addrs: ip}, []string{"neither"}},
		{"large", make([]byte, maxRequest+1), Request{Addrs: ip}, []string{"too large"}},
		{"garbage", pem.EncodeToMemory(&pem.Block{Type: pemCSR, Bytes: []byte{1}}), Request{Addrs: ip}, []string{"signing request"}},
		{"forged", pem.EncodeToMemory(&pem.Block{Type: pemCSR, Bytes: forged}), Request{Addrs: ip}, []string{"does not prove"}},
		{"no name", csr(t, pkitest.NewKey(t), named("")), Request{Addrs: ip}, []string{"needs a name", "--name"}},
		{"bad name", csr(t, pkitest.NewKey(t), named("a/b")), Request{Addrs: ip}, []string{"not usable", "--name"}},
		{"no address", good, Request{}, []string{"--ip"}},
		{"name taken", csr(t, pkitest.NewKey(t), named("alice")), Request{Addrs: ip}, []string{"--renew"}},
		{"address taken", good, Request{Addrs: addrs("10.9.0.1")}, []string{"alice"}},
		{"small key", csr(t, small, named("bob")), Request{Addrs: ip}, []string{"1024 bits", "--force"}},
		{"key of the CA", csr(t, caKey, named("bob")), Request{Addrs: ip}, []string{"the CA itself"}},
		{"certificate of another CA", certPEM(other.Issue(t, "bob").Cert), Request{Addrs: ip}, []string{"not issued by this CA"}},
		{"certificate of the CA", certPEM(c.Cert), Request{Name: "x", Addrs: ip}, []string{"not issued by this CA"}},
		{"broken certificate", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}}), Request{Addrs: ip}, []string{"sign anew"}},
	} {
		out, err := c.Sign(now, rand.Reader, s.data, s.req)
		if out != nil {
			t.Errorf("%s: a certificate was issued", s.name)
		}
		wantError(t, err, s.parts...)
	}
	if _, err := c.Sign(now, rand.Reader, csr(t, small, named("bob")), Request{Addrs: ip, Force: true}); err != nil {
		t.Errorf("small key, forced: %v", err)
	}
	if _, err := c.Revoke(now, "alice", ""); err != nil {
		t.Fatal(err)
	}
	_, err = c.Sign(now, rand.Reader, certPEM(alice.Cert), Request{})
	wantError(t, err, "was revoked", "campagnol ca issue")
}

// TestSignAgain signs a certificate anew: the way from what Campagnol 0.3.5
// took, SHA-1 and no address, to what peers take today, with the key that the
// host has.
func TestSignAgain(t *testing.T) {
	c, err := Init(filepath.Join(t.TempDir(), "CA"), InitOptions{RSA: 2048}, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	caKey, err := c.key()
	if err != nil {
		t.Fatal(err)
	}
	old := pkitest.CAWithCert(c.Cert, caKey, now).IssueKey(t, "alice", pkitest.RSAKey(t), func(t *x509.Certificate) {
		t.SignatureAlgorithm, t.KeyUsage, t.ExtKeyUsage = x509.SHA1WithRSA, 0, nil
		t.NotAfter = now.Add(-time.Minute) // and it has expired
	})
	out, err := c.Sign(now, rand.Reader, certPEM(old.Cert), Request{Addrs: addrs("10.9.0.1")})
	if err != nil {
		t.Fatal(err)
	}
	peer, err := verify(t, out, "")
	if err != nil {
		t.Fatal(err)
	}
	if peer.Name != "alice" || peer.Key != pki.KeyOf(old.Cert) || fmt.Sprint(peer.Addrs) != "[10.9.0.1]" {
		t.Errorf("peer = %+v, want alice with her key and address", peer)
	}
	// Once more: name and addresses come from the certificate.
	again, err := c.Sign(now, rand.Reader, certPEM(out.Cert), Request{})
	if err != nil || fmt.Sprint(again.Addrs) != "[10.9.0.1]" || again.Name != "alice" {
		t.Errorf("again: %+v, %v", again, err)
	}
	_, err = c.Sign(now, rand.Reader, certPEM(old.Cert), Request{Name: "mallory", Addrs: addrs("10.9.0.1")})
	wantError(t, err, "10.9.0.1 belongs to")
}

// A key that lies in the folder of a host must fit the certificate beside it.
func TestSignKeepsKeys(t *testing.T) {
	c := newCA(t)
	first := issue(t, c, "alice", "10.9.0.1")
	firstKey, err := os.ReadFile(first.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	same, err := c.Sign(now, rand.Reader, certPEM(first.Cert), Request{})
	if err != nil || same.KeyFile != first.KeyFile {
		t.Fatalf("signed anew: key file %q, %v, want %q", same.KeyFile, err, first.KeyFile)
	}
	if _, err := pki.LoadIdentity(same.CertFile, same.KeyFile); err != nil {
		t.Error(err)
	}
	request := csr(t, pkitest.NewKey(t), x509.CertificateRequest{Subject: pkix.Name{CommonName: "alice"}})
	out, err := c.Sign(now, rand.Reader, request, Request{Renew: true})
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(first.KeyFile + ".old"); err != nil || !bytes.Equal(kept, firstKey) || out.KeyFile != "" {
		t.Errorf("the old key: %v, key file %q, want it beside, with another name", err, out.KeyFile)
	}
	if !strings.Contains(strings.Join(out.Notes, "\n"), "key.pem.old") {
		t.Errorf("notes = %q, want one about the old key", out.Notes)
	}
}
