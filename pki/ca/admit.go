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

// admit gives the key of a signing request the certificate that an invitation
// promises. The first key takes the invitation, before anything is signed: if we
// die in between, the same key gets its certificate when it asks again, and no
// other one ever does.
func (s *Service) admit(now time.Time, id enroll.ID, csr []byte, log *slog.Logger) (*enroll.Grant, error) {
	pub, err := enroll.ParseSigningRequest(csr)
	if err != nil {
		return nil, refuse(enroll.BadKey, "the signing request is not usable")
	}
	key, err := keyOf(pub)
	if err != nil {
		return nil, refuse(enroll.BadKey, "the key of the signing request is not usable")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	unlock, x, err := s.lockLocked()
	if err != nil {
		return nil, err
	}
	defer unlock()
	c := s.ca
	i, err := c.readInvitation(id) // again: it may have been used or withdrawn
	if err != nil {
		return nil, err
	}
	log = log.With("name", i.Name, "invitation", i.ID)
	if err := c.admissible(now, i, key, log); err != nil {
		return nil, err
	}
	if !i.Used.IsZero() {
		if cert, err := c.issuedFor(x, i); cert != nil || err != nil {
			return c.again(i, cert, err)
		}
	}
	cert, err := s.issueLocked(now, x, i, pub, key)
	if err != nil {
		return nil, err
	}
	log.InfoContext(marked(audit.CertificateIssued, audit.Success), "Issued a certificate by invitation", "addresses", i.Addrs, "serial", i.Serial, "key", key, "expires", day(cert.NotAfter))
	return c.grant(i, cert)
}

// admissible checks that an invitation is for a key.
func (c *CA) admissible(now time.Time, i *Invitation, key pki.KeyID, log *slog.Logger) error {
	switch i.State(now) {
	case InvitationUsed:
		if i.Key != key {
			log.WarnContext(marked(audit.InvitationRefused, audit.Refused), "A token was used again, with another key", "key", key, "first", i.Key)
			return refuse(enroll.Used, "the token was used already, on %s, by the key %v", minute(i.Used), i.Key)
		}
		return nil // whatever has become of it: the certificate is issued, or promised
	case InvitationWithdrawn:
		log.WarnContext(marked(audit.InvitationRefused, audit.Refused), "A token was used that is withdrawn", "key", key)
		return refuse(enroll.Withdrawn, "the invitation was withdrawn on %s", minute(i.Withdrawn))
	case InvitationExpired:
		log.WarnContext(marked(audit.InvitationRefused, audit.Refused), "A token was used that has expired", "key", key)
		return refuse(enroll.Expired, "the token has expired on %s", minute(i.Expires))
	}
	if i.CA != pki.KeyOf(c.Cert) {
		return refuse(enroll.Superseded, "the authority has a new key since the invitation of %s", minute(i.Created))
	}
	return nil
}

// issuedFor returns the certificate that an invitation has brought, or nil if we
// were interrupted before there was one. One that was issued and not noted is
// found by name and key.
func (c *CA) issuedFor(x *index, i *Invitation) (*x509.Certificate, error) {
	var found *record
	for _, r := range x.records() {
		if i.Serial != "" && formatSerial(r.serial) != i.Serial {
			continue
		}
		cert := c.stored(r)
		if cert == nil || cert.Subject.CommonName != i.Name || pki.KeyOf(cert) != i.Key {
			continue
		}
		// A host that was invited again may have come with the key of its last
		// certificate. Otherwise the time says nothing: clocks are set back.
		if i.Serial == "" && i.Renew && issuedAt(cert).Before(i.Used) {
			continue
		}
		found = r
	}
	if found == nil {
		return nil, nil
	}
	if found.status == statusRevoked {
		return nil, refuse(enroll.Revoked, "the certificate was revoked on %s", minute(found.revoked))
	}
	return c.stored(found), nil
}

// issuedAt returns when this CA issued a certificate.
func issuedAt(c *x509.Certificate) time.Time { return c.NotBefore.Add(backdate) }

// again returns the grant for a certificate that there is.
func (c *CA) again(i *Invitation, cert *x509.Certificate, err error) (*enroll.Grant, error) {
	if err != nil {
		return nil, err
	}
	if i.Serial == "" {
		i.Serial = formatSerial(cert.SerialNumber)
		if err := c.writeInvitation(i); err != nil {
			return nil, err
		}
	}
	return c.grant(i, cert)
}

// issueLocked issues the certificate of an invitation.
func (s *Service) issueLocked(now time.Time, x *index, i *Invitation, pub crypto.PublicKey, key pki.KeyID) (*x509.Certificate, error) {
	c := s.ca
	req := Request{Name: i.Name, Addrs: i.Addrs, Groups: i.Groups, Routes: i.Routes, Days: i.Days, Renew: i.Renew,
		NoGroups: len(i.Groups) == 0, NoRoutes: len(i.Routes) == 0, invitation: i.ID}
	// What a person has to mend must not use the invitation up.
	if err := c.checkKey(pub, false); err != nil {
		return nil, refuse(enroll.BadKey, "%s", err)
	}
	if err := req.check(); err != nil {
		return nil, refuse(enroll.Denied, "%s", err)
	}
	if err := c.conflicts(now, x, &req); err != nil {
		return nil, refuse(enroll.Denied, "%s", err)
	}
	if i.Used.IsZero() {
		i.Used, i.Key = now.UTC().Truncate(time.Second), key
		if err := c.writeInvitation(i); err != nil {
			return nil, err
		}
	}
	out, err := c.issue(now, s.rand, x, req, pub)
	if err != nil {
		return nil, err
	}
	i.Serial = out.Serial
	return out.Cert, c.writeInvitation(i)
}
