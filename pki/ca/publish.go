package ca

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"campagnol/internal/audit"
	"campagnol/pki/bulletin"
	"campagnol/pki/safefile"
)

const bulletinName = "bulletin.bin"

func (c *CA) bulletinFile() string { return filepath.Join(c.Dir, bulletinName) }

// Bulletin returns the current bulletin, which the CA has signed itself, or nil if
// there is none.
func (c *CA) Bulletin() (*bulletin.Bulletin, error) {
	data, err := safefile.Read(c.bulletinFile(), bulletin.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ca: bulletin: %w", err)
	}
	signed, err := bulletin.Parse(data)
	if err != nil {
		return nil, withHint(fmt.Errorf("ca: %s: %w", c.bulletinFile(), err), "remove the file and write it anew: campagnol ca publish")
	}
	for _, cert := range c.issuers() {
		// An authority that has expired has signed what it has signed.
		if b, err := signed.Verify(cert.NotBefore, []*x509.Certificate{cert}); err == nil {
			return b, nil
		}
	}
	return nil, withHint(fmt.Errorf("ca: %s: it is not signed by this CA", c.bulletinFile()), "remove the file and write it anew: campagnol ca publish")
}

// Publish makes a new bulletin with the policy, text that the caller has checked;
// "" takes the policy out of it.
func (c *CA) Publish(now time.Time, rand io.Reader, policy string) (*bulletin.Bulletin, error) {
	unlock, _, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer unlock()
	last, err := c.Bulletin()
	if err != nil {
		return nil, err
	}
	signers, err := c.signers()
	if err != nil {
		return nil, err
	}
	b := c.nextBulletin(now, last, policy, signers)
	data, err := bulletin.Sign(rand, b, signers...)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if err := safefile.Write(c.bulletinFile(), data, 0o644); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return b, nil
}

// nextBulletin returns the bulletin after last, which may be nil. Its number is at
// least the time, so that members take it even if the last one was lost. It names
// all authorities that are in force: a member that was away when the key was
// replaced learns the new one from whatever bulletin it sees first.
func (c *CA) nextBulletin(now time.Time, last *bulletin.Bulletin, policy string, signers []bulletin.Signer) *bulletin.Bulletin {
	b := &bulletin.Bulletin{Number: uint64(max(now.Unix(), 1)), Issued: now.UTC().Truncate(time.Second), Policy: policy}
	if last != nil {
		b.Number = max(b.Number, last.Number+1)
	}
	for _, s := range signers {
		if string(s.Cert.RawSubject) == string(s.Cert.RawIssuer) { // an intermediate one is trusted by its root
			b.CAs = append(b.CAs, s.Cert)
		}
	}
	return b
}

// lists returns the current revocation lists, DER.
func (c *CA) lists() ([][]byte, error) {
	data, err := safefile.Read(c.Files.CRL, maxCRLFile)
	if err != nil {
		return nil, fmt.Errorf("ca: revocation list: %w", err)
	}
	var lists [][]byte
	for b, rest := pem.Decode(data); b != nil; b, rest = pem.Decode(rest) {
		if b.Type == pemCRL {
			lists = append(lists, b.Bytes)
		}
	}
	return lists, nil
}

const (
	pemCRL     = "X509 CRL"
	maxCRLFile = 32 << 20 // bytes
)

// Objects are what all members of the VPN should have.
type Objects struct {
	CRLs     [][]byte // DER; more than one while a key of the CA is being replaced
	Bulletin []byte   // nil: none
}

// published are the objects of a service, with the files that they are from.
type published struct {
	objects       Objects
	crl, bulletin fs.FileInfo
	next          time.Time // when the first of the lists is to be replaced
	retry         time.Time // when to try again what has failed
}

// Objects returns what is to be published. It reads files only when they have
// changed, so that it may be called every few seconds, and makes a new revocation
// list well before the last one is out of date.
func (s *Service) Objects(now time.Time) (Objects, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.published.next.IsZero() && now.After(s.published.next) {
		s.renewListsLocked(now)
	}
	crl, _ := os.Stat(s.ca.Files.CRL) // nil if there is none
	notice, _ := os.Stat(s.ca.bulletinFile())
	p := &s.published
	if sameFile(crl, p.crl) && (notice == nil && p.bulletin == nil || sameFile(notice, p.bulletin)) {
		return p.objects, nil
	}
	objects, next, err := s.readObjectsLocked(now)
	if err != nil {
		return p.objects, err
	}
	p.objects, p.crl, p.bulletin, p.next = objects, crl, notice, next
	return objects, nil
}

func (s *Service) readObjectsLocked(now time.Time) (o Objects, next time.Time, err error) {
	lists, err := s.ca.lists()
	if errors.Is(err, fs.ErrNotExist) {
		s.renewListsLocked(now)
		lists, err = s.ca.lists()
	}
	if err != nil {
		return o, next, err
	}
	o.CRLs = lists
	for _, der := range lists {
		l, err := x509.ParseRevocationList(der)
		if err != nil || l.NextUpdate.IsZero() {
			continue // openssl may have made it; it holds until there is another
		}
		if n := listDue(l); next.IsZero() || n.Before(next) {
			next = n
		}
	}
	data, err := safefile.Read(s.ca.bulletinFile(), bulletin.MaxSize)
	if err == nil {
		o.Bulletin = data
	} else if !errors.Is(err, fs.ErrNotExist) {
		return o, next, fmt.Errorf("ca: bulletin: %w", err)
	}
	return o, next, nil
}

// listDue returns when a list should be replaced: a quarter of its period, and a
// week at most, before that ends.
func listDue(l *x509.RevocationList) time.Time {
	return l.NextUpdate.Add(-min(7*secondsPerDay, l.NextUpdate.Sub(l.ThisUpdate)/4))
}

// retryList is how long we wait when a revocation list cannot be made.
const retryList = time.Hour

// renewListsLocked makes new revocation lists, for the same period as the last.
// That it cannot be done is no reason not to publish what there is.
func (s *Service) renewListsLocked(now time.Time) {
	if now.Before(s.published.retry) {
		return
	}
	unlock, x, err := s.lockLocked()
	if err == nil {
		defer unlock()
		days := DefaultCRLDays
		if lists, err := s.ca.lists(); err == nil && len(lists) > 0 {
			if l, err := x509.ParseRevocationList(lists[0]); err == nil && l.NextUpdate.After(l.ThisUpdate) {
				days = max(1, int((l.NextUpdate.Sub(l.ThisUpdate)+secondsPerDay/2)/secondsPerDay))
			}
		}
		if key, kerr := s.ca.key(); kerr != nil {
			err = kerr
		} else {
			_, err = s.ca.writeCRL(now, s.rand, key, x, min(days, maxDays))
		}
	}
	if err != nil {
		s.published.retry = now.Add(retryList)
		s.log.ErrorContext(marked(audit.ListMade, audit.Failed), "The revocation list is due and cannot be made", "err", err)
		return
	}
	s.published.retry = time.Time{}
	s.log.InfoContext(marked(audit.ListMade, audit.Success), "Made a new revocation list, as the last one was due")
}
