package enroll

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"testing"

	"campagnol/pki"
	"campagnol/pki/pkitest"
)

var bigKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 4096) })

// bigRSA returns an RSA key of 4096 bits.
func bigRSA(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := bigKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A renewing host, and its authority.
type renewing struct {
	ca   *pkitest.CA
	leaf *pkitest.Leaf
	r    Renewal
}

func newRenewing(t testing.TB, key crypto.Signer) *renewing {
	t.Helper()
	ca := pkitest.NewCA(t, "VPN", now)
	leaf := ca.IssueKey(t, "alice", key, pkitest.Addrs("10.9.0.1"))
	return &renewing{ca, leaf, Renewal{Cert: leaf.Cert, Key: key, Roots: []*x509.Certificate{ca.Cert}}}
}

// next issues the certificate that follows.
func (r *renewing) next(t testing.TB, key crypto.PublicKey, edits ...pkitest.Edit) *pkitest.Leaf {
	t.Helper()
	edits = append([]pkitest.Edit{pkitest.Addrs("10.9.0.1"), pkitest.Valid(now, now.AddDate(2, 0, 0))}, edits...)
	return r.ca.IssueKey(t, "alice", publicOnly{key}, edits...)
}

func TestRenewal(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name       string
		key, fresh crypto.Signer
	}{
		{"the same key", pkitest.NewKey(t), nil},
		{"a fresh key", pkitest.NewKey(t), pkitest.NewKey(t)},
		{"an RSA key of 4096 bits", bigRSA(t), nil},
		{"from RSA with 4096 bits to ECDSA", bigRSA(t), pkitest.NewKey(t)},
		{"from ECDSA to RSA with 2048 bits", pkitest.NewKey(t), pkitest.RSAKey(t)},
		{"Ed25519", ed, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newRenewing(t, c.key)
			h.r.NewKey = c.fresh
			want := c.key
			if c.fresh != nil {
				want = c.fresh
			}
			e, err := NewRenewal(rand.Reader, h.r)
			if err != nil {
				t.Fatal(err)
			}
			var whole []byte
			for n := 0; !e.Done(); n++ {
				if n > 20 {
					t.Fatalf("no end; doubt: %v", e.Doubt())
				}
				b := e.Next()
				if len(b) > MaxSize {
					t.Fatalf("a request of %d bytes", len(b))
				}
				r, rr := parseRenewal(t, b)
				key, err := rr.Check(h.leaf.Cert)
				if err != nil {
					t.Fatal(err)
				}
				if rr.Serial.Cmp(h.leaf.Cert.SerialNumber) != 0 {
					t.Errorf("serial number %v, want %v", rr.Serial, h.leaf.Cert.SerialNumber)
				}
				if whole == nil {
					whole = (&Grant{Chain: h.next(t, key).Raw()}).Append(nil)
				}
				if err := e.Take(r.Plain(whole)); err != nil {
					t.Fatal(err)
				}
			}
			got, err := e.Result()
			if err != nil || !isKeyOf(got.Chain[0], want) || !isKeyOf(got.Chain[0], got.Key) {
				t.Errorf("result %+v, %v, want a certificate for the key", got, err)
			}
		})
	}
}

func parseRenewal(t testing.TB, b []byte) (*Request, *RenewalRequest) {
	t.Helper()
	r, err := ParseRequest(b)
	if err != nil {
		t.Fatal(err)
	}
	rr, err := r.Renewal()
	if err != nil {
		t.Fatal(err)
	}
	return r, rr
}

// TestRenewalTooLarge says which key does not fit.
func TestRenewalTooLarge(t *testing.T) {
	h := newRenewing(t, pkitest.NewKey(t))
	h.r.NewKey = bigRSA(t)
	if _, err := NewRenewal(rand.Reader, h.r); err == nil || !strings.Contains(err.Error(), "make an ECDSA key") {
		t.Errorf("renewal: error %v", err)
	}
	if _, err := NewEnrolment(rand.Reader, newToken(t, pki.KeyID{}, "h:1"), bigRSA(t)); err == nil || !strings.Contains(err.Error(), "use an ECDSA key") {
		t.Errorf("enrolment: error %v", err)
	}
}

