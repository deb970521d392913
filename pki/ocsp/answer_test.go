package ocsp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"

	"golang.org/x/crypto/ocsp"
)

// TestAnswer reads answers that count.
func TestAnswer(t *testing.T) {
	root := pkitest.NewCA(t, "root", began)
	sub := root.Intermediate(t, "sub")
	rsaCA := pkitest.NewCAWithKey(t, "rsa", began, pkitest.RSAKey(t))
	hour := began.Add(time.Hour)
	for _, c := range []struct {
		name string
		ca   *pkitest.CA
		says says
		want status
		end  time.Time
	}{
		{"good", root, says{status: ocsp.Good, this: began, next: hour}, good, hour},
		{"revoked", root, says{status: ocsp.Revoked, this: began, next: hour, at: began.Add(-time.Minute)}, revoked, hour},
		{"unknown", root, says{status: ocsp.Unknown, this: began, next: hour}, unknown, hour},
		{"no end", root, says{status: ocsp.Good, this: began}, good, began.Add(openLife)},
		{"RSA", rsaCA, says{status: ocsp.Good, this: began, next: hour}, good, hour},
		{"with the issuer's certificate", root, says{this: began, next: hour, beside: root.Cert}, good, hour},
		{"by an intermediate authority", sub, says{this: began, next: hour}, good, hour},
		{"by one, with its certificate", sub, says{this: began, next: hour, beside: sub.Cert}, good, hour},
		{"names hashed with SHA-256", root, says{this: began, next: hour, hash: crypto.SHA256}, good, hour},
		{"names hashed with SHA-512", root, says{this: began, next: hour, hash: crypto.SHA512}, good, hour},
		{"a fast clock", root, says{this: began.Add(clockSkew), next: hour}, good, hour},
		{"a slow clock", root, says{this: began.Add(-time.Hour), next: began.Add(-clockSkew)}, good, began.Add(-clockSkew)},
	} {
		leaf := c.ca.Issue(t, "alice", named(address))
		a, err := parseAnswer(began, c.says.answer(t, c.ca, leaf.Cert), leaf.Cert, c.ca.Cert)
		if err != nil || a.status != c.want || !a.end().Equal(c.end) || !a.thisUpdate.Equal(c.says.this) || !a.revokedAt.Equal(c.says.at) {
			t.Errorf("%s: %+v, %v, want status %d, end %v", c.name, a, err, c.want, c.end)
		}
	}
}

// TestDelegated reads answers that somebody else signs for the issuer: a responder
// may, and nobody else.
func TestDelegated(t *testing.T) {
	root := pkitest.NewCA(t, "root", began)
	leaf := root.Issue(t, "alice", named(address))
	twin := pkitest.NewCA(t, "root", began)
	other := pkitest.NewCA(t, "other", began)
	sub := root.Intermediate(t, "sub")
	for _, c := range []struct {
		name   string
		signer *pkitest.Leaf
		want   string // "": accepted
	}{
		{"a responder", delegated(t, root), ""},
		{"a responder with RSA", root.IssueKey(t, "responder", pkitest.RSAKey(t), pkitest.ExtUsage(x509.ExtKeyUsageOCSPSigning)), ""},
		{"a member", root.Issue(t, "mallory"), "is no responder"},
		{"the member itself", leaf, "is no responder"},
		{"a member without usages", root.Issue(t, "mallory", pkitest.ExtUsage()), "is no responder"},
		{"a member for anything", root.Issue(t, "mallory", pkitest.ExtUsage(x509.ExtKeyUsageAny)), "is no responder"},
		{"a responder of another authority", delegated(t, other), "not from the issuer"},
		{"one of an authority with the same name", delegated(t, twin), "has not signed"},
		{"one of an authority below", delegated(t, sub), "not from the issuer"},
		{"an expired one", delegated(t, root, pkitest.Valid(began.Add(-2*time.Hour), began.Add(-time.Second))), "expired"},
		{"a future one", delegated(t, root, pkitest.Valid(began.Add(time.Hour), began.Add(2*time.Hour))), "not valid before"},
	} {
		s := says{this: began, next: began.Add(time.Hour), beside: c.signer.Cert, byKey: c.signer.Key, named: c.signer.Cert, issuer: root.Cert}
		a, err := parseAnswer(began, s.answer(t, root, leaf.Cert), leaf.Cert, root.Cert)
		if c.want == "" && (err != nil || a.status != good) {
			t.Errorf("%s: %+v, %v, want a good answer", c.name, a, err)
		}
		wantFault(t, c.name, err, c.want)
	}
}

// wantFault checks what an error says; "" wants none.
func wantFault(t *testing.T, name string, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error %v, want one with %q", name, err, want)
	}
}

