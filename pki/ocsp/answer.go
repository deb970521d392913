package ocsp

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"
)

const (
	// clockSkew is by how much clocks may differ: ours and the responder's.
	clockSkew = 5 * time.Minute

	// openLife is how long an answer without an end counts. It says that newer
	// ones are always to be had (RFC 6960 section 2.4), and to believe it for
	// longer would let it be replayed for longer.
	openLife = 5 * time.Minute
)

// Bounds on RSA keys, in bits, as for the certificates of peers.
const (
	minRSA = 1024
	maxRSA = 8192
)

// A status is what a responder says about a certificate.
type status uint8

const (
	unasked status = iota
	good
	revoked
	unknown // the responder does not know the certificate
)

// An answer is what was said, by somebody who may.
type answer struct {
	status     status
	thisUpdate time.Time // since when that is known to be so
	nextUpdate time.Time // when newer will be known; zero: not said
	revokedAt  time.Time
	reason     int // of the revocation: a CRLReason (RFC 5280 section 5.3.1)
}

// end returns when there should be a newer answer.
func (a *answer) end() time.Time {
	if a.nextUpdate.IsZero() {
		return a.thisUpdate.Add(openLife)
	}
	return a.nextUpdate
}

// counts reports whether a is in time.
func (a *answer) counts(now time.Time) bool {
	return !now.Before(a.thisUpdate.Add(-clockSkew)) && !now.After(a.end().Add(clockSkew))
}

// reasons are the CRLReasons that say something.
var reasons = map[int]string{
	ocsp.KeyCompromise:        "keyCompromise",
	ocsp.CACompromise:         "CACompromise",
	ocsp.AffiliationChanged:   "affiliationChanged",
	ocsp.Superseded:           "superseded",
	ocsp.CessationOfOperation: "cessationOfOperation",
	ocsp.CertificateHold:      "certificateHold",
	ocsp.PrivilegeWithdrawn:   "privilegeWithdrawn",
	ocsp.AACompromise:         "AACompromise",
}

// revocation says in words that the certificate was revoked.
func (a *answer) revocation() string {
	s := "its responder (OCSP) says that it was revoked on " + stamp(a.revokedAt)
	if r, ok := reasons[a.reason]; ok {
		s += " (" + r + ")"
	}
	return s
}

// errUnknown says what a status unknown means.
var errUnknown = errors.New("the responder does not know the certificate")

// parseAnswer reads a response about leaf, which issuer has signed. It accepts any
// input. What is expensive, checking signatures, comes last and with keys of which
// the issuer says that they may sign.
func parseAnswer(now time.Time, der []byte, leaf, issuer *x509.Certificate) (answer, error) {
	o, err := parseOutline(der)
	if err != nil {
		return answer{}, err
	}
	signer, err := o.signer(now, issuer)
	if err != nil {
		return answer{}, err
	}
	if err := o.checkSubject(leaf, issuer); err != nil {
		return answer{}, err
	}
	// The library would take the certificate of any member for a responder's,
	// and looks at neither times nor issuers: all that is ours. Given no issuer it
	// checks the signature if there is a certificate beside it.
	r, err := ocsp.ParseResponseForCert(der, leaf, nil)
	if err != nil {
		return answer{}, fmt.Errorf("the answer cannot be read: %w", err)
	}
	if err := checkAlgorithm("the answer", r.SignatureAlgorithm); err != nil {
		return answer{}, err
	}
	if r.Certificate == nil {
		err = r.CheckSignatureFrom(signer)
	} else if !r.Certificate.Equal(signer) {
		err = errors.New("two certificates") // that two parsers see different ones
	}
	if err != nil {
		return answer{}, fmt.Errorf("the signature of the answer is not that of its responder: %w", err)
	}
	a := answer{thisUpdate: r.ThisUpdate, nextUpdate: r.NextUpdate, revokedAt: r.RevokedAt, reason: r.RevocationReason}
	switch r.Status {
	case ocsp.Good:
		a.status = good
	case ocsp.Revoked:
		a.status = revoked
	default:
		a.status = unknown
	}
	return a, a.checkTime(now)
}

// checkTime checks that a is in time.
func (a *answer) checkTime(now time.Time) error {
	switch {
	case !a.nextUpdate.IsZero() && a.nextUpdate.Before(a.thisUpdate):
		return errors.New("the answer ends before it begins")
	case a.counts(now):
		return nil
	case now.Before(a.thisUpdate):
		return fmt.Errorf("the answer is one of the future (%s); check the clocks", stamp(a.thisUpdate))
	}
	return fmt.Errorf("the answer is too old: it ended on %s", stamp(a.end()))
}

// signer returns the certificate by which the answer has to be signed: the issuer,
// or a responder's that it has delegated this to (RFC 6960 section 4.2.2.2).
func (o *outline) signer(now time.Time, issuer *x509.Certificate) (*x509.Certificate, error) {
	if o.certificate == nil || bytes.Equal(o.certificate, issuer.Raw) {
		return issuer, nil
	}
	c, err := x509.ParseCertificate(o.certificate)
	if err != nil {
		return nil, fmt.Errorf("the certificate of the responder cannot be read: %w", err)
	}
	switch {
	case !bytes.Equal(c.RawIssuer, issuer.RawSubject):
		return nil, fmt.Errorf("the certificate of the responder is not from the issuer, but from %q", c.Issuer.CommonName)
	case !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return nil, fmt.Errorf("the answer is signed by %q, which is no responder: its certificate lacks the extended key usage OCSPSigning", c.Subject.CommonName)
	case now.Before(c.NotBefore.Add(-clockSkew)):
		return nil, fmt.Errorf("the certificate of the responder is not valid before %s", stamp(c.NotBefore))
	case now.After(c.NotAfter):
		return nil, fmt.Errorf("the certificate of the responder expired on %s", stamp(c.NotAfter))
	}
	if err := checkKey(c); err != nil {
		return nil, err
	}
	if err := checkAlgorithm("the certificate of the responder", c.SignatureAlgorithm); err != nil {
		return nil, err
	}
	if err := issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		return nil, fmt.Errorf("the issuer has not signed the certificate of the responder: %w", err)
	}
	return c, nil
}

// checkKey checks that the key of a responder is of a kind and size that we compute
// with.
func checkKey(c *x509.Certificate) error {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSA || n > maxRSA {
			return fmt.Errorf("the RSA key of the responder has %d bits, and we take %d to %d", n, minRSA, maxRSA)
		}
		return nil
	case *ecdsa.PublicKey:
		return nil
	}
	return fmt.Errorf("the key of the responder is neither ECDSA nor RSA but %v", c.PublicKeyAlgorithm)
}

// checkAlgorithm checks that a signature proves something: x509 takes SHA-1 where
// it is asked to check one signature only.
func checkAlgorithm(of string, a x509.SignatureAlgorithm) error {
	switch a {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512,
		x509.PureEd25519:
		return nil
	case x509.UnknownSignatureAlgorithm:
		return fmt.Errorf("%s is signed with an algorithm that we do not know", of)
	}
	return fmt.Errorf("%s is signed with %v, which can be forged", of, a)
}
