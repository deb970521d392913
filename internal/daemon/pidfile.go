package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A Pidfile is a file with our process ID.
type Pidfile struct {
	path string
	info fs.FileInfo // to recognise it
	file *os.File    // to empty it, where it cannot be removed any more
}

// WritePidfile writes our process ID and a line end to the file path, and
// returns nil if path is empty. An older file or symbolic link of that name is
// replaced, never written to: in a directory that others can write to, a link
// would let them have any file overwritten.
//
// Like the original's, a pid file is no lock.
func WritePidfile(path string) (*Pidfile, error) {
	if path == "" {
		return nil, nil
	}
	p, err := writePidfile(path)
	if err != nil {
		return nil, fmt.Errorf("write the pid file: %w", err)
	}
	return p, nil
}

func writePidfile(path string) (*Pidfile, error) {
	path, err := filepath.Abs(path) // the working directory may change
	if err != nil {
		return nil, err
	}
	if old, err := os.Lstat(path); err == nil {
		if old.IsDir() {
			return nil, fmt.Errorf("%s is a directory", path)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	// O_EXCL does not follow a link that has appeared since.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteString(content())
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	return &Pidfile{path, info, f}, nil
}

// Remove removes the file, unless another process has put its own in the same
// place. A program that has given up the rights by which it made the file leaves it
// empty instead, so that it names nobody. It does nothing if p is nil.
func (p *Pidfile) Remove() error {
	if p == nil {
		return nil
	}
	defer p.file.Close()
	if !p.ours() {
		return nil
	}
	if err := p.emptied(os.Remove(p.path)); err != nil {
		return fmt.Errorf("remove the pid file: %w", err)
	}
	return nil
}

// emptied empties the file if removing it has failed for lack of rights, and returns
// what is wrong then.
func (p *Pidfile) emptied(err error) error {
	if errors.Is(err, fs.ErrPermission) && p.file.Truncate(0) == nil {
		return nil
	}
	return err
}

// ours reports whether the file is the one that we have written. The file
// system may give the identity of a removed file to the next, so that the
// content has to be ours, too.
func (p *Pidfile) ours() bool {
	now, err := os.Lstat(p.path)
	if err != nil || !os.SameFile(now, p.info) {
		return false
	}
	b, err := os.ReadFile(p.path)
	return err == nil && string(b) == content()
}

func content() string { return fmt.Sprintf("%d\n", os.Getpid()) }
