package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

func asRefusal(err error, r **Refusal) bool { return errors.As(err, r) }

// version1 makes a revocation list of version 1, as "openssl ca" does without a
// crlnumber file. The standard library cannot.
func version1(t testing.TB, ca *pkitest.CA, revoked ...*x509.Certificate) []byte {
	t.Helper()
	algorithm := func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}) // ecdsa-with-SHA256
		})
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		algorithm(b)
		b.AddBytes(ca.Cert.RawSubject)
		b.AddASN1UTCTime(now.Add(-time.Hour))
		b.AddASN1UTCTime(now.Add(time.Hour))
		if len(revoked) > 0 {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, c := range revoked {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1BigInt(c.SerialNumber)
						b.AddASN1UTCTime(now.Add(-time.Minute))
					})
				}
			})
		}
	})
	tbs := b.BytesOrPanic()
	sum := sha256.Sum256(tbs)
	sig, err := ca.Key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	var list cryptobyte.Builder
	list.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		algorithm(b)
		b.AddASN1BitString(sig)
	})
	return list.BytesOrPanic()
}

func TestCRLVersion1(t *testing.T) {
	root, fake := pkitest.NewCA(t, "root", now), pkitest.NewCA(t, "root", now)
	bob, eve := root.Issue(t, "bob"), root.Issue(t, "eve")
	policy := func(crls ...[]byte) *Policy {
		t.Helper()
		p, err := NewPolicy([]*x509.Certificate{root.Cert}, crls, 0)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := policy(version1(t, root, eve.Cert))
	if _, err := p.Verify(now, bob.Raw(), Client); err != nil {
		t.Error(err)
	}
	_, err := p.Verify(now, eve.Raw(), Client)
	wantRefusal(t, err, Revoked, "CN=eve", "2026-03-01 11:59:00 UTC")
	if _, err := policy(version1(t, root)).Verify(now, eve.Raw(), Client); err != nil {
		t.Errorf("empty list: %v", err)
	}
	_, err = policy(version1(t, fake)).Verify(now, eve.Raw(), Client)
	wantRefusal(t, err, NoCRL, "not signed by it")
	peer, err := p.Verify(now.Add(2*time.Hour), bob.Raw(), Client)
	if err != nil || !strings.Contains(strings.Join(peer.Warnings, ""), "expired") {
		t.Errorf("expired list: %v, want a warning", err)
	}
}

// Every cut and every changed byte of a list is either refused or does not
// verify.
func TestCRLVersion1Broken(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	good := version1(t, root, root.Issue(t, "eve").Cert)
	for i := range good {
		if _, err := parseCRL(good[:i]); err == nil {
			t.Errorf("the first %d bytes were accepted", i)
		}
		bad := append([]byte(nil), good...)
		bad[i] ^= 1
		if l, err := parseCRL(bad); err == nil && l.checkSignature(root.Cert) {
			t.Errorf("byte %d changed: the signature is good", i)
		}
	}
	if _, err := parseCRL(append(good, 0)); err == nil {
		t.Error("a trailing byte was accepted")
	}
}
