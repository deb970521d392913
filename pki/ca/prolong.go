package ca

import (
	"crypto"
	"crypto/x509"
	"log/slog"
	"time"

	"campagnol/internal/audit"
	"campagnol/pki"
	"campagnol/pki/enroll"
)

// prolong issues the next certificate of a host: the same name, addresses, groups,
// networks and validity, for the same key or a fresh one.
//
// Only the newest certificate of a host renews. An older one gets the newest, if
// that is for the key it asks for, and nothing otherwise: who repeats a request,
// or has a key that was replaced, gets no certificate that there was not.
func (s *Service) prolong(now time.Time, rr *enroll.RenewalRequest, log *slog.Logger) (*enroll.Grant, error) {
	// Cheap, and without the lock: most of what is wrong ends here.
	named := &record{serial: rr.Serial}
	cert := s.current().storedFile(named)
	if cert == nil {
		return nil, refuse(enroll.NotIssued, "this authority has not issued the certificate %s", formatSerial(rr.Serial))
	}
	pub, err := rr.Check(cert)
	if err != nil {
		return nil, refuse(enroll.Denied, "the request is not signed with the key of the certificate %s", formatSerial(rr.Serial))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	unlock, x, err := s.lockLocked()
	if err != nil {
		return nil, err
	}
	defer unlock()
	c := s.ca
	r := x.find(rr.Serial)
	if r == nil {
		return nil, refuse(enroll.NotIssued, "this authority has not issued the certificate %s", formatSerial(rr.Serial))
	}
	newest, err := c.renewable(now, s.RenewGrace, x, r, cert, pub)
	if err != nil {
		return nil, err
	}
	if newest != nil {
		return &enroll.Grant{Chain: c.chain(newest)}, nil
	}
	req, err := c.renewalOf(cert)
	if err != nil {
		return nil, err
	}
	if err := c.checkKey(pub, false); err != nil {
		return nil, refuse(enroll.BadKey, "%s", err)
	}
	if err := c.conflicts(now, x, req); err != nil {
		return nil, refuse(enroll.Denied, "%s", err)
	}
	if err := c.mustEndLater(now, req, cert); err != nil {
		return nil, err
	}
	out, err := c.issue(now, s.rand, x, *req, pub)
	if err != nil {
		return nil, err
	}
	log.InfoContext(marked(audit.CertificateRenewed, audit.Success), "Renewed a certificate", "name", req.Name, "serial", out.Serial, "before", formatSerial(rr.Serial), "key", pki.KeyOf(out.Cert), "expires", day(out.Cert.NotAfter))
	return &enroll.Grant{Chain: c.chain(out.Cert)}, nil
}

// storedFile is stored without what is remembered, for a caller without the lock.
func (c *CA) storedFile(r *record) *x509.Certificate {
	plain := &CA{Dir: c.Dir, Files: c.Files}
	return plain.stored(r)
}

// renewable decides about the renewal of the certificate of r for a key: it
// returns a certificate that there is already, or neither that nor an error if a
// new one is to be issued.
func (c *CA) renewable(now time.Time, grace time.Duration, x *index, r *record, cert *x509.Certificate, pub crypto.PublicKey) (*x509.Certificate, error) {
	key, err := keyOf(pub)
	if err != nil {
		return nil, refuse(enroll.BadKey, "the key is not usable")
	}
	if r.status == statusRevoked {
		return nil, refuse(enroll.Revoked, "the certificate was revoked on %s", minute(r.revoked))
	}
	last := r
	for _, o := range x.records() {
		other := c.stored(o)
		switch {
		case other == nil || other.Subject.CommonName != cert.Subject.CommonName:
		case o.status == statusRevoked && pki.KeyOf(other) == key:
			return nil, refuse(enroll.Revoked, "a certificate for this key was revoked on %s", minute(o.revoked))
		case o.status == statusRevoked:
		default:
			last = o // the index is in the order of issue
		}
	}
	newest := c.stored(last)
	fits := pki.KeyOf(newest) == key
	switch {
	case last != r && fits && last.valid(now):
		return newest, nil
	case last != r:
		return nil, refuse(enroll.Superseded, "the host has a newer certificate, %s of %s, with another key; only that can be renewed", formatSerial(last.serial), minute(issuedAt(newest)))
	case now.After(cert.NotAfter.Add(grace)):
		return nil, refuse(enroll.Expired, "the certificate has expired on %s", minute(cert.NotAfter))
	case now.Sub(issuedAt(newest)) >= minAge(newest), c.byLastKey(newest):
		return nil, nil
	case fits:
		return newest, nil
	}
	return nil, refuse(enroll.TooSoon, "the certificate was issued on %s, and cannot be renewed before %s", minute(issuedAt(newest)), minute(issuedAt(newest).Add(minAge(newest))))
}

// byLastKey reports whether a certificate is by the key that is being replaced: its
// host needs another one, however new it is.
func (c *CA) byLastKey(cert *x509.Certificate) bool {
	last, err := c.previous()
	return err == nil && last != nil && issuerOf([]*x509.Certificate{c.Cert, last}, cert) == last
}

// minAge is how old a certificate has to be before it is renewed: a quarter of its
// life, and a day at most.
func minAge(c *x509.Certificate) time.Duration {
	return min(24*time.Hour, c.NotAfter.Sub(issuedAt(c))/4)
}

// renewalOf returns the request for a certificate like another one.
func (c *CA) renewalOf(cert *x509.Certificate) (*Request, error) {
	a, err := pki.AttributesOf(cert)
	if err != nil {
		return nil, refuse(enroll.Denied, "what the certificate says cannot be said again: %s", err)
	}
	s, err := c.Settings()
	if err != nil {
		return nil, err
	}
	req := &Request{
		Name: cert.Subject.CommonName, Addrs: addrsOf(cert), Groups: a.Groups, Routes: a.Routes,
		NoGroups: len(a.Groups) == 0, NoRoutes: len(a.Routes) == 0, Rendezvous: pki.IsRendezvous(cert),
		Days: lifetime(cert), Renew: true,
	}
	req.NoAddress = len(req.Addrs) == 0 && !req.Rendezvous
	if req.Days == 0 || c.endsWithCA(cert) {
		req.Days = s.Days
	}
	if err := req.check(); err != nil {
		return nil, refuse(enroll.Denied, "such a certificate is not issued any more: %s", err)
	}
	return req, nil
}

// mustEndLater refuses a renewal that would bring a certificate which is good for no
// longer than the one there is: no host takes that, as it may be an old one.
func (c *CA) mustEndLater(now time.Time, req *Request, cert *x509.Certificate) error {
	end := c.endOf(now, req.Days)
	switch early := cert.NotAfter.Sub(end); {
	case early < 0:
		return nil
	case end.Equal(c.Cert.NotAfter):
		return refuse(enroll.TooSoon, "the certificate ends with that of the authority, on %s, and can end later only when the authority has another key (campagnol ca rotate)", minute(end))
	case early < time.Second: // certificates have no fractions of a second
		return refuse(enroll.Later, "the certificate was issued in this very second")
	default:
		return refuse(enroll.TooSoon, "a certificate of today would end on %s, and the host has one until %s", minute(end), minute(cert.NotAfter))
	}
}

// lifetime returns the validity of a certificate in days, as it was asked for.
func lifetime(c *x509.Certificate) int {
	return int((c.NotAfter.Sub(issuedAt(c)) + secondsPerDay/2) / secondsPerDay)
}

// endsWithCA reports whether a certificate ends with its CA, earlier than its host
// was meant to.
func (c *CA) endsWithCA(cert *x509.Certificate) bool {
	for _, issuer := range c.issuers() {
		if cert.NotAfter.Equal(issuer.NotAfter) {
			return true
		}
	}
	return false
}
