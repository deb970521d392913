package ca

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/url"
	"time"

	"campagnol/pki"
	"campagnol/pki/bulletin"
)

// registrationLife is for how long the authority's certificate for the rendezvous
// server is valid. It is in no list and in no file: a short life takes the place of
// revoking it.
const registrationLife = 24 * time.Hour

// A Registration is how the authority registers at a rendezvous server on another
// machine: the certificate by which it is known there, and whom it believes to be
// the server. It does not change.
type Registration struct {
	Certificate tls.Certificate
	Policy      *pki.Policy

	signer *x509.Certificate
	due    time.Time
	lists  Objects // of which Policy knows
}

// Registration returns how to register now: the same as before, as long as that is
// good. The certificate is for a key that nobody else ever sees. While the key of
// the CA is being replaced the old one signs it, since the server may not know the
// new one yet.
func (s *Service) Registration(now time.Time) (*Registration, error) {
	objects, err := s.Objects(now)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.registration; r != nil && now.Before(r.due) && sameLists(r.lists, objects) && s.signsStill(r.signer) {
		return r, nil
	}
	unlock, x, err := s.lockLocked()
	if err != nil {
		return nil, err
	}
	defer unlock()
	c := s.ca
	signers, err := c.signers()
	if err != nil {
		return nil, err
	}
	signer := signers[len(signers)-1]
	next := &Registration{lists: objects, signer: signer.Cert}
	if last := s.registration; last != nil && now.Before(last.due) && last.signer.Equal(signer.Cert) {
		next.Certificate = last.Certificate // only the lists are others
	} else if next.Certificate, err = c.register(now, s, x, signer); err != nil {
		return nil, err
	}
	next.due = renewalDue(next.Certificate.Leaf, signer.Cert)
	if next.Policy, err = c.policy(objects); err != nil {
		return nil, err
	}
	s.registration = next
	return next, nil
}

// signsStill reports whether a certificate is that of the key which is to sign
// registrations.
func (s *Service) signsStill(signer *x509.Certificate) bool {
	last, err := s.ca.previous()
	if err != nil {
		return false
	}
	if last == nil {
		last = s.ca.Cert
	}
	return last.Equal(signer)
}

// sameLists reports whether there are no other lists: Objects returns the same
// memory until it has read them again.
func sameLists(a, b Objects) bool {
	return len(a.CRLs) == len(b.CRLs) && (len(a.CRLs) == 0 || &a.CRLs[0] == &b.CRLs[0])
}

// register issues a certificate for the authority, with a new key.
func (c *CA) register(now time.Time, s *Service, x *index, signer bulletin.Signer) (tls.Certificate, error) {
	var none tls.Certificate
	key, err := newKey(s.rand, 0)
	if err != nil {
		return none, err
	}
	serial, err := randomSerial(s.rand, x)
	if err != nil {
		return none, err
	}
	id, err := keyIdentifier(key.Public())
	if err != nil {
		return none, err
	}
	end := now.Add(registrationLife)
	if end.After(signer.Cert.NotAfter) {
		end = signer.Cert.NotAfter
	}
	leaf, err := sign(s.rand, &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "authority"},
		NotBefore:    now.UTC().Add(-backdate).Truncate(time.Second),
		NotAfter:     end.UTC().Truncate(time.Second),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},

		BasicConstraintsValid: true,
		SubjectKeyId:          id,
		URIs:                  []*url.URL{pki.AuthorityURI()},
	}, signer.Cert, key.Public(), signer.Key)
	if err != nil {
		return none, err
	}
	if !now.Before(leaf.NotAfter) {
		return none, withHint(fmt.Errorf("ca: the CA expired on %s", day(signer.Cert.NotAfter)), "make a new one: campagnol ca init --dir ...")
	}
	chain := [][]byte{leaf.Raw}
	if string(signer.Cert.RawSubject) != string(signer.Cert.RawIssuer) {
		chain = append(chain, signer.Cert.Raw) // the server trusts the root above it
	}
	return tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, nil
}

// policy returns whom hosts of this VPN believe.
func (c *CA) policy(o Objects) (*pki.Policy, error) {
	roots, err := c.root()
	if err != nil {
		return nil, err
	}
	p, err := pki.NewPolicy(roots, nil, 0)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	var lists []*pki.List
	for _, der := range o.CRLs {
		l, err := pki.ParseList(der, c.Files.CRL)
		if err != nil {
			return nil, fmt.Errorf("ca: %s: %w", c.Files.CRL, err)
		}
		lists = append(lists, l)
	}
	return p.WithLists(lists), nil
}
