package ca

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"campagnol/pki/pkitest"
)

// FuzzApplicant feeds what a stranger sends to be signed.
func FuzzApplicant(f *testing.F) {
	c := newCA(f)
	out := issue(f, c, "alice", "10.9.0.1")
	request := csr(f, pkitest.NewKey(f), x509.CertificateRequest{Subject: pkix.Name{CommonName: "bob"}})
	x, err := c.readIndex()
	if err != nil {
		f.Fatal(err)
	}
	for _, data := range [][]byte{request, certPEM(out.Cert)} {
		b, _ := pem.Decode(data)
		f.Add(b.Bytes, b.Type)
	}
	f.Fuzz(func(t *testing.T, der []byte, typ string) {
		if strings.ContainsAny(typ, "\r\n") {
			t.Skip()
		}
		a, err := c.parseApplicant(x, pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
		if (a == nil) == (err == nil) {
			t.Fatalf("applicant %v, error %v, want one of them", a, err)
		}
		if a == nil {
			return
		}
		// A certificate must be one of this CA; a request proves itself.
		if a.serial != nil && x.find(a.serial) == nil {
			t.Fatalf("a certificate was taken that this CA did not issue: %+v", a)
		}
		_ = c.checkKey(a.key, false)
		_ = checkName(a.name)
	})
}

// FuzzNames checks that no name of a host leads out of its folder or breaks the
// index.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"alice", "..", "a/b", "a\tb", ".x", "-x", "a b", "ü", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkName(name) != nil {
			return
		}
		if name == "" || len(name) > maxCommonName || strings.ContainsAny(name, "/\\\t\n\x00 ") || name[0] == '.' || name[0] == '-' {
			t.Fatalf("the name %q was accepted", name)
		}
		line := (&record{status: statusValid, expires: now, serial: big.NewInt(1), file: "unknown", subject: "/CN=" + name}).append(nil)
		r, err := parseRecord(string(line))
		if err != nil || r.commonName() != name {
			t.Fatalf("the name %q became %+v, %v in the index", name, r, err)
		}
		if _, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, pkitest.NewKey(t)); err != nil {
			t.Fatalf("the name %q does not go into a certificate: %v", name, err)
		}
	})
}