// TestRenewalLies gives the host what anybody could: it goes on asking, and then
// takes the true answer.
func TestRenewalLies(t *testing.T) {
	h := newRenewing(t, pkitest.NewKey(t))
	key, other := h.r.Key.Public(), pkitest.NewCA(t, "VPN", now)
	e, err := NewRenewal(rand.Reader, h.r)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := parseRenewal(t, e.Next())
	shorter := h.next(t, key, pkitest.Valid(now, now.AddDate(0, 1, 0)))
	for _, c := range []struct {
		name string
		leaf *pkitest.Leaf
		want string
	}{
		{"another authority", other.IssueKey(t, "alice", publicOnly{key}, pkitest.Addrs("10.9.0.1"), pkitest.Valid(now, now.AddDate(2, 0, 0))), "no authority has signed"},
		{"another key", h.next(t, pkitest.NewKey(t).Public()), "another key"},
		{"another address", h.next(t, key, pkitest.Addrs("10.9.0.2")), "other VPN addresses"},
		{"another name", h.next(t, key, func(c *x509.Certificate) { c.Subject.CommonName = "bob" }), "another name"},
		{"an earlier end", shorter, "ends no later"},
		{"a rendezvous server", h.next(t, key, func(c *x509.Certificate) { c.URIs = append(c.URIs, pki.RendezvousURI()) }), "another role"},
		{"the certificate there is", h.leaf, ErrNotDue.Error()},
	} {
		if err := e.Take(r.Plain((&Grant{Chain: c.leaf.Raw()}).Append(nil))); err != nil || e.Done() {
			t.Errorf("%s: error %v, done %t, want to go on", c.name, err, e.Done())
		}
		if err := e.Doubt(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: doubt %v, want one with %q", c.name, err, c.want)
		}
	}
	for _, text := range [][]byte{(&Refusal{Revoked, "no"}).Append(nil), {1, 2, 3}, (&Grant{Roots: [][]byte{{1}}}).Append(nil)} {
		if err := e.Take(r.Plain(text)); err != nil || e.Done() {
			t.Errorf("%x: error %v, done %t, want to go on", text, err, e.Done())
		}
	}
	if err := e.Take(r.Plain((&Grant{Chain: h.next(t, key).Raw()}).Append(nil))); err != nil || !e.Done() {
		t.Errorf("the true answer: error %v, done %t", err, e.Done())
	}
}

// TestRenewalForged has requests that the holder of the key did not make.
func TestRenewalForged(t *testing.T) {
	h := newRenewing(t, pkitest.NewKey(t))
	h.r.NewKey = pkitest.NewKey(t)
	e, err := NewRenewal(rand.Reader, h.r)
	if err != nil {
		t.Fatal(err)
	}
	b := e.Next()
	for i := range b {
		if i >= 10 && i < headSize {
			continue // the offset is for the pieces, and signed by nobody
		}
		changed := bytes.Clone(b)
		changed[i] ^= 1
		r, err := ParseRequest(changed)
		if err != nil {
			continue
		}
		rr, err := r.Renewal()
		if err != nil {
			continue
		}
		if key, err := rr.Check(h.leaf.Cert); err == nil {
			t.Errorf("byte %d was changed, and %v gets a certificate", i, key)
		}
	}
	_, rr := parseRenewal(t, b)
	if _, err := rr.Check(h.next(t, h.r.Key.Public()).Cert); err == nil {
		t.Error("a request about one certificate is taken for another one")
	}
	// A key that its sender has not got: the signing request of somebody else.
	stolen := Renewal{Cert: h.leaf.Cert, Key: h.r.Key, NewKey: publicSigner{pkitest.NewKey(t).Public(), pkitest.NewKey(t)}}
	if e, err = NewRenewal(rand.Reader, stolen); err == nil {
		_, rr = parseRenewal(t, e.Next())
		if _, err := rr.Check(h.leaf.Cert); err == nil {
			t.Error("a key that the host has not got gets a certificate")
		}
	}
}

