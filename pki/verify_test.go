package pki

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/pki/pkitest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newPolicy(t testing.TB, depth int, cas ...*x509.Certificate) *Policy {
	t.Helper()
	p, err := NewPolicy(cas, nil, depth)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantRefusal checks that err is a Refusal for the reason, and that its text
// contains all of the parts.
func wantRefusal(t testing.TB, err error, reason Reason, parts ...string) {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) {
		t.Fatalf("error = %v, want a Refusal because of %v", err, reason)
	}
	if r.Reason != reason {
		t.Errorf("reason = %v, want %v (%v)", r.Reason, reason, err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error = %q, want it to contain %q", err, part)
		}
	}
}

func TestVerifyAccepts(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	p := newPolicy(t, 0, root.Cert)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sub := root.Intermediate(t, "int1").Intermediate(t, "int2")
	for _, c := range []struct {
		name string
		leaf *pkitest.Leaf
	}{
		{"ECDSA", root.Issue(t, "bob")},
		{"RSA", root.IssueKey(t, "bob", pkitest.RSAKey(t))},
		{"Ed25519", root.IssueKey(t, "bob", ed)},
		{"two intermediates", sub.Issue(t, "bob")},
		{"no key usage", root.Issue(t, "bob", pkitest.Usage(0))},
		{"no extended key usage", root.Issue(t, "bob", pkitest.ExtUsage())},
		{"any extended key usage", root.Issue(t, "bob", pkitest.ExtUsage(x509.ExtKeyUsageAny))},
		{"root sent along", withCerts(root.Issue(t, "bob"), root.Cert)},
		{"someone else's root sent along", withCerts(root.Issue(t, "bob"), pkitest.NewCA(t, "other", now).Cert)},
		{"certificates twice", withCerts(sub.Issue(t, "bob"), sub.Cert, root.Cert, root.Cert)},
	} {
		for _, role := range []Role{Client, Server} {
			t.Run(fmt.Sprintf("%s as %v", c.name, role), func(t *testing.T) {
				peer, err := p.Verify(now, c.leaf.Raw(), role)
				if err != nil {
					t.Fatal(err)
				}
				if peer.Name != "bob" || peer.Key != KeyOf(c.leaf.Cert) || !peer.Leaf.Equal(c.leaf.Cert) {
					t.Errorf("peer = %q, key %v, leaf %v, want those of the leaf", peer.Name, peer.Key, peer.Leaf.Subject)
				}
				if len(peer.Warnings) != 0 {
					t.Errorf("warnings = %q, want none", peer.Warnings)
				}
			})
		}
	}
}

func withCerts(l *pkitest.Leaf, extra ...*x509.Certificate) *pkitest.Leaf {
	l.Chain = append(l.Chain, extra...)
	return l
}

