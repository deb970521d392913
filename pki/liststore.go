package pki

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"campagnol/pki/safefile"
)

// A ListStore keeps revocation lists that were received in a folder, so that they
// count after a restart: a file, in DER, for each key of an authority. It is safe
// for concurrent use, also by several processes.
type ListStore struct {
	dir      string
	warnings []string

	mu    sync.Mutex
	lists map[string]*List // by name of the file
}

const (
	storeSuffix = ".crl"
	maxStored   = 64 // lists
)

// OpenLists reads the lists in a folder, which need not exist. A file that cannot be
// read is a warning: the list is received again. The empty name is a store that
// lasts as long as the program.
func OpenLists(dir string) (*ListStore, error) {
	s := &ListStore{dir: dir, lists: map[string]*List{}}
	if dir == "" {
		return s, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("revocation lists: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), storeSuffix) || strings.HasPrefix(e.Name(), ".") || len(s.lists) >= maxStored {
			continue
		}
		l, err := s.read(e.Name())
		if err != nil {
			s.warnings = append(s.warnings, fmt.Sprintf("%s: not used: %v", filepath.Join(dir, e.Name()), err))
			continue
		}
		s.lists[e.Name()] = l
	}
	return s, nil
}

// read reads the file of a list.
func (s *ListStore) read(name string) (*List, error) {
	path := filepath.Join(s.dir, name)
	der, err := safefile.Read(path, maxListSize)
	if err != nil {
		return nil, err
	}
	return ParseList(der, "received, "+path)
}

// Warnings returns what an administrator should know about the files.
func (s *ListStore) Warnings() []string { return slices.Clone(s.warnings) }

// Lists returns the lists, for [PolicyConfig.Lists].
func (s *ListStore) Lists() []*List {
	s.mu.Lock()
	defer s.mu.Unlock()
	lists := make([]*List, 0, len(s.lists))
	for _, l := range s.lists {
		lists = append(lists, l)
	}
	return lists
}

// Has reports whether the store has the list with this hash, in DER.
func (s *ListStore) Has(hash [sha256.Size]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lists {
		if l.crl.hash == hash {
			return true
		}
	}
	return false
}

// Keep stores a list that [Policy.Accept] has accepted, instead of that of the same
// authority which it replaces. With an error that is [ErrOldList] a newer one is
// there; with another the list could not be written, and lasts as long as the
// program.
func (s *ListStore) Keep(l *List) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := l.storeName()
	if old := s.lists[name]; old != nil && old.crl.number.Cmp(l.crl.number) >= 0 {
		return ErrOldList
	}
	if s.lists[name] == nil && len(s.lists) >= maxStored {
		return fmt.Errorf("%s: there are %d revocation lists already; remove those of authorities that are not trusted any more", s.dir, maxStored)
	}
	err := s.writeLocked(name, l)
	if !errors.Is(err, ErrOldList) {
		s.lists[name] = l
	}
	return err
}

// writeLocked writes the file of a list, unless another process has a newer one there.
func (s *ListStore) writeLocked(name string, l *List) error {
	if s.dir == "" {
		return nil
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	unlock, err := safefile.Lock(filepath.Join(s.dir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	path := filepath.Join(s.dir, name)
	safefile.Sweep(path)
	if old, err := s.read(name); err == nil {
		switch c := old.crl.number.Cmp(l.crl.number); {
		case c > 0:
			s.lists[name] = old
			return ErrOldList
		case c == 0:
			return nil
		}
	}
	return safefile.Write(path, l.der, 0o600)
}