// TestBadAnswer refuses what is no answer about the certificate.
func TestBadAnswer(t *testing.T) {
	root := pkitest.NewCA(t, "root", began)
	leaf := root.Issue(t, "alice", named(address))
	twin := pkitest.NewCA(t, "root", began) // the same name, another key
	other := pkitest.NewCAWithKey(t, "other", began, root.Key)
	rsaCA := pkitest.NewCAWithKey(t, "rsa", began, pkitest.RSAKey(t))
	rsaLeaf := rsaCA.Issue(t, "alice", named(address))
	hour := began.Add(time.Hour)
	fine := says{this: began, next: hour}
	answer := func(change func(*says)) []byte {
		s := fine
		change(&s)
		return s.answer(t, root, leaf.Cert)
	}
	trailing := append(answer(func(*says) {}), 0)
	for _, c := range []struct {
		name string
		der  []byte
		want string
	}{
		{"another key", answer(func(s *says) { s.byKey = twin.Key }), "signature"},
		{"another key, with its certificate", answer(func(s *says) { s.byKey, s.beside = twin.Key, twin.Cert }), "is no responder"},
		{"another serial number", answer(func(s *says) { s.serial = big.NewInt(4711) }), "about another certificate"},
		{"an issuer with another name", answer(func(s *says) { s.issuer = other.Cert }), "of another issuer"},
		{"an issuer with another key", answer(func(s *says) { s.issuer = twin.Cert }), "of another issuer"},
		{"too old", answer(func(s *says) { s.this, s.next = began.Add(-time.Hour), began.Add(-clockSkew-time.Second) }), "too old"},
		{"too old without end", answer(func(s *says) { s.this, s.next = began.Add(-openLife-clockSkew-time.Second), time.Time{} }), "too old"},
		{"of the future", answer(func(s *says) { s.this = began.Add(clockSkew + time.Second) }), "of the future"},
		{"ends before it begins", answer(func(s *says) { s.this, s.next = began, began.Add(-time.Minute) }), "ends before it begins"},
		{"bytes behind it", trailing, "no answer"},
		{"a bit less", trailing[:len(trailing)-2], "no answer"},
		{"nothing", nil, "no answer"},
		{"HTML", []byte("<html>"), "no answer"},
		{"try later", ocsp.TryLaterErrorResponse, "refuses to answer: try later"},
		{"unauthorized", ocsp.UnauthorizedErrorResponse, "refuses to answer: unauthorized"},
		{"internal error", ocsp.InternalErrorErrorResponse, "refuses to answer: internal error"},
		{"success and nothing else", []byte{0x30, 0x03, 0x0a, 0x01, 0x00}, "no answer"},
	} {
		_, err := parseAnswer(began, c.der, leaf.Cert, root.Cert)
		wantFault(t, c.name, err, c.want)
	}
	weak := says{this: began, next: hour, algorithm: x509.SHA1WithRSA}
	_, err := parseAnswer(began, weak.answer(t, rsaCA, rsaLeaf.Cert), rsaLeaf.Cert, rsaCA.Cert)
	wantFault(t, "SHA-1", err, "can be forged")
}

// TestTampered changes each byte of an answer: what still counts says the same.
func TestTampered(t *testing.T) {
	root := pkitest.NewCA(t, "root", began)
	leaf := root.Issue(t, "alice", named(address))
	signer := delegated(t, root)
	der := says{status: ocsp.Revoked, this: began, next: began.Add(time.Hour), at: began,
		beside: signer.Cert, byKey: signer.Key, named: signer.Cert, issuer: root.Cert}.answer(t, root, leaf.Cert)
	want, err := parseAnswer(began, der, leaf.Cert, root.Cert)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range der {
		bad := bytes.Clone(der)
		bad[i] ^= 1
		got, err := parseAnswer(began, bad, leaf.Cert, root.Cert)
		switch {
		case err != nil:
			refused++
		case got != want:
			t.Errorf("byte %d changed: %+v, want %+v or none", i, got, want)
		}
	}
	if refused < len(der)*9/10 {
		t.Errorf("of %d changed answers %d are refused", len(der), refused)
	}
}

// TestSeveralAnswers: one response can speak of many certificates. That about ours
// counts, wherever it stands, and only if it is about our issuer.
func TestSeveralAnswers(t *testing.T) {
	root := pkitest.NewCA(t, "root", began)
	leaf := root.Issue(t, "alice", named(address))
	good := says{status: ocsp.Good, this: began, next: began.Add(time.Hour)}
	foreign := good
	foreign.serial = big.NewInt(99)
	gone := good
	gone.status, gone.at = ocsp.Revoked, began
	elsewhere := good
	elsewhere.issuer = pkitest.NewCA(t, "elsewhere", began).Cert
	for _, c := range []struct {
		name string
		list []says
		want status
		err  string
	}{
		{"behind another", []says{foreign, good}, 1, ""},
		{"two about ours", []says{gone, good}, revoked, ""},
		{"the same number of another issuer first", []says{elsewhere, good}, 0, "of another issuer"},
		{"none about ours", []says{foreign, foreign}, 0, "about another certificate"},
	} {
		var ders [][]byte
		for _, s := range c.list {
			ders = append(ders, s.answer(t, root, leaf.Cert))
		}
		a, err := parseAnswer(began, join(t, root.Key, ders), leaf.Cert, root.Cert)
		wantFault(t, c.name, err, c.err)
		if a.status != c.want {
			t.Errorf("%s: status %d, want %d", c.name, a.status, c.want)
		}
	}
}

