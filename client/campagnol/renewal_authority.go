package main

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"time"

	"campagnol/pki"
	"campagnol/pki/enroll"
)

// beginRenewal begins an exchange with the VPN's authority about a new certificate
// for id. Its key stays: a fresh one would have to outlive a crash between the
// request and the answer, and would lock out nobody who has got hold of the old one,
// with which he can renew as well.
func (n *node) beginRenewal(_ time.Time, id *pki.Identity) (exchange, error) {
	p := n.view.Load().trust.policy
	x, err := enroll.NewRenewal(rand.Reader, enroll.Renewal{
		Cert: id.Chain[0], Key: id.Key,
		Roots: p.Roots(), Intermediates: append(p.Intermediates(), id.Chain[1:]...),
	})
	if err != nil {
		return nil, err
	}
	return authorityExchange{x}, nil
}

// An authorityExchange is an exchange with the authority as package enroll has it.
type authorityExchange struct{ *enroll.Exchange }

// Certificate returns the new certificate; the key is ours.
func (x authorityExchange) Certificate() ([]*x509.Certificate, crypto.Signer) {
	r, err := x.Result()
	if err != nil { // it has not ended
		return nil, nil
	}
	return r.Chain, r.Key
}

// hintOfRefusal says what can be done about a refusal that seems to come from the
// VPN's authority; "" if it is none.
func hintOfRefusal(err error) string {
	var r *enroll.Refusal
	if errors.Is(err, enroll.ErrNotDue) {
		return "ask again when the certificate is older: a day, or a quarter of its time if that is less"
	}
	if errors.Is(err, enroll.ErrNoLater) {
		return "ask again in a moment; certificates that end with that of the authority end later only when it has another key: campagnol ca rotate"
	}
	if !errors.As(err, &r) {
		return ""
	}
	switch r.Code {
	case enroll.TooSoon:
		return "ask again later"
	case enroll.Superseded, enroll.NotIssued, enroll.Expired:
		return `the host has to join again: "campagnol ca invite NAME --renew" where the authority is, and "campagnol join" here`
	case enroll.Revoked:
		return "ask whoever runs the VPN's authority why the certificate was revoked"
	}
	return ""
}
