// Package safefile replaces small files so that a crash leaves either the old
// or the new content, and keeps two processes from changing the same files at
// once. The pins of package pki and the CA of package pki/ca live in such
// files.
package safefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tempMark is in the name of temporary files, between that of the file and a
// random number.
const tempMark = ".tmp-"

// Write replaces the file at path by data with the given mode. Whoever reads
// the path sees the old or the new content, also after a crash: the data is
// on disk before the name points to it. A symbolic link is followed, so that
// the file it names is replaced and not the link.
func Write(path string, data []byte, mode fs.FileMode) (err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+tempMark+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := errors.Join(fill(f, data, mode), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// fill gives f its content and mode. The mode comes first: a key must never be
// readable by others, not even for a moment.
func fill(f *os.File, data []byte, mode fs.FileMode) error {
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// syncDir makes a rename in dir durable. File systems that cannot sync a
// directory say EINVAL or the like; the rename has happened all the same, so
// that is no error.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync()
	return d.Close()
}

// Sweep removes what [Write] left behind when the program was killed while it
// replaced path; a last element "*" means any file of the directory. The caller
// holds the lock that all writers of these files take, so that nobody is at
// work. Errors do not matter: nothing depends on it.
func Sweep(path string) {
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return
	}
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), ".")
		if !ok || !e.Type().IsRegular() {
			continue
		}
		if of, _, ok := strings.Cut(name, tempMark); ok && (base == "*" || base == of) {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// ErrTooLarge is returned by [Read] for a file above the limit.
var ErrTooLarge = errors.New("file is too large")

// Read returns the content of the file at path, and [ErrTooLarge] if it has
// more than limit bytes. The limit holds for devices and pipes as well, whose
// size nobody knows before reading.
func Read(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: %w: the limit is %d bytes", path, ErrTooLarge, limit)
	}
	return data, nil
}
