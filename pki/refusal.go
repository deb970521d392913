package pki

import (
	"crypto/x509"
	"fmt"
	"time"
)

// A Reason is why a peer is refused.
type Reason uint8

// The reasons.
const (
	Malformed        Reason = iota + 1 // not a certificate that can be read, or too many of them
	Expired                            // a certificate of the chain has expired
	NotYetValid                        // a certificate of the chain is not valid yet
	UnknownCA                          // no chain to a root that we trust
	BadCA                              // a CA of the chain may not issue what it issued
	Revoked                            // the issuer has revoked the certificate
	WrongUsage                         // the certificate is not for this role
	TooDeep                            // the chain is longer than verify_depth allows
	WeakSignature                      // signed with MD5, SHA-1 or something unknown
	WeakKey                            // a key too small, too large or of an unknown kind
	NoCRL                              // crl_file is set, and there is no usable list of the issuer
	AddressMismatch                    // the certificate names other VPN addresses
	NoAddress                          // the certificate names no VPN address, and has to
	OtherKey                           // the VPN address belongs to another key
	NewerCertificate                   // a newer certificate for the VPN address, with another key, has been seen
	BadAttributes                      // groups or networks in the certificate cannot be understood
	NoAnswer                           // no responder says that the certificate is good, and one has to (OCSP)
	reasonCount
)

var reasonNames = [reasonCount]string{
	"", "malformed", "expired", "not_yet_valid", "unknown_ca", "bad_ca", "revoked",
	"wrong_usage", "too_deep", "weak_signature", "weak_key", "no_crl",
	"address_mismatch", "no_address", "other_key", "newer_certificate", "bad_attributes", "no_answer",
}

// Reasons returns all reasons.
func Reasons() []Reason {
	var list []Reason
	for r := Malformed; r < reasonCount; r++ {
		list = append(list, r)
	}
	return list
}

// String returns a short name in snake case, fit for a counter, that stays the same.
func (r Reason) String() string {
	if 0 < r && r < reasonCount {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason_%d", uint8(r))
}

// A Refusal says why a peer is not let in. Its fields are safe to print, even
// though parts of them come from the peer.
type Refusal struct {
	Reason  Reason
	Subject string // of the certificate that is to blame, which may be a CA's; empty if it could not be read
	Serial  string // of the same, in hexadecimal
	Issuer  string // of the same
	Detail  string // what is wrong
	Remedy  string // what an administrator can do; may be empty

	NotBefore, NotAfter time.Time // the certificate's period; zero if it could not be read
}

// Code returns the reason's name, by which the refusal is found in documentation.
func (r *Refusal) Code() string { return r.Reason.String() }

// Error says all of it in a sentence.
func (r *Refusal) Error() string {
	s := "certificate"
	if r.Subject != "" {
		s += " " + r.Subject
	}
	if r.Serial != "" {
		s += " (serial " + r.Serial
		if r.Issuer != "" {
			s += ", issued by " + r.Issuer
		}
		if !r.NotAfter.IsZero() {
			s += ", valid " + r.NotBefore.UTC().Format(time.DateOnly) + " to " + r.NotAfter.UTC().Format(time.DateOnly)
		}
		s += ")"
	}
	s += " refused: " + r.Detail
	if r.Remedy != "" {
		s += "; " + r.Remedy
	}
	return s
}

// refuse returns a Refusal because of c.
func refuse(reason Reason, c *x509.Certificate, detail, remedy string) *Refusal {
	return &Refusal{
		Reason:  reason,
		Subject: subjectOf(c),
		Serial:  serialOf(c),
		Issuer:  issuerOf(c),
		Detail:  detail,
		Remedy:  remedy,

		NotBefore: c.NotBefore,
		NotAfter:  c.NotAfter,
	}
}

// NewRefusal returns a Refusal because of c, for those who know more about a
// certificate than [Policy.Verify]. remedy may be empty.
func NewRefusal(reason Reason, c *x509.Certificate, detail, remedy string) *Refusal {
	return refuse(reason, c, printableText(detail), remedy)
}

// refuse returns a Refusal of the peer.
func (p *Peer) refuse(reason Reason, detail, remedy string) *Refusal {
	if p.Leaf != nil {
		return refuse(reason, p.Leaf, detail, remedy)
	}
	return &Refusal{Reason: reason, Subject: printable(p.Name), Detail: detail, Remedy: remedy}
}

// malformed returns a Refusal of something that is not even a certificate.
func malformed(format string, args ...any) *Refusal {
	return &Refusal{Reason: Malformed, Detail: fmt.Sprintf(format, args...)}
}

// What can be done about it, in words that several refusals share.
const (
	remedyNew   = `issue a new one: "campagnol ca issue NAME --ip VPNIP --renew"`
	remedySign  = `sign its key again: "campagnol ca sign CERTIFICATE --ip VPNIP" in the directory of the CA`
	remedyClock = "check the clocks of both computers"
)

// stamp formats times in messages: UTC, since administrator and peer may live
// in different time zones.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