func TestVerifyRefuses(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	other := pkitest.NewCA(t, "other", now)
	fake := pkitest.NewCA(t, "root", now) // same name, other key
	sub := root.Intermediate(t, "sub")
	notCA := root.Issue(t, "no ca")
	byLeaf := pkitest.CAWithCert(notCA.Cert, notCA.Key, now)
	late := root.Intermediate(t, "late", pkitest.Valid(now.Add(-2*time.Hour), now.Add(-time.Hour)))
	short := root.Intermediate(t, "short", func(c *x509.Certificate) { c.MaxPathLenZero = true })
	mail := root.Intermediate(t, "mail", pkitest.ExtUsage(x509.ExtKeyUsageEmailProtection))
	narrow := root.Intermediate(t, "narrow", func(c *x509.Certificate) {
		c.PermittedIPRanges = []*net.IPNet{{IP: net.IPv4(10, 9, 0, 0).To4(), Mask: net.CIDRMask(16, 32)}}
	})
	noSign := pkitest.NewCA(t, "no sign", now, pkitest.Usage(x509.KeyUsageCRLSign))
	critical := func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
	}
	p := newPolicy(t, 0, root.Cert, noSign.Cert)
	for _, c := range []struct {
		name  string
		raw   [][]byte
		role  Role
		want  Reason
		parts []string
	}{
		{"expired", root.Issue(t, "bob", pkitest.Valid(now.Add(-2*time.Hour), now.Add(-time.Second))).Raw(), Client, Expired,
			[]string{"CN=bob", "2026-03-01 11:59:59 UTC", "campagnol ca issue"}},
		{"not yet valid", root.Issue(t, "bob", pkitest.Valid(now.Add(time.Second), now.Add(time.Hour))).Raw(), Client, NotYetValid,
			[]string{"2026-03-01 12:00:01 UTC", "clocks"}},
		{"other CA", other.Issue(t, "bob").Raw(), Server, UnknownCA, []string{"CN=bob", "issuer CN=other"}},
		{"other CA, sent along", withCerts(other.Issue(t, "bob"), other.Cert).Raw(), Server, UnknownCA, []string{"issuer CN=other"}},
		{"CA of the same name", fake.Issue(t, "bob").Raw(), Client, UnknownCA, []string{"name of our CA CN=root", "not its key"}},
		{"self-signed", pkitest.SelfSigned(t, "bob", now).Raw(), Client, UnknownCA, []string{"self-signed"}},
		{"intermediate missing", sub.Issue(t, "bob").Raw()[:1], Client, UnknownCA, []string{"issuer CN=sub"}},
		{"intermediate expired", late.Issue(t, "bob").Raw(), Client, Expired, []string{"CN=late"}},
		{"path length", withCerts(short.Intermediate(t, "below").Issue(t, "bob"), short.Cert).Raw(), Client, BadCA, []string{"too many intermediates"}},
		{"issuer is no CA", withCerts(byLeaf.Issue(t, "bob"), notCA.Cert).Raw(), Client, BadCA, []string{"CN=no ca"}},
		{"issuer may not sign certificates", noSign.Issue(t, "bob").Raw(), Client, BadCA, []string{"CN=no sign", "CN=bob"}},
		{"name constraints", narrow.Issue(t, "bob", pkitest.Addrs("10.8.0.1")).Raw(), Client, BadCA, []string{"10.8.0.1"}},
		{"critical extension", root.Issue(t, "bob", critical).Raw(), Client, Malformed, []string{"1.2.3"}},
		{"client only, as server", root.Issue(t, "bob", pkitest.ExtUsage(x509.ExtKeyUsageClientAuth)).Raw(), Server, WrongUsage, []string{"serverAuth"}},
		{"server only, as client", root.Issue(t, "bob", pkitest.ExtUsage(x509.ExtKeyUsageServerAuth)).Raw(), Client, WrongUsage, []string{"clientAuth"}},
		{"code signing", root.Issue(t, "bob", pkitest.ExtUsage(x509.ExtKeyUsageCodeSigning)).Raw(), Client, WrongUsage, nil},
		{"unknown extended usage", root.Issue(t, "bob", pkitest.ExtUsage(), func(c *x509.Certificate) {
			c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}}
		}).Raw(), Client, WrongUsage, nil},
		{"CA for mail", mail.Issue(t, "bob").Raw(), Client, WrongUsage, []string{"CN=mail", "this CA"}},
		{"unknown role", root.Issue(t, "bob").Raw(), 0, 0, nil}, // replaced below
		{"key encipherment only, client", root.Issue(t, "bob", pkitest.Usage(x509.KeyUsageKeyEncipherment)).Raw(), Client, WrongUsage, []string{"digitalSignature"}},
		{"key agreement only, server", root.Issue(t, "bob", pkitest.Usage(x509.KeyUsageKeyAgreement)).Raw(), Server, WrongUsage, []string{"digitalSignature"}},
		{"SHA-1", root1(t, "bob").Raw(), Client, WeakSignature, []string{"SHA1", "campagnol ca sign"}},
		{"nothing", nil, Client, Malformed, []string{"no certificate"}},
		{"empty", [][]byte{nil}, Client, Malformed, nil},
		{"garbage", [][]byte{{0x30, 0x03, 1, 2, 3}}, Client, Malformed, nil},
		{"trailing byte", [][]byte{append(root.Issue(t, "bob").Raw()[0], 0)}, Client, Malformed, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "unknown role" {
				c.role, c.want = 7, WrongUsage
				defer func() {
					if v := recover(); v != nil {
						t.Errorf("panic: %v", v)
					}
				}()
			}
			peer, err := p.Verify(now, c.raw, c.role)
			if peer != nil {
				t.Errorf("peer = %v, want none", peer)
			}
			wantRefusal(t, err, c.want, c.parts...)
		})
	}
}

