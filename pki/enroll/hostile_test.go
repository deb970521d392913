package enroll

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"testing"

	"campagnol/pki/pkitest"
)

// TestLostAndMixed loses, repeats and reorders what goes between host and
// authority, and changes bytes of it.
func TestLostAndMixed(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := mathrand.New(mathrand.NewPCG(seed, 0))
			a := newAuthority(t)
			a.whole = once(a.whole)
			key := pkitest.NewKey(t)
			e, err := NewEnrolment(rand.Reader, a.token, key)
			if err != nil {
				t.Fatal(err)
			}
			var requests, answers [][]byte
			for n := 0; !e.Done(); n++ {
				if n > 2000 {
					t.Fatal("no end")
				}
				requests = append(requests, e.Next())
				if r := requests[random.IntN(len(requests))]; random.IntN(3) > 0 {
					answers = append(answers, a.answer(r))
				}
				if len(answers) == 0 {
					continue
				}
				b := bytes.Clone(answers[random.IntN(len(answers))])
				if random.IntN(3) == 0 {
					b[random.IntN(len(b))] ^= byte(1 + random.IntN(255))
				}
				if random.IntN(10) == 0 {
					b = b[:random.IntN(len(b))]
				}
				if err := e.Take(b); err != nil {
					t.Fatalf("%d: %v", n, err)
				}
			}
			if r, err := e.Result(); err != nil || !isKeyOf(r.Chain[0], key) {
				t.Errorf("result %+v, %v", r, err)
			}
		})
	}
}

// TestAnswerOfAnother gives a host what the authority has said to somebody else
// with the same token, and to the host itself before.
func TestAnswerOfAnother(t *testing.T) {
	a := newAuthority(t)
	thief, err := NewEnrolment(rand.Reader, a.token, pkitest.NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	host, err := NewEnrolment(rand.Reader, a.token, pkitest.NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	host.Next()
	if err := host.Take(a.answer(thief.Next())); err != nil || host.Fetched() != 0 || host.Doubts() != 0 {
		t.Errorf("error %v, %d bytes, %d doubts, want the answer ignored", err, host.Fetched(), host.Doubts())
	}
}

// TestSwappedRequest checks that a rendezvous server cannot put its own key, or
// another offset, into a host's request.
func TestSwappedRequest(t *testing.T) {
	a := newAuthority(t)
	e, err := NewEnrolment(rand.Reader, a.token, pkitest.NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	b := e.Next()
	open := func(b []byte) error {
		r, err := ParseRequest(b)
		if err != nil {
			return err
		}
		_, err = r.Open(a.master)
		return err
	}
	if err := open(b); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		changed := bytes.Clone(b)
		changed[i] ^= 1
		if err := open(changed); err == nil {
			t.Errorf("byte %d was changed, and nobody minds", i)
		}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, pkitest.NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	own := append(bytes.Clone(b[:headSize+nonceSize]), csr...)
	if err := open(own); !errors.Is(err, ErrSeal) {
		t.Errorf("a request that is not sealed: error %v, want ErrSeal", err)
	}
}

// A signing request has to prove that its sender has the key.
func TestForgedSigningRequest(t *testing.T) {
	key := pkitest.NewKey(t)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseSigningRequest(csr)
	if pub, ok := got.(interface{ Equal(crypto.PublicKey) bool }); err != nil || !ok || !pub.Equal(key.Public()) {
		t.Errorf("key %v, %v, want that of the request", got, err)
	}
	changed := bytes.Clone(csr)
	changed[len(changed)-1] ^= 1
	for name, der := range map[string][]byte{"a wrong signature": changed, "half of it": csr[:len(csr)/2], "nothing": nil} {
		if key, err := ParseSigningRequest(der); err == nil {
			t.Errorf("%s: %v, want an error", name, key)
		}
	}
}

// TestPieces puts an answer together.
func TestPieces(t *testing.T) {
	whole := make([]byte, 2*maxPiece+5)
	for i := range whole {
		whole[i] = byte(i)
	}
	piece := func(whole []byte, offset int) []byte {
		return (&Request{head: head{offset: uint32(offset)}}).piece(whole)
	}
	a := &assembly{}
	if got := a.take(piece(whole, 0)); got != nil || len(a.got) != maxPiece {
		t.Fatalf("after one piece: %d bytes, whole %v", len(a.got), got)
	}
	other := bytes.Clone(whole)
	other[0]++
	if got := a.take(piece(other, maxPiece)); got != nil || len(a.got) != 0 {
		t.Errorf("a piece of another answer: %d bytes, whole %v, want to begin again", len(a.got), got)
	}
	for i := 0; i < len(whole); i += maxPiece {
		got := a.take(piece(whole, i))
		if done := i+maxPiece >= len(whole); done != (got != nil) || done && !bytes.Equal(got, whole) {
			t.Errorf("after the piece at %d: %d bytes, done %t", i, len(got), got != nil)
		}
	}
	lied := piece(whole[:10], 0)
	lied[len(lied)-1]++
	huge := piece(whole, 0)
	huge[0] = 1
	for name, b := range map[string][]byte{
		"a wrong digest": lied, "an endless answer": huge, "nothing": nil, "no data": piece(whole, 0)[:pieceHead], "more than the whole": append(piece(whole[:10], 0), 1),
	} {
		if got := a.take(b); got != nil || len(a.got) != 0 {
			t.Errorf("%s: %d bytes, whole %v, want nothing", name, len(a.got), got)
		}
	}
	if n := len(piece(whole, 3*maxPiece)); n != pieceHead {
		t.Errorf("a piece behind the end has %d bytes, want %d", n, pieceHead)
	}
}

// TestMessageGolden fixes the formats, with a signing request that is none.
func TestMessageGolden(t *testing.T) {
	token, err := NewToken(&count{}, [32]byte{}, "h:1")
	if err != nil {
		t.Fatal(err)
	}
	e := newEnrolment(&count{}, token, nil, []byte("csr"))
	request := e.Next()
	const head = "000102030405060700000000" // ID and offset
	const nonce = "000102030405060708090a0b"
	if got, want := hex.EncodeToString(request), "0101"+head+nonce+"e4db7b2c9f30f5f7f18de326f3d44a79f686ca"; got != want {
		t.Errorf("request %s, want %s", got, want)
	}
	r, err := ParseRequest(request)
	if err != nil {
		t.Fatal(err)
	}
	whole := (&Refusal{Expired, "no"}).Append(nil)
	if got, want := hex.EncodeToString(whole), "01000003"+"03"+"6e6f"; got != want {
		t.Errorf("refusal %s, want %s", got, want)
	}
	answer, err := r.Seal(&count{}, token.Master(), []byte("csr"), whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		got        []byte
	}{
		{"sealed", "0101" + head + nonce + "ec772279997012fd4fb8df80383186771a0d56020b6beba7862a4a3e01604bba7d7433d1988b7a1db12215", answer},
		{"plain", "0102" + head + "00000007" + "19034c6bc52210aea2c019f37f5b05c5" + "01000003036e6f", r.Plain(whole)},
		{"unknown", "0103" + head, r.Unknown()},
		{"busy", "0104" + head, r.Busy()},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s answer %s, want %s", c.name, got, c.want)
		}
	}
	if err := e.Take(answer); err == nil || err.Error() != "no" {
		t.Errorf("the exchange ends with %v, want the refusal", err)
	}
}
