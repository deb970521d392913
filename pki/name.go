package pki

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var errName = errors.New("malformed name")

// nameHash returns the hash of a name (DER) by which OpenSSL 1.0 and later
// find a certificate in a directory: the first four bytes, little-endian, of
// the SHA-1 of its canonical form. SHA-1 here is a way to spread names over
// files, not a proof of anything.
func nameHash(raw []byte) (uint32, error) {
	c, err := canonicalName(raw)
	if err != nil {
		return 0, err
	}
	return hashCanonical(c), nil
}

// hashCanonical is nameHash for a name in canonical form.
func hashCanonical(c []byte) uint32 {
	sum := sha1.Sum(c)
	return binary.LittleEndian.Uint32(sum[:4])
}

// canonicalName returns the form in which OpenSSL compares names: the
// relative distinguished names without the SEQUENCE around them, with each
// character string as UTF-8, in lower case (ASCII only), without spaces at the
// ends and with single spaces inside.
func canonicalName(raw []byte) ([]byte, error) {
	input := cryptobyte.String(raw)
	var rdns cryptobyte.String
	if !input.ReadASN1(&rdns, cbasn1.SEQUENCE) || !input.Empty() {
		return nil, errName
	}
	var out []byte
	for !rdns.Empty() {
		var set cryptobyte.String
		if !rdns.ReadASN1(&set, cbasn1.SET) {
			return nil, errName
		}
		rdn, err := canonicalRDN(set)
		if err != nil {
			return nil, err
		}
		out = append(out, rdn...)
	}
	return out, nil
}

// canonicalRDN returns the SET of a relative distinguished name: its attributes
// in the order of DER, which their new values may have changed.
func canonicalRDN(set cryptobyte.String) ([]byte, error) {
	var attrs [][]byte
	for !set.Empty() {
		var attr, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		var tag cbasn1.Tag
		if !set.ReadASN1(&attr, cbasn1.SEQUENCE) || !attr.ReadASN1ObjectIdentifier(&oid) ||
			!attr.ReadAnyASN1(&value, &tag) || !attr.Empty() {
			return nil, errName
		}
		text, ok, err := stringValue(tag, value)
		if err != nil {
			return nil, err
		}
		if ok {
			tag, value = cbasn1.UTF8String, canonicalString(text)
		}
		var b cryptobyte.Builder
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(value) })
		})
		der, err := b.Bytes()
		if err != nil {
			return nil, errName
		}
		attrs = append(attrs, der)
	}
	slices.SortFunc(attrs, bytes.Compare)
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
		for _, a := range attrs {
			b.AddBytes(a)
		}
	})
	return b.Bytes()
}

const tagBMPString = cbasn1.Tag(asn1.TagBMPString)

// stringValue returns the UTF-8 form of a character string, and false for
// values of other types, which have no canonical form of their own. Strings
// that crypto/x509 cannot read are among these: a certificate with one does
// not get here.
func stringValue(tag cbasn1.Tag, v []byte) (text []byte, ok bool, err error) {
	switch tag {
	case cbasn1.UTF8String:
		if !utf8.Valid(v) {
			return nil, false, errName
		}
		return v, true, nil
	case cbasn1.PrintableString, cbasn1.T61String, cbasn1.IA5String:
		// OpenSSL reads the 8-bit strings as Latin-1, T61String too.
		for _, c := range v {
			text = utf8.AppendRune(text, rune(c))
		}
		return text, true, nil
	case tagBMPString:
		text, err = decodeBMP(v)
		return text, true, err
	}
	return nil, false, nil
}

// decodeBMP decodes a BMPString: big-endian code points of 16 bits. Surrogates
// have no place in it.
func decodeBMP(v []byte) ([]byte, error) {
	if len(v)%2 != 0 {
		return nil, errName
	}
	var text []byte
	for ; len(v) > 0; v = v[2:] {
		r := rune(binary.BigEndian.Uint16(v))
		if utf16.IsSurrogate(r) {
			return nil, errName
		}
		text = utf8.AppendRune(text, r)
	}
	return text, nil
}

// canonicalString trims and folds UTF-8 text.
func canonicalString(text []byte) []byte {
	text = bytes.Trim(text, spaces)
	out := make([]byte, 0, len(text))
	for i, c := range text {
		switch {
		case !isSpace(c):
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			out = append(out, c)
		case !isSpace(text[i-1]): // text does not start with a space
			out = append(out, ' ')
		}
	}
	return out
}

// spaces are the characters that C's isspace knows.
const spaces = " \t\n\v\f\r"

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// nameForPeople formats a name (DER) for messages, as subjectOf does.
func nameForPeople(raw []byte) string {
	var rdns pkix.RDNSequence
	if _, err := asn1.Unmarshal(raw, &rdns); err != nil {
		return "(unreadable name)"
	}
	var n pkix.Name
	n.FillFromRDNSequence(&rdns)
	if n.CommonName != "" {
		return "CN=" + printable(n.CommonName)
	}
	return printable(n.String())
}
