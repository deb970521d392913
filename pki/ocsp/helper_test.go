package ocsp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"io"
	"math/big"
	"net/http"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"

	"golang.org/x/crypto/ocsp"
)

// began is when the certificates of tests without a clock are made.
var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// address is what certificates in tests name as their responder.
const address = "http://ocsp.example.org/"

// named makes a certificate name responders.
func named(urls ...string) pkitest.Edit {
	return func(c *x509.Certificate) { c.OCSPServer = urls }
}

// A says is what a responder says.
type says struct {
	status     int // of package ocsp
	this, next time.Time
	at         time.Time // of the revocation
	serial     *big.Int  // nil: that of the certificate
	hash       crypto.Hash
	algorithm  x509.SignatureAlgorithm
	beside     *x509.Certificate // sent with the answer
	byKey      crypto.Signer     // nil: the issuer's
	named      *x509.Certificate // as the responder; nil: the issuer
	issuer     *x509.Certificate // of which it speaks; nil: the signer
}

// answer makes a response about leaf.
func (s says) answer(t testing.TB, ca *pkitest.CA, leaf *x509.Certificate) []byte {
	t.Helper()
	if s.serial == nil {
		s.serial = leaf.SerialNumber
	}
	if s.byKey == nil {
		s.byKey = ca.Key
	}
	if s.issuer == nil {
		s.issuer = ca.Cert
	}
	if s.named == nil {
		s.named = ca.Cert
	}
	der, err := ocsp.CreateResponse(s.issuer, s.named, ocsp.Response{
		Status: s.status, SerialNumber: s.serial, ThisUpdate: s.this, NextUpdate: s.next, RevokedAt: s.at, RevocationReason: ocsp.KeyCompromise,
		Certificate: s.beside, IssuerHash: s.hash, SignatureAlgorithm: s.algorithm,
	}, s.byKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// delegated makes a certificate for a responder.
func delegated(t testing.TB, ca *pkitest.CA, edits ...pkitest.Edit) *pkitest.Leaf {
	t.Helper()
	return ca.Issue(t, "responder", append([]pkitest.Edit{pkitest.ExtUsage(x509.ExtKeyUsageOCSPSigning)}, edits...)...)
}

// peerOf is what a policy makes of a leaf that ca has issued.
func peerOf(t testing.TB, ca *pkitest.CA, leaf *pkitest.Leaf) *pki.Peer {
	t.Helper()
	p, err := pki.NewPolicy([]*x509.Certificate{ca.Cert}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := p.Verify(leaf.Cert.NotBefore.Add(time.Hour), leaf.Raw(), pki.Client)
	if err != nil {
		t.Fatal(err)
	}
	return peer
}

// A web answers requests in memory.
type web func(*http.Request) (*http.Response, error)

// RoundTrip answers a request.
func (w web) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

// reply is an HTTP response with a status and a body.
func reply(status int, body []byte) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
}

// A responder plays the responder of a CA. Tests change what it says between
// questions.
type responder struct {
	t     *testing.T
	ca    *pkitest.CA
	life  time.Duration // of answers; 0: they have no end
	about map[string]int
	raw   []byte // said instead of all else
	delay time.Duration
	fault error
	asked int
}

func newResponder(t *testing.T, ca *pkitest.CA) *responder {
	return &responder{t: t, ca: ca, life: 30 * time.Minute, about: map[string]int{}}
}

// RoundTrip answers a question about a certificate of the CA: by its serial number,
// or good.
func (r *responder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.asked++
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	if err := wait(req.Context(), r.delay); err != nil {
		return nil, err
	}
	if r.fault != nil {
		return nil, r.fault
	}
	if r.raw != nil {
		return reply(http.StatusOK, r.raw), nil
	}
	q, err := ocsp.ParseRequest(body)
	if err != nil {
		r.t.Errorf("the question cannot be read: %v", err)
		return reply(http.StatusBadRequest, nil), nil
	}
	now := time.Now()
	s := says{status: r.about[q.SerialNumber.String()], this: now, serial: q.SerialNumber, at: now}
	if r.life != 0 {
		s.next = now.Add(r.life)
	}
	return reply(http.StatusOK, s.answer(r.t, r.ca, r.ca.Cert)), nil
}

// wait waits as a network does.
func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
