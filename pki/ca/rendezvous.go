package ca

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"campagnol/internal/audit"
	"campagnol/pki"
	"campagnol/pki/safefile"
)

// RendezvousName is the name of the certificate that a rendezvous server has which
// is one program with the authority.
const RendezvousName = "rdv"

// rendezvousDays is the validity of that certificate. It can be short, since the
// server needs nobody to renew it.
const rendezvousDays = 90

// HostFiles are the files of a host in the directory of the CA.
type HostFiles struct {
	Cert string // the certificate, and the CA's if that is an intermediate one
	Key  string // its private key
	CA   string // the certificates to trust
}

// rendezvous is what is remembered between calls of [Service.Rendezvous].
type rendezvous struct {
	seen map[string]fs.FileInfo // files that decide, when all was well
	due  time.Time              // when the certificate is to be renewed
}

// Rendezvous makes sure that the rendezvous server in whose process the service is
// has a certificate, and that its files are as they should be: the certificate is
// issued if there is none, and renewed, with a new key, well before it ends, or once
// it was revoked. It looks at files only when they have changed, so that it may be
// called every few seconds.
//
// While the key of the CA is being replaced, the server keeps the certificate by
// the old one until all hosts have theirs by the new one: a host that was away in
// the meantime does not trust the new one yet, and hears of it from this server.
func (s *Service) Rendezvous(now time.Time) (HostFiles, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := s.ca.hostFiles(RendezvousName)
	if now.Before(s.rendezvous.due) && s.rendezvous.same(s.ca.deciding(files)) {
		return files, nil
	}
	unlock, x, err := s.lockLocked()
	if err != nil {
		return files, err
	}
	defer unlock()
	c := s.ca
	s.rendezvous = rendezvous{}
	due, err := c.rendezvousDue(now, x, files)
	if err != nil {
		return files, err
	}
	if !now.Before(due) {
		if due, err = s.issueRendezvousLocked(now, x); err != nil {
			return files, err
		}
	} else if err := c.renewRoots(files.CA); err != nil {
		return files, err
	}
	s.rendezvous = rendezvous{seen: stats(c.deciding(files)), due: due}
	return files, nil
}

func (c *CA) hostFiles(name string) HostFiles {
	dir := c.hostDir(name)
	return HostFiles{Cert: filepath.Join(dir, hostCert), Key: filepath.Join(dir, hostKey), CA: filepath.Join(dir, hostCA)}
}

// deciding returns the files that decide whether anything is to be done.
func (c *CA) deciding(f HostFiles) []string {
	return []string{f.Cert, f.Key, f.CA, c.Files.Cert, c.Files.Index, c.previousFile(rotationCert)}
}

// same reports whether nothing has happened to the files.
func (r *rendezvous) same(files []string) bool {
	for _, f := range files {
		fi, _ := os.Stat(f) // nil if there is none
		if old := r.seen[f]; !sameFile(fi, old) && (fi != nil || old != nil) {
			return false
		}
	}
	return true
}

func stats(files []string) map[string]fs.FileInfo {
	seen := map[string]fs.FileInfo{}
	for _, f := range files {
		seen[f], _ = os.Stat(f)
	}
	return seen
}

// rendezvousDue returns when the certificate of the rendezvous server is to be
// renewed; the zero time if there is none that is of use.
func (c *CA) rendezvousDue(now time.Time, x *index, f HostFiles) (time.Time, error) {
	id, err := pki.LoadIdentity(f.Cert, f.Key)
	if err != nil {
		return time.Time{}, nil
	}
	cert := id.Chain[0]
	r, issuers := x.find(cert.SerialNumber), c.issuers()
	issuer := issuerOf(issuers, cert)
	switch {
	case !pki.IsRendezvous(cert), r == nil, r.status == statusRevoked, issuer == nil:
		return time.Time{}, nil
	case issuer != issuers[0]:
		rotation, err := c.rotation(now, x)
		if err != nil {
			return time.Time{}, err
		}
		if rotation != nil && onlyRendezvous(rotation.Waiting) {
			return time.Time{}, nil
		}
	}
	return renewalDue(cert, c.Cert), nil
}

// onlyRendezvous reports whether nobody waits for a certificate by a new key but the
// rendezvous server.
func onlyRendezvous(waiting []Entry) bool {
	for _, e := range waiting {
		if e.Name != RendezvousName {
			return false
		}
	}
	return true
}

// renewalDue returns when a certificate should be renewed: when a third of its life
// is left, or thirty days. One that ends with the certificate that would sign the
// next one gains nothing by it.
func renewalDue(cert, signer *x509.Certificate) time.Time {
	if !cert.NotAfter.Before(signer.NotAfter) {
		return cert.NotAfter
	}
	return cert.NotAfter.Add(-min(cert.NotAfter.Sub(issuedAt(cert))/3, 30*secondsPerDay))
}

// issueRendezvousLocked issues the certificate, and returns when it is to be
// renewed. Its name has to be free, or that of a rendezvous server.
func (s *Service) issueRendezvousLocked(now time.Time, x *index) (time.Time, error) {
	c := s.ca
	req := Request{Name: RendezvousName, Rendezvous: true, Days: rendezvousDays, NoGroups: true, NoRoutes: true}
	for _, r := range x.records() {
		cert := c.stored(r)
		if cert == nil || c.nameOf(r) != RendezvousName {
			continue
		}
		if req.Renew = pki.IsRendezvous(cert); !req.Renew && r.valid(now) {
			return time.Time{}, withHint(fmt.Errorf("ca: the rendezvous server needs a certificate with the name %q, which is that of a host (certificate %s)", RendezvousName, formatSerial(r.serial)),
				"issue one with another name, and name its files with --certificate, --key and --ca: campagnol ca issue NAME --rdv")
		}
	}
	if err := req.check(); err != nil {
		return time.Time{}, err
	}
	out, err := c.issue(now, s.rand, x, req, nil)
	if err != nil {
		return time.Time{}, err
	}
	s.log.InfoContext(marked(audit.CertificateIssued, audit.Success), "Issued the certificate of the rendezvous server", "serial", out.Serial, "key", pki.KeyOf(out.Cert), "expires", day(out.Cert.NotAfter))
	return renewalDue(out.Cert, c.Cert), nil
}

// renewRoots writes the certificates to trust into a file, if there are others now.
func (c *CA) renewRoots(path string) error {
	roots, err := c.root()
	if err != nil {
		return err
	}
	want := certPEM(roots...)
	got, err := safefile.Read(path, maxSmallFile)
	if err == nil && bytes.Equal(got, want) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ca: %w", err)
	}
	if err := safefile.Write(path, want, 0o644); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	return nil
}