// root1 issues a certificate with a SHA-1 signature, as the CA script of
// Campagnol 0.3.5 does.
func root1(t testing.TB, name string) *pkitest.Leaf {
	ca := pkitest.NewCAWithKey(t, "root", now, pkitest.RSAKey(t))
	return ca.Issue(t, name, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA })
}

// The SHA-1 signature of an intermediate CA is as weak as that of a leaf; a
// root's own is never looked at.
func TestVerifyWeakCA(t *testing.T) {
	sha1 := func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA }
	root := pkitest.NewCAWithKey(t, "root", now, pkitest.RSAKey(t), sha1)
	if root.Cert.SignatureAlgorithm != x509.SHA1WithRSA {
		t.Fatalf("root is signed with %v", root.Cert.SignatureAlgorithm)
	}
	p := newPolicy(t, 0, root.Cert)
	if _, err := p.Verify(now, root.Issue(t, "bob").Raw(), Client); err != nil {
		t.Errorf("below a SHA-1 root: %v", err)
	}
	_, err := p.Verify(now, root.Intermediate(t, "sub", sha1).Issue(t, "bob").Raw(), Client)
	wantRefusal(t, err, WeakSignature, "CN=sub", "SHA1")
}

func TestVerifyDepth(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	int1 := root.Intermediate(t, "int1")
	int2 := int1.Intermediate(t, "int2")
	leaves := []*pkitest.Leaf{1: root.Issue(t, "b"), 2: int1.Issue(t, "b"), 3: int2.Issue(t, "b")}
	for limit := 0; limit <= 4; limit++ {
		p := newPolicy(t, limit, root.Cert)
		// The file may hold the intermediates too; that shortens no chain.
		full := newPolicy(t, limit, root.Cert, int1.Cert, int2.Cert)
		for depth := 1; depth <= 3; depth++ {
			for _, p := range []*Policy{p, full} {
				_, err := p.Verify(now, leaves[depth].Raw(), Client)
				if limit == 0 || depth <= limit {
					if err != nil {
						t.Errorf("verify_depth %d, depth %d: %v", limit, depth, err)
					}
					continue
				}
				wantRefusal(t, err, TooDeep, "verify_depth", fmt.Sprintf("depth %d", depth))
			}
		}
	}
}

// A CA that two roots have certified: one good chain is enough.
func TestVerifyCrossSigned(t *testing.T) {
	a, b := pkitest.NewCA(t, "a", now), pkitest.NewCA(t, "b", now)
	far := a.Intermediate(t, "far")
	key := pkitest.NewKey(t)
	// The same CA "x": below "far", which is below a, and directly below b.
	sign := func(ca *pkitest.CA) *x509.Certificate {
		return ca.IssueKey(t, "x", key, func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
		}).Cert
	}
	x1, x2 := sign(far), sign(b)
	leaf := pkitest.CAWithCert(x1, key, now).Issue(t, "bob")
	both := withCerts(leaf, x1, x2, far.Cert)
	if _, err := newPolicy(t, 2, a.Cert, b.Cert).Verify(now, both.Raw(), Client); err != nil {
		t.Errorf("both roots, depth 2: %v", err)
	}
	_, err := newPolicy(t, 2, a.Cert).Verify(now, both.Raw(), Client)
	wantRefusal(t, err, TooDeep)
	_, err = newPolicy(t, 0, b.Cert).Verify(now, [][]byte{leaf.Cert.Raw, x1.Raw, far.Cert.Raw}, Client)
	wantRefusal(t, err, UnknownCA, "CN=far")
}

