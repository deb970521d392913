package ca

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"campagnol/internal/audit"
	"campagnol/pki"
	"campagnol/pki/bulletin"
	"campagnol/pki/enroll"
	"campagnol/pki/safefile"
)

// A Service answers requests of hosts (package enroll): it issues certificates by
// invitation, and renews them. It works on the directory of a CA, which the
// commands may change at the same time: what they do counts at once.
//
// It keeps the private key of the CA in memory. It is safe for concurrent use.
type Service struct {
	// RenewGrace is how long after its end a certificate can still be renewed. It
	// must not be changed once the Service is in use.
	RenewGrace time.Duration

	dir        string
	files      Files
	passphrase Passphrase
	log        *slog.Logger
	rand       io.Reader

	limiter limiter
	cache   cache

	// One request at a time works on the directory, and holds its lock: a lock of
	// the process beside that of the file system, since a CA is for one goroutine.
	// It is held across I/O; what waits for it is bounded by limiter.
	mu   sync.Mutex
	ca   *CA
	seen fs.FileInfo // of the CA's certificate, when it was read

	published    published
	rendezvous   rendezvous
	registration *Registration
}

// OpenService opens the CA in dir, in its usual layout, and its private key.
// passphrase is asked if that is encrypted; what it returns is kept.
func OpenService(dir string, passphrase Passphrase, log *slog.Logger) (*Service, error) {
	return OpenServiceFiles(dir, Files{}, passphrase, log)
}

// OpenServiceFiles is OpenService for a CA whose files have unusual names.
func OpenServiceFiles(dir string, files Files, passphrase Passphrase, log *slog.Logger) (*Service, error) {
	s := &Service{dir: dir, files: files, log: log, rand: rand.Reader}
	if passphrase != nil {
		s.passphrase = remember(passphrase)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.openLocked(); err != nil {
		return nil, err
	}
	return s, nil
}

// remember returns ask, asking once for each file.
func remember(ask Passphrase) Passphrase {
	known := map[string][]byte{}
	return func(path string) ([]byte, error) {
		if pass, ok := known[path]; ok {
			return pass, nil
		}
		pass, err := ask(path)
		if err == nil {
			known[path] = pass
		}
		return pass, err
	}
}

// openLocked opens the CA.
func (s *Service) openLocked() error {
	c, err := Open(s.dir, s.files)
	if err != nil {
		return err
	}
	seen, err := os.Stat(c.Files.Cert)
	if err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	c.Passphrase = s.passphrase
	// Under the lock, and after what another program began has been finished:
	// certificate and key fit together then.
	unlock, _, err := c.begin()
	if err != nil {
		return err
	}
	defer unlock()
	key, err := c.key()
	if err != nil {
		return err
	}
	c.signer, c.memory = key, map[string]*x509.Certificate{}
	s.ca, s.seen = c, seen
	return nil
}

// lockLocked takes the lock of the directory, after opening the CA again if it has
// got another certificate.
func (s *Service) lockLocked() (unlock func(), x *index, err error) {
	if fi, err := os.Stat(s.ca.Files.Cert); err != nil || !sameFile(fi, s.seen) {
		if err := s.openLocked(); err != nil {
			return nil, nil, err
		}
	}
	return s.ca.begin()
}

// sameFile reports whether a file has not changed.
func sameFile(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// Answer returns the answer to a request that came from a host at an address, or
// nil for what deserves none. request is borrowed.
func (s *Service) Answer(now time.Time, from netip.AddrPort, request []byte) []byte {
	r, err := enroll.ParseRequest(request)
	if err != nil {
		return nil
	}
	log := s.log.With("from", from)
	if r.Kind == enroll.Renew {
		return s.renew(now, from, r, log)
	}
	return s.enrol(now, from, r, log)
}

// enrol answers a host with a token. Nothing is computed for who has none but one
// decryption.
func (s *Service) enrol(now time.Time, from netip.AddrPort, r *enroll.Request, log *slog.Logger) []byte {
	c := s.current()
	i, err := c.readInvitation(r.ID)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			log.Error("An invitation cannot be read", "invitation", r.ID, "err", err)
		}
		return r.Unknown()
	}
	csr, err := r.Open(i.Master)
	if err != nil {
		return r.Unknown()
	}
	key := r.Key(csr)
	whole := s.cache.get(now, key)
	if whole == nil {
		if !s.limiter.allow(now, from.Addr()) {
			return r.Busy()
		}
		grant, err := s.admit(now, r.ID, csr, log)
		whole = s.whole(now, key, grant, err, log)
	}
	b, err := r.Seal(s.rand, i.Master, csr, whole)
	if err != nil {
		log.Error("No answer", "err", err)
		return nil
	}
	return b
}

