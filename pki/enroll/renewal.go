package enroll

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"

	"campagnol/pki"

	"golang.org/x/crypto/cryptobyte"
)

// renewalContext is that of the signature in a renewal.
const renewalContext = "campagnol renewal 1"

// maxSerial is the length of the longest serial number, in bytes (RFC 5280 section
// 4.1.2.2).
const maxSerial = 20

// A Renewal says what a host has, and what it wants.
type Renewal struct {
	Cert *x509.Certificate // the current one
	Key  crypto.Signer     // its key

	// NewKey is the key for the next certificate; nil means Key. A fresh key must
	// be kept until the end, over restarts, or no certificate will fit.
	NewKey crypto.Signer

	// Roots are the authorities that the host trusts now, and Intermediates
	// further ones that it has.
	Roots, Intermediates []*x509.Certificate
}

// NewRenewal begins a renewal.
//
// The body of the request is
//
//	1  length of the serial number
//	-  serial number of the current certificate
//	32 SHA-256 of the current certificate, DER
//	2  length of the signing request
//	-  a signing request for a fresh key (PKCS #10, DER); empty: the key stays
//	-  a signature, to the end
//
// The signature is by the key of the current certificate, of version, kind and ID
// of the request and all of the body before, see [pki.SignStatement], with the
// context "campagnol renewal 1". It is the same for all pieces. A renewal with the
// same key needs no signing request, with which an RSA key of 4096 bits would not
// fit into a message: the authority knows the key.
func NewRenewal(rand io.Reader, r Renewal) (*Exchange, error) {
	h := head{what: uint8(Renew)}
	if _, err := io.ReadFull(rand, h.id[:]); err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	body, err := r.body(rand, h)
	if err != nil {
		return nil, err
	}
	if n, most := len(body), MaxSize-headSize; n > most {
		return nil, fmt.Errorf("enroll: a request with these keys has %d bytes, and %d fit into a message; make an ECDSA key, or keep the one there is", n, most)
	}
	key := r.Key
	if r.NewKey != nil {
		key = r.NewKey
	}
	return &Exchange{
		rand:   rand,
		head:   h,
		status: statusPlain,
		seal:   func(h []byte) ([]byte, error) { return append(h, body...), nil },
		open:   func(_, body []byte) ([]byte, bool) { return body, true },
		verify: func(g *Grant) (*Result, error) { return r.verify(g, key) },
	}, nil
}

// body returns the body of the request.
func (r *Renewal) body(rand io.Reader, h head) ([]byte, error) {
	var csr []byte
	if r.NewKey != nil {
		var err error
		if csr, err = x509.CreateCertificateRequest(rand, &x509.CertificateRequest{}, r.NewKey); err != nil {
			return nil, fmt.Errorf("enroll: signing request: %w", err)
		}
	}
	serial, sum := r.Cert.SerialNumber.Bytes(), sha256.Sum256(r.Cert.Raw)
	var w cryptobyte.Builder
	w.AddUint8LengthPrefixed(func(w *cryptobyte.Builder) { w.AddBytes(serial) })
	w.AddBytes(sum[:])
	w.AddUint16LengthPrefixed(func(w *cryptobyte.Builder) { w.AddBytes(csr) })
	body, err := w.Bytes()
	if err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	sig, err := pki.SignStatement(rand, r.Key, renewalContext, renewalText(h, body))
	if err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	return append(body, sig...), nil
}

// renewalText is what the signature in a renewal is of.
func renewalText(h head, body []byte) []byte {
	b := h.append(nil)
	return append(b[:headSize-4], body...) // without the offset
}

// verify decides whether an answer, which may come from anybody, has the
// certificate that was asked for.
func (r *Renewal) verify(g *Grant, key crypto.Signer) (*Result, error) {
	chain, err := parseCerts(g.Chain)
	if err != nil {
		return nil, err
	}
	leaf := chain[0]
	switch {
	case leaf.Equal(r.Cert):
		return nil, ErrNotDue
	case !isKeyOf(leaf, key):
		return nil, errors.New("the answer has a certificate for another key")
	case leaf.Subject.CommonName != r.Cert.Subject.CommonName, !sameAddrs(addrsOf(leaf), addrsOf(r.Cert)):
		return nil, errors.New("the answer has a certificate with another name, or for other VPN addresses")
	case !leaf.NotAfter.After(r.Cert.NotAfter):
		return nil, ErrNoLater
	case pki.IsRendezvous(leaf) != pki.IsRendezvous(r.Cert):
		return nil, errors.New("the answer has a certificate for another role")
	}
	all := append(append([]*x509.Certificate{leaf}, chain[1:]...), r.Intermediates...)
	if _, err := chains(all, r.Roots); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return &Result{Key: key, Chain: chain}, nil
}

// A RenewalRequest is what a host says in a renewal, as the authority sees it.
type RenewalRequest struct {
	Serial *big.Int
	Sum    [sha256.Size]byte // of the certificate
	CSR    []byte            // for a fresh key; empty: the key stays

	text, signature []byte
}

// Renewal reads a request to renew. It accepts any input, and believes nothing:
// see [RenewalRequest.Check].
func (r *Request) Renewal() (*RenewalRequest, error) {
	s := cryptobyte.String(r.body)
	var serial, csr cryptobyte.String
	var sum []byte
	if r.Kind != Renew || !s.ReadUint8LengthPrefixed(&serial) || len(serial) > maxSerial || !s.ReadBytes(&sum, sha256.Size) ||
		!s.ReadUint16LengthPrefixed(&csr) || s.Empty() {
		return nil, ErrMalformed
	}
	signed := r.body[:len(r.body)-len(s)]
	return &RenewalRequest{
		Serial: new(big.Int).SetBytes(serial), Sum: [sha256.Size]byte(sum), CSR: csr,
		text: renewalText(r.head, signed), signature: s,
	}, nil
}

// Text identifies the request among others, for [Request.Key].
func (r *RenewalRequest) Text() []byte { return append(bytes.Clone(r.text), r.signature...) }

// Check checks that the request names cert and was made by the holder of its key,
// and returns the key that is to get the next certificate. The key of a signing
// request signs itself.
func (r *RenewalRequest) Check(cert *x509.Certificate) (crypto.PublicKey, error) {
	if sha256.Sum256(cert.Raw) != r.Sum {
		return nil, errors.New("enroll: the renewal is about another certificate")
	}
	if err := pki.VerifyStatement(cert, renewalContext, r.text, r.signature); err != nil {
		return nil, fmt.Errorf("enroll: renewal: %w", err)
	}
	if len(r.CSR) == 0 {
		return cert.PublicKey, nil
	}
	return ParseSigningRequest(r.CSR)
}
