package pki

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
)

// A Role is what a peer is in a DTLS handshake. Who asked the rendezvous
// server for a path is the client.
type Role uint8

// The roles of the peer whose certificate is checked.
const (
	Client Role = iota // the peer is the DTLS client
	Server             // the peer is the DTLS server
)

// String returns "client" or "server".
func (r Role) String() string {
	switch r {
	case Client:
		return "client"
	case Server:
		return "server"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// A KeyID identifies a public key: it is the SHA-256 of its
// SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7). It stays the same when a
// certificate is renewed with the same key. The zero KeyID is nobody's.
type KeyID [sha256.Size]byte

// KeyOf returns the ID of the key in a certificate.
func KeyOf(c *x509.Certificate) KeyID { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// String returns the first 12 hexadecimal digits, for people and logs.
func (k KeyID) String() string { return hex.EncodeToString(k[:6]) }

// MarshalText returns all 64 hexadecimal digits.
func (k KeyID) MarshalText() ([]byte, error) {
	return hex.AppendEncode(nil, k[:]), nil
}

// UnmarshalText reads what MarshalText returns.
func (k *KeyID) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(k)) {
		return fmt.Errorf("pki: a key ID has %d hexadecimal digits, not %d", hex.EncodedLen(len(k)), len(text))
	}
	var b KeyID
	if _, err := hex.Decode(b[:], text); err != nil {
		return fmt.Errorf("pki: key ID: %w", err)
	}
	*k = b
	return nil
}

// A Peer is who holds a certificate that [Policy.Verify] accepted.
type Peer struct {
	Leaf *x509.Certificate // must not be changed

	// Name is for people: the first DNS name of the certificate, or its common
	// name, or the short key ID. It is printable and short, and not unique.
	Name string

	// Addrs are the IP addresses that the certificate names, IPv4 ones in
	// their 4-byte form: the VPN addresses that belong to the peer. None means
	// that the certificate binds no address; see [Pins].
	Addrs []netip.Addr

	Key KeyID // the peer's identity

	// Warnings say what an administrator should look at although the peer was
	// accepted, such as an expired revocation list.
	Warnings []string
}

// PeerOf returns what a certificate says about its holder. It does not look whether
// any of that is true: [Policy.Verify] does.
func PeerOf(leaf *x509.Certificate) *Peer {
	p := &Peer{Leaf: leaf, Key: KeyOf(leaf), Addrs: addrsOf(leaf)}
	switch {
	case len(leaf.DNSNames) > 0 && leaf.DNSNames[0] != "":
		p.Name = printable(leaf.DNSNames[0])
	case leaf.Subject.CommonName != "":
		p.Name = printable(leaf.Subject.CommonName)
	default:
		p.Name = p.Key.String()
	}
	return p
}

// addrsOf returns the IP addresses in the subject alternative name.
func addrsOf(c *x509.Certificate) []netip.Addr {
	var addrs []netip.Addr
	for _, ip := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs
}

// subjectOf names a certificate in messages: by its common name if there is
// one, since the whole name is long and its rest is mostly the same everywhere.
func subjectOf(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return "CN=" + printable(c.Subject.CommonName)
	}
	if s := c.Subject.String(); s != "" {
		return printable(s)
	}
	return "without subject"
}

// issuerOf names the issuer of a certificate, like subjectOf.
func issuerOf(c *x509.Certificate) string {
	if c.Issuer.CommonName != "" {
		return "CN=" + printable(c.Issuer.CommonName)
	}
	return printable(c.Issuer.String())
}

// serialOf returns the serial number as OpenSSL prints it: hexadecimal, upper
// case, an even number of digits.
func serialOf(c *x509.Certificate) string {
	s := fmt.Sprintf("%X", c.SerialNumber)
	if len(s)%2 != 0 {
		s = "0" + s
	}
	return s
}

// The longest name and the longest sentence with parts of a peer that are
// shown, in runes. The common name of RFC 5280 ends at 64; a peer may send more.
const (
	maxName = 64
	maxText = 500
)

// printable makes a name that came from outside safe to show and to log: what
// could forge a line or move the cursor becomes "?", and long names are cut.
func printable(s string) string { return sanitize(s, maxName) }

// printableText is printable for the text of an error that may quote a peer.
func printableText(s string) string { return sanitize(s, maxText) }

func sanitize(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == most {
			b.WriteString("...")
			break
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			r = '?'
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}
