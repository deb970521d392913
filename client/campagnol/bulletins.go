package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"campagnol/internal/cli"
	"campagnol/internal/logging"
	"campagnol/pki/bulletin"
	"campagnol/pki/policy"
	"campagnol/pki/safefile"
)

// errUnsaved is for what could not be written, and is used all the same.
var errUnsaved = errors.New("remembered until the client ends, not longer")

// A bulletinStore keeps the bulletin of the VPN's authority with the highest number,
// and those before it that lead to its signer, in a file, so that it counts after a
// restart, and no old one after it. It is safe for concurrent use, also by several
// processes.
type bulletinStore struct {
	path  string              // empty: memory only
	roots []*x509.Certificate // from the files of the configuration

	mu    sync.Mutex
	trail *bulletin.Trail
}

// bulletinFile returns the file of the bulletin.
func bulletinFile(stateDir string) string { return filepath.Join(stateDir, "bulletin") }

// openBulletins reads the bulletin in a file, which need not exist. With an error
// there is a store all the same: one without bulletin.
func openBulletins(path string, roots []*x509.Certificate) (*bulletinStore, error) {
	s := &bulletinStore{path: path, roots: roots, trail: bulletin.NewTrail(roots)}
	t, err := s.read()
	if err != nil {
		return s, fmt.Errorf("%s: not used: %w", path, err)
	}
	s.trail = t
	return s, nil
}

// read reads the file.
func (s *bulletinStore) read() (*bulletin.Trail, error) {
	if s.path == "" {
		return bulletin.NewTrail(s.roots), nil
	}
	data, err := safefile.Read(s.path, bulletin.MaxTrail)
	if errors.Is(err, fs.ErrNotExist) {
		return bulletin.NewTrail(s.roots), nil
	}
	if err != nil {
		return nil, err
	}
	return bulletin.ParseTrail(s.roots, data)
}

// noBulletins is the trail of a nil store.
var noBulletins = bulletin.NewTrail(nil)

// current returns what bulletins say. Of a nil store it is nothing.
func (s *bulletinStore) current() *bulletin.Trail {
	if s == nil {
		return noBulletins
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trail
}

// refresh reads the file again, where another store may have put a newer bulletin.
func (s *bulletinStore) refresh() error {
	t, err := s.read()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if numberOf(t) > numberOf(s.trail) {
		s.trail = t
	}
	return nil
}

// inherit takes over the bulletin of another store, which may be nil, if it is newer
// and follows from our roots as well, and reports whether it does.
func (s *bulletinStore) inherit(from *bulletinStore) bool {
	t := from.current().Under(s.roots)
	s.mu.Lock()
	defer s.mu.Unlock()
	if numberOf(t) <= numberOf(s.trail) {
		return false
	}
	s.trail = t
	return true
}

// numberOf returns the number of the newest bulletin; 0: there is none.
func numberOf(t *bulletin.Trail) uint64 {
	if b := t.Current(); b != nil {
		return b.Number
	}
	return 0
}

// has reports whether the bulletin is the one with this hash.
func (s *bulletinStore) has(hash [sha256.Size]byte) bool {
	raw := s.current().Raw()
	return raw != nil && sha256.Sum256(raw) == hash
}

// keep makes data the bulletin, and keeps it, if it is a good one with a higher
// number than any before. With errUnsaved it is used until the program ends, not
// longer; another error is why it is not used.
func (s *bulletinStore) keep(now time.Time, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.trail.Take(now, data)
	if err != nil {
		return err
	}
	if _, err := bulletinPolicy(next.Current()); err != nil {
		return cli.WithHint(fmt.Errorf("bulletin %d is not used, and everything stays as it was: %w", next.Current().Number, err),
			"if the policy is in order for other hosts, install a newer version of this program here")
	}
	err = s.writeLocked(next)
	switch {
	case errors.Is(err, bulletin.ErrOld):
		return err
	case err != nil:
		err = fmt.Errorf("%w: %w", errUnsaved, err)
	}
	s.trail = next
	return err
}

// writeLocked writes the file, unless another process has a newer bulletin there.
func (s *bulletinStore) writeLocked(next *bulletin.Trail) error {
	if s.path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return err
	}
	unlock, err := safefile.Lock(s.path + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	safefile.Sweep(s.path)
	if there, err := s.read(); err == nil && numberOf(there) > numberOf(next) {
		s.trail = there
		return fmt.Errorf("number %d, after %d: %w", numberOf(next), numberOf(there), bulletin.ErrOld)
	}
	return safefile.Write(s.path, next.Append(nil), 0o600)
}

// bulletinPolicy returns the policy of a bulletin, which may be nil; nil: it has none.
func bulletinPolicy(b *bulletin.Bulletin) (*policy.Policy, error) {
	if b == nil || b.Policy == "" {
		return nil, nil
	}
	return policy.Parse(fmt.Sprintf("policy of bulletin %d", b.Number), b.Policy)
}

// takeBulletin takes a bulletin that the rendezvous server has sent.
func (m memberObjects) takeBulletin(now time.Time, data []byte) error {
	before := m.bulletins.current()
	err := m.bulletins.keep(now, data)
	if err != nil && !errors.Is(err, errUnsaved) {
		return err
	}
	after := m.bulletins.current()
	b := after.Current()
	says := "without policy"
	if b.Policy != "" {
		says = "with a policy"
	}
	m.log.Log(context.Background(), logging.LevelNotice, "Bulletin {number} received from the RDV server, {policy}", "number", b.Number, "policy", says,
		"issued", b.Issued.Format(time.DateTime))
	for _, c := range newIn(after.Added(), before.Added()) {
		m.log.Log(context.Background(), logging.LevelNotice, "The VPN's authority has another key: {authority} is trusted, too", "authority", c.Subject.String(),
			"expires", c.NotAfter.UTC().Format(time.DateOnly))
	}
	for _, c := range newIn(after.Retired(), before.Retired()) {
		m.log.Log(context.Background(), logging.LevelNotice, "The authority {authority} has retired, and is not trusted any more", "authority", c.Subject.String(),
			"hint", "put the certificate of the new one into ca_certificates, for when the state of this client is lost")
	}
	return err
}

// newIn returns the certificates that are in now and not in before.
func newIn(now, before []*x509.Certificate) (list []*x509.Certificate) {
	for _, c := range now {
		if !slices.ContainsFunc(before, c.Equal) {
			list = append(list, c)
		}
	}
	return list
}
