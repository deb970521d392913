package ocsp

import (
	"bytes"
	"crypto"
	_ "crypto/sha1"   // of CertIDs
	_ "crypto/sha256" // likewise
	_ "crypto/sha512" // likewise
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"
)

// An outline is what has to be known of a response before its signature is looked
// at, and what the library does not tell.
type outline struct {
	certificate []byte // DER, the first beside the signature; nil: none
	subjects    []subject
}

// A subject is of what certificate a response speaks: a CertID (RFC 6960 section
// 4.1.1).
type subject struct {
	hash            crypto.Hash // 0: one that we do not know
	issuerName, key []byte      // hashed
	serial          *big.Int
}

// hashes are those that name issuers. SHA-1 is what everybody uses (RFC 5019
// section 2.1.1), and good enough for a name: the signature covers the answer, not
// the hash alone.
var hashes = []struct {
	oid  asn1.ObjectIdentifier
	hash crypto.Hash
}{
	{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, crypto.SHA1},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, crypto.SHA256},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, crypto.SHA384},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, crypto.SHA512},
}

// errMalformed says that a response is none.
var errMalformed = errors.New("what came is no answer (OCSP response)")

// parseOutline reads as much of a response as an outline is. Its grammar is that of
// RFC 6960 section 4.2.1.
func parseOutline(der []byte) (*outline, error) {
	var in, response, kind, octets, basic, data cryptobyte.String
	var code int
	in = der
	if !in.ReadASN1(&response, cbasn1.SEQUENCE) || !in.Empty() || !response.ReadASN1Enum(&code) {
		return nil, errMalformed
	}
	if code != int(ocsp.Success) {
		return nil, fmt.Errorf("the responder refuses to answer: %v", ocsp.ResponseStatus(code))
	}
	if !response.ReadASN1(&response, context0) ||
		!response.ReadASN1(&response, cbasn1.SEQUENCE) ||
		!response.ReadASN1(&kind, cbasn1.OBJECT_IDENTIFIER) ||
		!response.ReadASN1(&octets, cbasn1.OCTET_STRING) ||
		!octets.ReadASN1(&basic, cbasn1.SEQUENCE) || !octets.Empty() ||
		!basic.ReadASN1(&data, cbasn1.SEQUENCE) ||
		!basic.SkipASN1(cbasn1.SEQUENCE) || // signatureAlgorithm
		!basic.SkipASN1(cbasn1.BIT_STRING) { // signature
		return nil, errMalformed
	}
	o := &outline{}
	var certs, cert cryptobyte.String
	var has bool
	if !basic.ReadOptionalASN1(&certs, &has, context0) {
		return nil, errMalformed
	}
	if has {
		if !certs.ReadASN1(&certs, cbasn1.SEQUENCE) {
			return nil, errMalformed
		}
		if !certs.Empty() {
			if !certs.ReadASN1Element(&cert, cbasn1.SEQUENCE) {
				return nil, errMalformed
			}
			o.certificate = cert
		}
	}
	return o, o.readSubjects(data)
}

// context0 tags optional fields.
var context0 = cbasn1.Tag(0).ContextSpecific().Constructed()

// readSubjects reads of which certificates a ResponseData speaks.
func (o *outline) readSubjects(data cryptobyte.String) error {
	var responder, responses cryptobyte.String
	var tag cbasn1.Tag
	if !data.SkipOptionalASN1(context0) || // version
		!data.ReadAnyASN1(&responder, &tag) ||
		!data.SkipASN1(cbasn1.GeneralizedTime) || // producedAt
		!data.ReadASN1(&responses, cbasn1.SEQUENCE) {
		return errMalformed
	}
	for !responses.Empty() {
		var single, id, algorithm, oid, name, key cryptobyte.String
		s := subject{serial: new(big.Int)}
		if !responses.ReadASN1(&single, cbasn1.SEQUENCE) ||
			!single.ReadASN1(&id, cbasn1.SEQUENCE) ||
			!id.ReadASN1(&algorithm, cbasn1.SEQUENCE) ||
			!algorithm.ReadASN1(&oid, cbasn1.OBJECT_IDENTIFIER) ||
			!id.ReadASN1(&name, cbasn1.OCTET_STRING) ||
			!id.ReadASN1(&key, cbasn1.OCTET_STRING) ||
			!id.ReadASN1Integer(s.serial) {
			return errMalformed
		}
		s.issuerName, s.key = name, key
		s.hash = hashOf(oid)
		o.subjects = append(o.subjects, s)
	}
	return nil
}

// hashOf returns the hash with an object identifier, given without its tag and
// length; 0: unknown.
func hashOf(oid []byte) crypto.Hash {
	for _, h := range hashes {
		var b cryptobyte.Builder
		b.AddASN1ObjectIdentifier(h.oid)
		if want := b.BytesOrPanic(); bytes.Equal(want[2:], oid) {
			return h.hash
		}
	}
	return 0
}

// checkSubject checks that the response speaks of leaf. Of several answers the
// first with its serial number counts, for the library as for us.
func (o *outline) checkSubject(leaf, issuer *x509.Certificate) error {
	for _, s := range o.subjects {
		if s.serial.Cmp(leaf.SerialNumber) != 0 {
			continue
		}
		if s.hash == 0 {
			return errors.New("the answer names the issuer by a hash that we do not know")
		}
		key, err := keyBits(issuer)
		if err != nil {
			return err
		}
		if !bytes.Equal(s.issuerName, sum(s.hash, issuer.RawSubject)) || !bytes.Equal(s.key, sum(s.hash, key)) {
			return errors.New("the answer is about a certificate of another issuer")
		}
		return nil
	}
	return errors.New("the answer is about another certificate")
}

func sum(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}

// keyBits returns the public key of c as CertIDs hash it: without algorithm, tag
// and length.
func keyBits(c *x509.Certificate) ([]byte, error) {
	var info, bits cryptobyte.String
	var unused uint8
	in := cryptobyte.String(c.RawSubjectPublicKeyInfo)
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !info.SkipASN1(cbasn1.SEQUENCE) ||
		!info.ReadASN1(&bits, cbasn1.BIT_STRING) || !bits.ReadUint8(&unused) {
		return nil, errors.New("the key of the issuer cannot be read")
	}
	return bits, nil
}
