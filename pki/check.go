package pki

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"
)

// Bounds on RSA keys, in bits. crypto/rsa verifies nothing under the lower
// one. The upper one keeps a peer from making us compute for seconds.
const (
	minRSA = 1024
	maxRSA = 8192
)

// checkTime checks that c is valid at now.
func checkTime(now time.Time, c *x509.Certificate) *Refusal {
	switch {
	case now.Before(c.NotBefore):
		return refuse(NotYetValid, c, fmt.Sprintf("not valid before %s, and now is %s", stamp(c.NotBefore), stamp(now)), remedyClock)
	case now.After(c.NotAfter):
		return refuse(Expired, c, fmt.Sprintf("expired on %s, and now is %s", stamp(c.NotAfter), stamp(now)), remedyNew)
	}
	return nil
}

// checkStrength checks key and signature algorithm of c.
func checkStrength(c *x509.Certificate) *Refusal {
	if r := checkKey(c); r != nil {
		return r
	}
	return checkSignatureAlgorithm(c)
}

// checkKey checks that the public key of c is of a kind and size that we use.
func checkKey(c *x509.Certificate) *Refusal {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSA || n > maxRSA {
			return refuse(WeakKey, c, fmt.Sprintf("its RSA key has %d bits, and we take %d to %d", n, minRSA, maxRSA), remedyNew)
		}
		return nil
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return nil
	}
	return refuse(WeakKey, c, fmt.Sprintf("its key is neither ECDSA nor RSA nor Ed25519 but %v", c.PublicKeyAlgorithm), remedyNew)
}

// checkSignatureAlgorithm checks that c is signed with an algorithm that
// proves something. Campagnol 0.3.5 took what we refuse here, and its CA script
// signed with SHA-1, so that the message and its remedy matter.
func checkSignatureAlgorithm(c *x509.Certificate) *Refusal {
	switch c.SignatureAlgorithm {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512,
		x509.PureEd25519:
		return nil
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return refuse(WeakSignature, c, fmt.Sprintf("signed with %v, which can be forged", c.SignatureAlgorithm), remedySign)
	}
	return refuse(WeakSignature, c, "signed with an algorithm that we do not know", remedySign)
}

var (
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidNetscapeCertType = asn1.ObjectIdentifier{2, 16, 840, 1, 113730, 1, 1}
)

// extension returns the value of an extension of c.
func extension(c *x509.Certificate, oid asn1.ObjectIdentifier) (value []byte, ok bool) {
	for _, e := range c.Extensions {
		if e.Id.Equal(oid) {
			return e.Value, true
		}
	}
	return nil, false
}

// checkKeyUsage checks that a leaf may sign. With ECDHE the server signs its
// ephemeral key (RFC 8422 section 5.4) and the client the handshake (RFC 5246
// section 7.4.8); the certificate's key does nothing else. Certificates for
// the static key exchanges of the original, with keyEncipherment or
// keyAgreement alone, are of no use then.
func checkKeyUsage(leaf *x509.Certificate) *Refusal {
	if _, restricted := extension(leaf, oidKeyUsage); restricted && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return refuse(WrongUsage, leaf, "its key usage does not include digitalSignature, which handshakes with ephemeral keys (ECDHE) need", remedyNew)
	}
	return nil
}

// purposes are the extended key usages that allow a role. The two of "server
// gated cryptography" are what OpenSSL takes for serverAuth.
var purposes = [...][]x509.ExtKeyUsage{
	Client: {x509.ExtKeyUsageAny, x509.ExtKeyUsageClientAuth},
	Server: {x509.ExtKeyUsageAny, x509.ExtKeyUsageServerAuth,
		x509.ExtKeyUsageMicrosoftServerGatedCrypto, x509.ExtKeyUsageNetscapeServerGatedCrypto},
}

// allows reports whether the holder of c may have the role: an extended key
// usage, where there is one, must list it, and so must the type that Netscape
// invented before and that old certificates still carry.
func allows(c *x509.Certificate, role Role) bool {
	if role > Server {
		return false
	}
	if _, ok := extension(c, oidNetscapeCertType); ok && !c.IsCA && !netscapeAllows(c, role) {
		return false
	}
	if _, ok := extension(c, oidExtKeyUsage); !ok {
		return true
	}
	return slices.ContainsFunc(c.ExtKeyUsage, func(u x509.ExtKeyUsage) bool {
		return slices.Contains(purposes[role], u)
	})
}

// netscapeAllows evaluates the Netscape certificate type, a BIT STRING: bit 0
// is the SSL client, bit 1 the SSL server. A value that is none allows nothing.
func netscapeAllows(c *x509.Certificate, role Role) bool {
	value, _ := extension(c, oidNetscapeCertType)
	var bits asn1.BitString
	if rest, err := asn1.Unmarshal(value, &bits); err != nil || len(rest) != 0 {
		return false
	}
	return bits.At(int(role)) == 1
}

// usage is what a role is called where usages are listed.
func (r Role) usage() string {
	if r == Client {
		return "clientAuth"
	}
	return "serverAuth"
}

// checkRole checks that every certificate of a chain allows the role: a CA's
// extended key usage limits what it issues. (RFC 5280 does not say so, but
// OpenSSL does it, and CAs rely on it.)
func checkRole(chain []*x509.Certificate, role Role) *Refusal {
	for i, c := range chain {
		if allows(c, role) {
			continue
		}
		detail := fmt.Sprintf("its extended key usage does not include %s, which the DTLS %v needs", role.usage(), role)
		if i > 0 {
			detail = fmt.Sprintf("the extended key usage of this CA does not include %s, which its certificates need for a DTLS %v", role.usage(), role)
		}
		return refuse(WrongUsage, c, detail, remedyNew)
	}
	return nil
}
