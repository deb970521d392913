package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"campagnol/pki/safefile"
	"campagnol/rdv/channel"
)

var (
	// errOldBulletin is for a bulletin that another takes precedence over.
	errOldBulletin = errors.New("there is a newer bulletin already")

	// errUnsaved is for what could not be written, and is used all the same.
	errUnsaved = errors.New("remembered until the client ends, not longer")
)

// A bulletinCheck decides whether data is a bulletin of an authority that we trust,
// and returns its number.
type bulletinCheck func(now time.Time, data []byte) (number uint64, err error)

// A bulletinStore keeps the bulletin of the VPN's authority with the highest number
// in a file, so that it counts after a restart, and no old one after it. It is safe
// for concurrent use, also by several processes.
type bulletinStore struct {
	path  string // empty: memory only
	check bulletinCheck

	mu     sync.Mutex
	data   []byte // nil: there is none
	number uint64
}

// bulletinFile returns the file of the bulletin.
func bulletinFile(stateDir string) string { return filepath.Join(stateDir, "bulletin") }

// openBulletins reads the bulletin in a file, which need not exist. With an error
// there is a store all the same: one without bulletin.
func openBulletins(now time.Time, path string, check bulletinCheck) (*bulletinStore, error) {
	s := &bulletinStore{path: path, check: check}
	data, number, err := s.read(now)
	if err != nil {
		return s, fmt.Errorf("%s: not used: %w", path, err)
	}
	s.data, s.number = data, number
	return s, nil
}

// read reads the file. Without one it returns nil.
func (s *bulletinStore) read(now time.Time) ([]byte, uint64, error) {
	if s.path == "" {
		return nil, 0, nil
	}
	data, err := safefile.Read(s.path, channel.MaxObject)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	number, err := s.check(now, data)
	if err != nil {
		return nil, 0, err
	}
	return data, number, nil
}

// current returns the bulletin; nil: there is none. It must not be changed.
func (s *bulletinStore) current() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data
}

// has reports whether the bulletin is the one with this hash.
func (s *bulletinStore) has(hash [sha256.Size]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data != nil && sha256.Sum256(s.data) == hash
}

// keep makes data the bulletin, and keeps it, if it is a good one with a higher
// number than any before. With errUnsaved it is used until the program ends, not
// longer; another error is why it is not used.
func (s *bulletinStore) keep(now time.Time, data []byte) error {
	number, err := s.check(now, data)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data != nil && number <= s.number {
		return fmt.Errorf("bulletin %d: %w: %d", number, errOldBulletin, s.number)
	}
	err = s.writeLocked(now, data, number)
	switch {
	case errors.Is(err, errOldBulletin):
		return err
	case err != nil:
		err = fmt.Errorf("%w: %w", errUnsaved, err)
	}
	s.data, s.number = data, number
	return err
}

// writeLocked writes the file, unless another process has a newer one there.
func (s *bulletinStore) writeLocked(now time.Time, data []byte, number uint64) error {
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
	if old, n, err := s.read(now); err == nil && old != nil && n > number {
		s.data, s.number = old, n
		return fmt.Errorf("bulletin %d: %w: %d", number, errOldBulletin, n)
	}
	return safefile.Write(s.path, data, 0o600)
}