// publicSigner has the public part of one key and signs with another one.
type publicSigner struct {
	key crypto.PublicKey
	crypto.Signer
}

func (p publicSigner) Public() crypto.PublicKey { return p.key }

// TestRenewalGolden fixes the format. Ed25519 has no randomness.
func TestRenewalGolden(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	ca := pkitest.NewCAWithKey(t, "Golden", now, key)
	leaf := ca.IssueKey(t, "alice", key, pkitest.Addrs("10.9.0.1"))
	e, err := NewRenewal(&count{}, Renewal{Cert: leaf.Cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"0102", "0001020304050607", "00000000", // version, kind, ID, offset
		"0101", // the serial number 1
		"f5eac00748357cc98308de6a061eca1940bdb077636c6ad463fc3b8609128291",
		"0000", // no signing request
		"c941f26cfd666b23dd15f99fa0e049180daab928a563721b2a7bd36fb09b89a8",
		"c8b53b2f0fc6599222e62361771154453232fbbe1bb7f75c4d91da909441780b",
	}, "")
	if got := hex.EncodeToString(e.Next()); got != want {
		t.Errorf("request\n%s, want\n%s", got, want)
	}
}

func FuzzAuthority(f *testing.F) {
	h := newRenewing(f, pkitest.NewKey(f))
	e, err := NewRenewal(rand.Reader, h.r)
	if err != nil {
		f.Fatal(err)
	}
	good := e.Next()
	f.Add(good)
	a := newAuthority(f)
	if e, err = NewEnrolment(rand.Reader, a.token, pkitest.NewKey(f)); err != nil {
		f.Fatal(err)
	}
	sealed := e.Next()
	f.Add(sealed)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRequest(b)
		if err != nil {
			return
		}
		if _, err := r.Open(a.master); err == nil && !bytes.Equal(b, sealed) {
			t.Fatalf("%x was opened, and nobody has sealed it", b)
		}
		if rr, err := r.Renewal(); err == nil {
			_, err := rr.Check(h.leaf.Cert)
			if err == nil && (!bytes.Equal(b[:10], good[:10]) || !bytes.Equal(b[headSize:], good[headSize:])) {
				t.Fatalf("%x is believed, and nobody has signed it", b)
			}
		}
		if out := r.Plain(make([]byte, 3000)); len(out) > MaxSize {
			t.Fatalf("an answer of %d bytes", len(out))
		}
	})
}

func FuzzHost(f *testing.F) {
	// Nothing random, so that an input takes the same way each time.
	h := newRenewing(f, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	next := (&Grant{Chain: h.next(f, h.r.Key.Public()).Raw()}).Append(nil)
	f.Add(next, uint8(0))
	f.Add((&Refusal{Used, "x"}).Append(nil), uint8(1))
	a := newAuthority(f)
	f.Add(a.grant(pkitest.NewKey(f).Public()).Append(nil), uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		e, err := NewRenewal(&count{}, h.r)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := parseRenewal(t, e.Next())
		if err := e.Take(b); err != nil {
			t.Fatalf("noise ends the exchange: %v", err)
		}
		plain := r.Plain(b)
		if err := e.Take(plain[:len(plain)-min(int(cut), len(plain))]); err != nil {
			t.Fatalf("an answer in clear ends the exchange: %v", err)
		}
		if result, err := e.Result(); err == nil && !bytes.Equal(b, next) {
			if chainErr := result.Chain[0].CheckSignatureFrom(h.ca.Cert); chainErr != nil {
				t.Fatalf("%x is believed: %v", b, chainErr)
			}
		}
		grant, refusal, err := parseAnswer(b)
		if err == nil && (grant == nil) == (refusal == nil) {
			t.Fatalf("%x is %+v and %+v", b, grant, refusal)
		}
		if err != nil && !errors.Is(err, errAnswer) {
			t.Fatal(err)
		}
		if grant != nil {
			if _, err := grant.verify(a.token, h.r.Key); err == nil {
				t.Fatalf("%x is believed", b)
			}
		}
	})
}