// join makes one response of the single answers of several, signed by key.
func join(t *testing.T, key crypto.Signer, ders [][]byte) []byte {
	t.Helper()
	type data struct {
		Responder asn1.RawValue
		Produced  time.Time `asn1:"generalized"`
		Responses []asn1.RawValue
	}
	type basic struct {
		Data      asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	type octets struct {
		Type asn1.ObjectIdentifier
		Body []byte
	}
	type whole struct {
		Status asn1.Enumerated
		Body   octets `asn1:"explicit,tag:0"`
	}
	unmarshal := func(b []byte, v any) {
		t.Helper()
		if _, err := asn1.Unmarshal(b, v); err != nil {
			t.Fatal(err)
		}
	}
	var all data
	var w whole
	var outer basic
	for _, der := range ders {
		var d data
		unmarshal(der, &w)
		unmarshal(w.Body.Body, &outer)
		unmarshal(outer.Data.FullBytes, &d)
		all.Responder, all.Produced = d.Responder, d.Produced
		all.Responses = append(all.Responses, d.Responses...)
	}
	marshal := func(v any) []byte {
		t.Helper()
		b, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	tbs := marshal(all)
	h := crypto.SHA256.New()
	h.Write(tbs)
	sig, err := key.Sign(rand.Reader, h.Sum(nil), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	outer.Data = asn1.RawValue{FullBytes: tbs}
	outer.Signature = asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}
	w.Body.Body = marshal(outer)
	return marshal(w)
}

// TestHugeKey: an answer with a certificate that nobody has signed makes us compute
// with no key of it, however large.
func TestHugeKey(t *testing.T) {
	root := pkitest.NewCA(t, "root", began)
	leaf := root.Issue(t, "alice", named(address))
	huge := new(big.Int).Lsh(big.NewInt(1), 300_000)
	huge.Add(huge, big.NewInt(1))
	forged := *delegated(t, root).Cert
	forged.PublicKey = &rsa.PublicKey{N: huge, E: 1<<31 - 1}
	wantFault(t, "huge key", checkKey(&forged), "has 300001 bits")
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: leaf.Cert.Subject, NotBefore: began, NotAfter: began.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, root.Cert, forged.PublicKey, root.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := says{this: began, next: began.Add(time.Hour), beside: cert, byKey: pkitest.RSAKey(t), named: cert, issuer: root.Cert}
	_, err = parseAnswer(began, s.answer(t, root, leaf.Cert), leaf.Cert, root.Cert)
	wantFault(t, "an answer with it", err, "has 300001 bits")
}

// fixedKey returns a key that is the same in all processes of a fuzz test, so that
// what one of them has signed the others accept.
func fixedKey(t testing.TB, scalar byte) crypto.Signer {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), append(make([]byte, 31), scalar))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// FuzzAnswer: whatever comes, what is taken for an answer is one that was given.
func FuzzAnswer(f *testing.F) {
	root := pkitest.NewCAWithKey(f, "root", began, fixedKey(f, 7))
	leaf := root.Issue(f, "alice", named(address))
	signer := root.IssueKey(f, "responder", fixedKey(f, 8), pkitest.ExtUsage(x509.ExtKeyUsageOCSPSigning))
	given := map[answer]bool{}
	for _, s := range []says{
		{status: ocsp.Good, this: began, next: began.Add(time.Hour)},
		{status: ocsp.Revoked, this: began, next: began.Add(time.Hour), at: began},
		{status: ocsp.Unknown, this: began},
		{status: ocsp.Revoked, this: began, at: began, beside: signer.Cert, byKey: signer.Key, named: signer.Cert, issuer: root.Cert},
	} {
		der := s.answer(f, root, leaf.Cert)
		a, err := parseAnswer(began, der, leaf.Cert, root.Cert)
		if err != nil {
			f.Fatal(err)
		}
		given[a] = true
		f.Add(der)
	}
	f.Add(ocsp.TryLaterErrorResponse)
	f.Fuzz(func(t *testing.T, der []byte) {
		a, err := parseAnswer(began, der, leaf.Cert, root.Cert)
		if err == nil && !given[a] {
			t.Errorf("%x is taken for %+v, which nobody has said", der, a)
		}
	})
}
