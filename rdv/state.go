package rdv

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"campagnol/pki"
	"campagnol/pki/bulletin"
	"campagnol/pki/safefile"
	"campagnol/rdv/channel"
)

// Names of the files in the directory of a State.
const (
	bulletinFile = "bulletin"
	listPrefix   = "crl-" // and the key that has signed it, in hexadecimal
	listSuffix   = ".der"
)

// A State keeps the objects that the authority has sent in a directory, so that they
// are there after a restart before the authority is. A nil State keeps nothing. It
// belongs to the [Server].
type State struct {
	dir     string
	objects []Object // as they were found
}

// OpenState reads a directory, which is made if it is not there. Files that have other
// names are left alone.
func OpenState(dir string) (*State, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("rdv: %w", err)
	}
	s := &State{dir: dir}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("rdv: %w", err)
	}
	for _, e := range entries {
		kind, ok := kindOfFile(e.Name())
		if !ok || len(s.objects) >= 2*channel.MaxObjects {
			continue
		}
		content, err := safefile.Read(filepath.Join(dir, e.Name()), bulletin.MaxTrail)
		if err != nil {
			return nil, fmt.Errorf("rdv: %w", err)
		}
		s.objects = append(s.objects, Object{kind, content})
	}
	return s, nil
}

// kindOfFile returns the kind of the object in a file with a name.
func kindOfFile(name string) (channel.ObjectKind, bool) {
	if name == bulletinFile {
		return channel.Bulletin, true
	}
	rest, isList := strings.CutPrefix(name, listPrefix)
	key, isDER := strings.CutSuffix(rest, listSuffix)
	b, err := hex.DecodeString(key)
	return channel.CRL, isList && isDER && err == nil && len(b) == len(pki.KeyID{})
}

// fileOf returns the name of the file for an object.
func fileOf(key itemKey) string {
	if key.kind == channel.Bulletin {
		return bulletinFile
	}
	return listPrefix + hex.EncodeToString(key.signer[:]) + listSuffix
}

// save writes items, and removes the files of others.
func (s *State) save(items []item) error {
	if s == nil {
		return nil
	}
	var errs []error
	keep := map[string]bool{}
	for _, i := range items {
		path := filepath.Join(s.dir, fileOf(i.key))
		keep[filepath.Base(path)] = true
		if old, err := safefile.Read(path, bulletin.MaxTrail); err == nil && string(old) == string(i.data) {
			continue
		}
		if err := safefile.Write(path, i.data, 0o644); err != nil {
			errs = append(errs, fmt.Errorf("rdv: %w", err))
		}
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		errs = append(errs, fmt.Errorf("rdv: %w", err))
	}
	for _, e := range entries {
		if _, ours := kindOfFile(e.Name()); ours && !keep[e.Name()] {
			if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("rdv: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}

// take returns the objects that were found, once.
func (s *State) take() []Object {
	if s == nil {
		return nil
	}
	objects := s.objects
	s.objects = nil
	return objects
}