// Small networks put the self-signed certificates of all hosts in one file.
func TestVerifySelfSignedRoots(t *testing.T) {
	bob, eve := pkitest.SelfSigned(t, "bob", now), pkitest.SelfSigned(t, "eve", now)
	p := newPolicy(t, 1, bob.Cert)
	if _, err := p.Verify(now, bob.Raw(), Client); err != nil {
		t.Error(err)
	}
	_, err := p.Verify(now, eve.Raw(), Client)
	wantRefusal(t, err, UnknownCA, "self-signed")
	forged := pkitest.SelfSigned(t, "bob", now)
	_, err = p.Verify(now, forged.Raw(), Client)
	wantRefusal(t, err, UnknownCA)
}

func TestVerifyLimits(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	p := newPolicy(t, 0, root.Cert)
	leaf := root.Issue(t, "bob").Raw()[0]
	many := slices.Repeat([][]byte{leaf}, maxCerts)
	if _, err := p.Verify(now, many, Client); err != nil {
		t.Errorf("%d certificates: %v", len(many), err)
	}
	_, err := p.Verify(now, append(many, leaf), Client)
	wantRefusal(t, err, Malformed, "17 certificates")
	_, err = p.Verify(now, [][]byte{leaf, make([]byte, maxCertSize+1)}, Client)
	wantRefusal(t, err, Malformed, "too large")
	_, err = p.Verify(now, append([][]byte{leaf}, slices.Repeat([][]byte{make([]byte, maxCertSize)}, 4)...), Client)
	wantRefusal(t, err, Malformed, "too large")
	// An unreadable certificate behind the leaf is no reason to refuse.
	if _, err := p.Verify(now, [][]byte{leaf, []byte("x")}, Client); err != nil {
		t.Errorf("garbage behind the leaf: %v", err)
	}
}

// A message full of CAs of one name must not cost more than a few signatures.
func TestVerifyBoundsWork(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	p := newPolicy(t, 0, root.Cert)
	leaf := pkitest.NewCA(t, "x", now).Issue(t, "bob")
	for range maxCerts - 1 {
		leaf.Chain = append(leaf.Chain, root.Intermediate(t, "x").Cert)
	}
	d := &diagnosis{now: now, candidates: leaf.Chain[1:], sent: leaf.Chain[1:]}
	wantRefusal(t, d.walk(leaf.Cert), UnknownCA)
	if d.checks > maxDiagnosis {
		t.Errorf("the diagnosis checked %d signatures, want at most %d", d.checks, maxDiagnosis)
	}
	_, err := p.Verify(now, leaf.Raw(), Client)
	wantRefusal(t, err, UnknownCA, "CN=x")
}

func TestRSASizes(t *testing.T) {
	for _, c := range []struct {
		bits int
		ok   bool
	}{{512, false}, {1023, false}, {1024, true}, {2048, true}, {8192, true}, {8193, false}, {16384, false}} {
		n := new(big.Int).Lsh(big.NewInt(1), uint(c.bits-1))
		cert := &x509.Certificate{SerialNumber: big.NewInt(1), PublicKey: rsaPublic(n)}
		if r := checkKey(cert); (r == nil) != c.ok {
			t.Errorf("%d bits: %v, want accepted = %v", c.bits, r, c.ok)
		}
	}
	r := checkKey(&x509.Certificate{SerialNumber: big.NewInt(1), PublicKeyAlgorithm: x509.DSA})
	if r == nil || r.Reason != WeakKey || !strings.Contains(r.Detail, "DSA") {
		t.Errorf("DSA: %v, want WeakKey", r)
	}
}

func TestNetscapeType(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	p := newPolicy(t, 0, root.Cert)
	for _, c := range []struct {
		name   string
		value  []byte
		client bool
		server bool
	}{
		{"client", []byte{3, 2, 7, 0x80}, true, false},
		{"server", []byte{3, 2, 6, 0x40}, false, true},
		{"both", []byte{3, 2, 6, 0xc0}, true, true},
		{"mail", []byte{3, 2, 5, 0x20}, false, false},
		{"empty", []byte{3, 1, 0}, false, false},
		{"garbage", []byte{9}, false, false},
	} {
		leaf := root.Issue(t, "bob", func(cert *x509.Certificate) {
			cert.ExtraExtensions = []pkix.Extension{{Id: oidNetscapeCertType, Value: c.value}}
		})
		for role, want := range map[Role]bool{Client: c.client, Server: c.server} {
			if _, err := p.Verify(now, leaf.Raw(), role); (err == nil) != want {
				t.Errorf("%s as %v: %v, want accepted = %v", c.name, role, err, want)
			}
		}
	}
}

