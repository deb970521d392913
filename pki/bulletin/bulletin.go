// Package bulletin is what the authority of a VPN tells all members at once: the
// policy, and further certificates of the authority itself, so that its key can be
// replaced while everybody goes on. Rendezvous servers pass it on; only the
// signatures count.
//
//	offset  size  field
//	0       4     "CVB1"
//	4       1     number of signatures, 1 to 4
//	5       -     signatures
//	-       -     fields, to the end
//
// Each signature is
//
//	32  SHA-256 of the SubjectPublicKeyInfo of a CA
//	2   length of the signature
//	-   signature by that key of all fields, see [pki.SignStatement], with the
//	    context "campagnol bulletin 1"
//
// and each field
//
//	1  tag
//	3  length of the value
//	-  value
//
// Lengths and numbers are in network byte order. The fields are
//
//	1  number: 8 bytes. Of two bulletins the one with the higher number holds
//	2  time of issue: 8 bytes, seconds since 1970
//	3  policy, text; may be missing
//	4  certificate of the authority, DER; may be repeated
//
// in this order. A reader skips fields that it does not know. Each signature is of
// the same fields: a member needs one CA that it trusts, and while a key is being
// replaced there are members that trust the old one only, and the new one only.
package bulletin

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"campagnol/pki"

	"golang.org/x/crypto/cryptobyte"
)

const (
	// MaxSize is the size of the largest bulletin, in bytes.
	MaxSize = 4 << 20

	// MaxCAs is the greatest number of certificates in a bulletin.
	MaxCAs = 8

	maxSignatures = 4
	maxSignature  = 1024 // bytes: that of an RSA key with 8192 bits
	maxCert       = 16 << 10

	magic   = "CVB1"
	context = "campagnol bulletin 1"
)

const (
	tagNumber = 1
	tagIssued = 2
	tagPolicy = 3
	tagCA     = 4
)

// A Bulletin is what the authority says.
type Bulletin struct {
	Number uint64
	Issued time.Time // whole seconds, UTC
	Policy string    // empty: the bulletin says nothing about it
	CAs    []*x509.Certificate
}

// A Signer is a key of the authority, with its certificate.
type Signer struct {
	Cert *x509.Certificate
	Key  crypto.Signer
}

// Sign returns the bulletin b with the signature of each signer.
func Sign(rand io.Reader, b *Bulletin, signers ...Signer) ([]byte, error) {
	if len(signers) == 0 || len(signers) > maxSignatures {
		return nil, fmt.Errorf("bulletin: %d signatures are not possible; say 1 to %d", len(signers), maxSignatures)
	}
	fields, err := b.fields()
	if err != nil {
		return nil, err
	}
	var w cryptobyte.Builder
	w.AddBytes([]byte(magic))
	w.AddUint8(uint8(len(signers)))
	for _, s := range signers {
		sig, err := pki.SignStatement(rand, s.Key, context, fields)
		if err != nil {
			return nil, fmt.Errorf("bulletin: %w", err)
		}
		id := pki.KeyOf(s.Cert)
		w.AddBytes(id[:])
		w.AddUint16LengthPrefixed(func(w *cryptobyte.Builder) { w.AddBytes(sig) })
	}
	w.AddBytes(fields)
	out, err := w.Bytes()
	if err == nil && len(out) > MaxSize {
		err = fmt.Errorf("it has %d bytes, and at most %d are possible", len(out), MaxSize)
	}
	if err != nil {
		return nil, fmt.Errorf("bulletin: %w", err)
	}
	return out, nil
}

// fields returns the wire form of what is signed.
func (b *Bulletin) fields() ([]byte, error) {
	if len(b.CAs) > MaxCAs {
		return nil, fmt.Errorf("bulletin: %d certificates are not possible; say at most %d", len(b.CAs), MaxCAs)
	}
	var w cryptobyte.Builder
	add := func(tag uint8, value func(w *cryptobyte.Builder)) {
		w.AddUint8(tag)
		w.AddUint24LengthPrefixed(value)
	}
	add(tagNumber, func(w *cryptobyte.Builder) { w.AddUint64(b.Number) })
	add(tagIssued, func(w *cryptobyte.Builder) { w.AddUint64(uint64(b.Issued.Unix())) })
	if b.Policy != "" {
		add(tagPolicy, func(w *cryptobyte.Builder) { w.AddBytes([]byte(b.Policy)) })
	}
	for _, c := range b.CAs {
		if len(c.Raw) > maxCert {
			return nil, fmt.Errorf("bulletin: a certificate of %d bytes is too large", len(c.Raw))
		}
		add(tagCA, func(w *cryptobyte.Builder) { w.AddBytes(c.Raw) })
	}
	out, err := w.Bytes()
	if err != nil {
		return nil, fmt.Errorf("bulletin: %w", err)
	}
	return out, nil
}

