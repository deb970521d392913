package bulletin

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func signer(ca *pkitest.CA) Signer { return Signer{Cert: ca.Cert, Key: ca.Key} }

// edCA makes a CA with an Ed25519 key that is always the same, so that all that it
// signs is.
func edCA(t testing.TB) *pkitest.CA {
	t.Helper()
	return pkitest.NewCAWithKey(t, "Golden", now, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
}

func sign(t testing.TB, b *Bulletin, signers ...Signer) []byte {
	t.Helper()
	data, err := Sign(rand.Reader, b, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRoundTrip(t *testing.T) {
	a, b := pkitest.NewCA(t, "A", now), pkitest.NewCAWithKey(t, "B", now, pkitest.RSAKey(t))
	want := &Bulletin{Number: 7, Issued: now, Policy: "default allow\n", CAs: []*x509.Certificate{a.Cert, b.Cert}}
	data := sign(t, want, signer(a), signer(b))
	s, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if s.Number() != want.Number {
		t.Errorf("number %d, want %d", s.Number(), want.Number)
	}
	clear(data) // it was borrowed
	for _, ca := range []*pkitest.CA{a, b, edCA(t)} {
		got, err := s.Verify(now, []*x509.Certificate{ca.Cert})
		if ca != a && ca != b {
			if !errors.Is(err, ErrUntrusted) {
				t.Errorf("another authority: error %v, want ErrUntrusted", err)
			}
			continue
		}
		if err != nil {
			t.Errorf("verified by %s: %v", ca.Cert.Subject, err)
			continue
		}
		if got.Number != want.Number || !got.Issued.Equal(want.Issued) || got.Policy != want.Policy || len(got.CAs) != 2 || !got.CAs[1].Equal(b.Cert) {
			t.Errorf("bulletin %+v, want %+v", got, want)
		}
	}
}

// TestVerifyRefuses changes a bulletin in ways that a rendezvous server could.
func TestVerifyRefuses(t *testing.T) {
	ca := pkitest.NewCA(t, "A", now)
	roots := []*x509.Certificate{ca.Cert}
	good := sign(t, &Bulletin{Number: 7, Issued: now, Policy: "deny all <-> all\n"}, signer(ca))
	other := sign(t, &Bulletin{Number: 8, Issued: now, Policy: "deny all <-> all\n"}, signer(pkitest.NewCA(t, "A", now)))
	impostor := bytes.Clone(other)
	copy(impostor[5:], good[5:5+sha256.Size]) // the key of A, and another's signature
	for _, c := range []struct {
		name string
		data []byte
		now  time.Time
	}{
		{"another key under the same name", other, now},
		{"a signature under another's key ID", impostor, now},
		{"a changed policy", bytes.Replace(good, []byte("deny"), []byte("dent"), 1), now},
		{"a later number", bytes.Replace(good, []byte{0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7}, []byte{0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9}, 1), now},
		{"a root that has expired", good, now.AddDate(11, 0, 0)},
		{"a root of the future", good, now.AddDate(-1, 0, 0)},
	} {
		if bytes.Equal(c.data, good) && c.now.Equal(now) {
			t.Fatalf("%s: nothing was changed", c.name)
		}
		s, err := Parse(c.data)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if b, err := s.Verify(c.now, roots); !errors.Is(err, ErrUntrusted) {
			t.Errorf("%s: bulletin %+v, error %v, want ErrUntrusted", c.name, b, err)
		}
	}
	if s, err := Parse(good); err != nil {
		t.Error(err)
	} else if _, err := s.Verify(now, roots); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// field is a field of a bulletin.
func field(tag byte, value ...byte) []byte {
	return append([]byte{tag, 0, byte(len(value) >> 8), byte(len(value))}, value...)
}

func TestParseMalformed(t *testing.T) {
	leaf := pkitest.NewCA(t, "A", now).Issue(t, "leaf").Cert.Raw
	head := append([]byte("CVB1\x01"), append(make([]byte, 32), 0, 1, 's')...)
	number, issued := field(1, 0, 0, 0, 0, 0, 0, 0, 1), field(2, 0, 0, 0, 0, 0, 0, 0, 1)
	join := func(parts ...[]byte) []byte { return bytes.Join(append([][]byte{head}, parts...), nil) }
	if _, err := Parse(join(number, issued, field(9, 1, 2, 3))); err != nil {
		t.Errorf("a field that nobody knows: %v, want it skipped", err)
	}
	for name, data := range map[string][]byte{
		"nothing":               nil,
		"another version":       bytes.Replace(join(number, issued), []byte("CVB1"), []byte("CVB2"), 1),
		"no signature":          bytes.Join([][]byte{[]byte("CVB1\x00"), number, issued}, nil),
		"too many signatures":   append([]byte("CVB1\x05"), make([]byte, 200)...),
		"signature cut off":     head[:len(head)-1],
		"no fields":             head,
		"no number":             join(issued),
		"number 0":              join(field(1, make([]byte, 8)...), issued),
		"number too short":      join(field(1, 1), issued),
		"no time":               join(number),
		"time out of range":     join(number, field(2, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)),
		"number twice":          join(number, number, issued),
		"out of order":          join(issued, number),
		"field cut off":         join(number, issued, []byte{3, 0, 0, 9, 'x'}),
		"certificate is none":   join(number, issued, field(4, 1, 2, 3)),
		"certificate of a host": join(number, issued, field(4, leaf...)),
		"too large":             make([]byte, MaxSize+1),
	} {
		if s, err := Parse(data); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, error %v, want ErrMalformed", name, s, err)
		}
	}
}

func TestSignLimits(t *testing.T) {
	ca := pkitest.NewCA(t, "A", now)
	s := signer(ca)
	many := make([]*x509.Certificate, MaxCAs+1)
	for i := range many {
		many[i] = ca.Cert
	}
	for name, c := range map[string]struct {
		b       *Bulletin
		signers []Signer
	}{
		"no signer":             {&Bulletin{Number: 1, Issued: now}, nil},
		"too many signers":      {&Bulletin{Number: 1, Issued: now}, []Signer{s, s, s, s, s}},
		"too many certificates": {&Bulletin{Number: 1, Issued: now, CAs: many}, []Signer{s}},
		"too large":             {&Bulletin{Number: 1, Issued: now, Policy: strings.Repeat("#", MaxSize)}, []Signer{s}},
	} {
		if _, err := Sign(rand.Reader, c.b, c.signers...); err == nil || !strings.HasPrefix(err.Error(), "bulletin: ") {
			t.Errorf("%s: error %v, want one", name, err)
		}
	}
	largest := &Bulletin{Number: 1, Issued: now, Policy: strings.Repeat("#", MaxSize-1000)}
	if _, err := Parse(sign(t, largest, s)); err != nil {
		t.Errorf("a large one: %v", err)
	}
}

// TestGolden fixes the format. The signature is Ed25519, which has no randomness.
func TestGolden(t *testing.T) {
	ca := edCA(t)
	got := hex.EncodeToString(sign(t, &Bulletin{Number: 258, Issued: now, Policy: "default deny\n"}, signer(ca)))
	want := strings.Join([]string{
		"43564231", "01", // "CVB1", one signature
		"339e2ff917630507b6a423b5ce084e285d1fa65d93b3e27a6195d3bbebc9ae23",
		"0040", // bytes of the signature
		"4ae885942ee430473b2f18a9dad403ac8ec9f20146514cdcd3e238da865265e9",
		"e9e6c65d7224aef6768c747af5fcb76f1fc202869203642ae052186c321b500e",
		"01000008", "0000000000000102", // number
		"02000008", "0000000069a42a40", // 2026-03-01 12:00
		"0300000d", "64656661756c742064656e790a", // policy
	}, "")
	if got != want {
		t.Errorf("bulletin\n%s, want\n%s", got, want)
	}
}

func FuzzParse(f *testing.F) {
	ca := edCA(f)
	roots := []*x509.Certificate{ca.Cert}
	good := sign(f, &Bulletin{Number: 1, Issued: now, Policy: "default deny\n", CAs: roots}, signer(ca))
	f.Add(good)
	f.Add(good[:50])
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil {
			return
		}
		b, err := s.Verify(now, roots)
		if err != nil {
			return
		}
		// Only what the CA signed is believed; signatures beside its own may be
		// anything.
		if b.Number != 1 || b.Policy != "default deny\n" {
			t.Fatalf("a forged bulletin is believed: %+v", b)
		}
	})
}