func TestVerifyOwn(t *testing.T) {
	root, other := pkitest.NewCA(t, "root", now), pkitest.NewCA(t, "other", now)
	p := newPolicy(t, 0, root.Cert)
	identity := func(l *pkitest.Leaf) *Identity {
		t.Helper()
		id, err := NewIdentity(l.Chain, l.Key)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	if err := p.VerifyOwn(now, identity(root.Issue(t, "me"))); err != nil {
		t.Error(err)
	}
	if err := p.VerifyOwn(now, identity(root.Issue(t, "me", pkitest.ExtUsage(x509.ExtKeyUsageClientAuth)))); err != nil {
		t.Errorf("client only: %v", err)
	}
	wantRefusal(t, p.VerifyOwn(now, identity(other.Issue(t, "me"))), UnknownCA)
}

// The clock that counts is the argument. In a bubble time starts in 2000.
func TestVerifyInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		root := pkitest.NewCA(t, "root", start)
		leaf := root.Issue(t, "bob", pkitest.Valid(start, start.Add(time.Hour)))
		p := newPolicy(t, 0, root.Cert)
		if _, err := p.Verify(time.Now(), leaf.Raw(), Client); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour + time.Second)
		_, err := p.Verify(time.Now(), leaf.Raw(), Client)
		wantRefusal(t, err, Expired)
		_, err = p.Verify(time.Time{}, leaf.Raw(), Client)
		wantRefusal(t, err, NotYetValid)
	})
}

func TestVerifyConcurrent(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	leaf := root.Issue(t, "bob")
	p, err := NewPolicy([]*x509.Certificate{root.Cert}, [][]byte{root.CRL(t, now, now.Add(time.Hour))}, 0)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for range 8 {
		go func() {
			_, err := p.Verify(now, leaf.Raw(), Client)
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// FuzzVerify feeds hostile chains: three certificates, of which the seeds are
// good ones.
func FuzzVerify(f *testing.F) {
	root := pkitest.NewCA(f, "root", now)
	sub := root.Intermediate(f, "sub")
	leaf := sub.Issue(f, "bob", pkitest.Addrs("10.9.0.1"))
	p, err := NewPolicy([]*x509.Certificate{root.Cert}, [][]byte{sub.CRL(f, now, now)}, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(leaf.Cert.Raw, sub.Cert.Raw, root.Cert.Raw, uint8(0))
	f.Add(leaf.Cert.Raw, sub.Cert.Raw, []byte(nil), uint8(1))
	f.Add(root.Issue(f, "eve").Cert.Raw, []byte(nil), []byte(nil), uint8(1))
	f.Add(root1(f, "old").Cert.Raw, []byte{0x30}, []byte{}, uint8(2))
	keys := []crypto.Signer{leaf.Key}
	f.Fuzz(func(t *testing.T, a, b, c []byte, role uint8) {
		peer, err := p.Verify(now, [][]byte{a, b, c}, Role(role))
		var r *Refusal
		switch {
		case err == nil && (peer == nil || peer.Leaf == nil || !sameKey(peer.Leaf, keys[0])):
			t.Fatal("a certificate was accepted that this test did not make")
		case err != nil && (peer != nil || !errors.As(err, &r) || r.Reason == 0 || r.Reason >= reasonCount):
			t.Fatalf("peer %v, error %v, want no peer and a Refusal", peer, err)
		case err != nil && strings.ContainsAny(err.Error(), "\n\r\x1b"):
			t.Fatalf("the error is not safe to print: %q", err)
		}
	})
}

func rsaPublic(n *big.Int) *rsa.PublicKey { return &rsa.PublicKey{N: n, E: 65537} }