// A Signed is a bulletin that was read, and not believed yet.
type Signed struct {
	bulletin   Bulletin
	signatures []signature
	fields     []byte // what is signed
}

type signature struct {
	key   pki.KeyID
	bytes []byte
}

// Errors of [Parse] and [Signed.Verify].
var (
	ErrMalformed = errors.New("bulletin: malformed")
	ErrUntrusted = errors.New("bulletin: no signature by an authority that is trusted")
)

// Parse reads a bulletin. It accepts any input. What it returns keeps nothing of
// data.
func Parse(data []byte) (*Signed, error) {
	if len(data) > MaxSize {
		return nil, ErrMalformed
	}
	s := cryptobyte.String(bytes.Clone(data))
	var head []byte
	var n uint8
	if !s.ReadBytes(&head, len(magic)) || string(head) != magic || !s.ReadUint8(&n) || n == 0 || n > maxSignatures {
		return nil, ErrMalformed
	}
	b := &Signed{}
	for range n {
		var id []byte
		var sig cryptobyte.String
		if !s.ReadBytes(&id, len(pki.KeyID{})) || !s.ReadUint16LengthPrefixed(&sig) || len(sig) > maxSignature {
			return nil, ErrMalformed
		}
		b.signatures = append(b.signatures, signature{pki.KeyID(id), sig})
	}
	b.fields = s
	if err := b.bulletin.parse(s); err != nil {
		return nil, err
	}
	return b, nil
}

// parse reads fields.
func (b *Bulletin) parse(s cryptobyte.String) error {
	var order uint8
	for !s.Empty() {
		var tag uint8
		var value cryptobyte.String
		if !s.ReadUint8(&tag) || !s.ReadUint24LengthPrefixed(&value) {
			return ErrMalformed
		}
		if tag < order || tag == order && tag < tagCA {
			return ErrMalformed // out of order, or repeated
		}
		order = tag
		if !b.parseField(tag, value) {
			return ErrMalformed
		}
	}
	if b.Number == 0 || b.Issued.IsZero() {
		return ErrMalformed
	}
	return nil
}

func (b *Bulletin) parseField(tag uint8, value cryptobyte.String) bool {
	switch tag {
	case tagNumber:
		return value.ReadUint64(&b.Number) && value.Empty()
	case tagIssued:
		var t uint64
		if !value.ReadUint64(&t) || !value.Empty() || t > maxTime {
			return false
		}
		b.Issued = time.Unix(int64(t), 0).UTC()
	case tagPolicy:
		b.Policy = string(value)
	case tagCA:
		if len(b.CAs) == MaxCAs || len(value) > maxCert {
			return false
		}
		c, err := x509.ParseCertificate(value)
		if err != nil || !c.IsCA || !c.BasicConstraintsValid {
			return false
		}
		b.CAs = append(b.CAs, c)
	}
	return true
}

// maxTime is the end of the year 9999, as in certificates.
const maxTime = 253402300799

// Number returns the number that the bulletin claims to have. It helps to leave
// alone what is old; to believe it takes [Signed.Verify].
func (s *Signed) Number() uint64 { return s.bulletin.Number }

// Verify returns the bulletin, or [ErrUntrusted] if none of its signatures is by
// one of the roots, as they are valid now. One that is trusted is enough.
func (s *Signed) Verify(now time.Time, roots []*x509.Certificate) (*Bulletin, error) {
	for _, sig := range s.signatures {
		for _, root := range roots {
			if pki.KeyOf(root) != sig.key || now.Before(root.NotBefore) || now.After(root.NotAfter) {
				continue
			}
			if pki.VerifyStatement(root, context, s.fields, sig.bytes) == nil {
				b := s.bulletin
				return &b, nil
			}
		}
	}
	return nil, ErrUntrusted
}