// renew answers a host with a certificate.
func (s *Service) renew(now time.Time, from netip.AddrPort, r *enroll.Request, log *slog.Logger) []byte {
	rr, err := r.Renewal()
	if err != nil {
		return nil
	}
	key := r.Key(rr.Text())
	whole := s.cache.get(now, key)
	if whole == nil {
		if !s.limiter.allow(now, from.Addr()) {
			return r.Busy()
		}
		grant, err := s.prolong(now, rr, log)
		whole = s.whole(now, key, grant, err, log)
	}
	return r.Plain(whole)
}

// whole returns the answer for a grant, or for the reason why there is none: a
// *enroll.Refusal, or an error that is nobody's business.
func (s *Service) whole(now time.Time, key [32]byte, grant *enroll.Grant, err error, log *slog.Logger) []byte {
	var refusal *enroll.Refusal
	switch {
	case err == nil:
		whole := grant.Append(nil)
		s.cache.put(now, key, whole)
		return whole
	case errors.As(err, &refusal):
	default:
		log.ErrorContext(marked(audit.CertificateIssued, audit.Failed), "A certificate could not be issued", "err", err)
		refusal = &enroll.Refusal{Code: enroll.Later, Text: "the authority has a problem of its own, which its log tells"}
	}
	return refusal.Append(nil)
}

// refuse is a refusal as an error.
func refuse(code enroll.Code, format string, args ...any) error {
	return &enroll.Refusal{Code: code, Text: fmt.Sprintf(format, args...)}
}

// current returns the CA, for what needs no lock.
func (s *Service) current() *CA {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ca
}

// chain returns the certificates that a host presents: its own, and that of an
// intermediate CA. That of a CA which was replaced needs none: it is a root.
func (c *CA) chain(cert *x509.Certificate) [][]byte {
	out := [][]byte{cert.Raw}
	if !c.isRoot() {
		out = append(out, c.Cert.Raw)
	}
	return out
}

// maxExtra is the size of what comes with a certificate although it will be had
// from the rendezvous server as well, in bytes: revocation lists, the bulletin.
const maxExtra = 24 << 10

// grant returns the answer for a host that was invited.
func (c *CA) grant(i *Invitation, cert *x509.Certificate) (*enroll.Grant, error) {
	roots, err := c.root()
	if err != nil {
		return nil, err
	}
	g := &enroll.Grant{Chain: c.chain(cert), Name: i.Name, Addrs: addrsOf(cert), Network: i.Network, Network6: i.Network6, Domain: i.Domain, Server: i.Server}
	for _, r := range roots {
		g.Roots = append(g.Roots, r.Raw)
	}
	extra := 0
	if data, err := safefile.Read(c.bulletinFile(), bulletin.MaxSize); err == nil && len(data) <= maxExtra {
		g.Bulletin, extra = data, len(data)
	}
	if lists, err := c.lists(); err == nil {
		for _, l := range lists {
			if extra += len(l); extra <= maxExtra {
				g.CRLs = append(g.CRLs, l)
			}
		}
	}
	return g, nil
}

// keyOf returns the ID of a public key.
func keyOf(pub any) (pki.KeyID, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return pki.KeyID{}, fmt.Errorf("ca: %w", err)
	}
	return pki.KeyOf(&x509.Certificate{RawSubjectPublicKeyInfo: der}), nil
}
