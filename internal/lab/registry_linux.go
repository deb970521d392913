package lab

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// namePrefix begins the name of everything that a lab leaves outside of itself:
// its namespaces, and its folder for temporary files.
const namePrefix = "campagnol-lab-"

// registryDir has one file per lab. The program that runs the lab holds a lock
// on the file, which the kernel drops with the program: a file without lock
// belongs to a lab that was killed, unless the file says that it was kept on
// purpose.
const registryDir = "/run/campagnol-lab"

// registryLock is the file whose lock is held while the registry changes. It is
// not the name of a lab, which has no dots.
const registryLock = ".lock"

// idLength is the length of a lab's name. 32 letters to the power of 5 make
// sure that two labs at a time never meet; if they do, another is drawn.
const idLength = 5

// An entry is a lab's file in the registry.
type entry struct {
	id   string
	file *os.File // locked; nil for entries that are only read
	record
}

// A record is the content of the file.
type record struct {
	PID  int    `json:"pid"`  // the program that made the lab
	Dir  string `json:"dir"`  // its folder for temporary files
	Kept bool   `json:"kept"` // the lab outlives its program on purpose
}

// register makes the entry and the folder of a new lab.
func register() (*entry, error) {
	unlock, err := lockRegistry()
	if err != nil {
		return nil, err
	}
	defer unlock()
	for {
		id := strings.ToLower(rand.Text()[:idLength])
		f, err := os.OpenFile(filepath.Join(registryDir, id), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("lab: register: %w", err)
		}
		e := &entry{id: id, file: f, record: record{PID: os.Getpid()}}
		if err := e.fill(); err != nil {
			return nil, errors.Join(err, e.unregister())
		}
		return e, nil
	}
}

// fill locks the entry's file, makes the lab's folder and writes the record.
func (e *entry) fill() error {
	if err := unix.Flock(int(e.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lab: lock %s: %w", e.file.Name(), err)
	}
	dir, err := os.MkdirTemp("", namePrefix+e.id+"-")
	if err != nil {
		return fmt.Errorf("lab: make a folder for logs: %w", err)
	}
	e.Dir = dir
	return e.write()
}

// write replaces the content of the entry's file.
func (e *entry) write() error {
	b, err := json.Marshal(e.record)
	if err != nil {
		return err
	}
	if err := e.file.Truncate(0); err != nil {
		return fmt.Errorf("lab: register: %w", err)
	}
	if _, err := e.file.WriteAt(append(b, '\n'), 0); err != nil {
		return fmt.Errorf("lab: register: %w", err)
	}
	return nil
}

// unregister removes the entry and gives up its lock.
func (e *entry) unregister() error {
	err := os.Remove(e.file.Name())
	return errors.Join(err, release(e.file))
}

// release gives up the lock on f and closes it. Closing alone would not do: a
// process that another goroutine is just starting has a copy of the descriptor
// until it executes its program, and the lock lasts as long as any copy.
func release(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

// namespaces returns the names of the lab's namespaces that exist.
func (e *entry) namespaces() ([]string, error) {
	return namespacesNamed(namePrefix + e.id + "-")
}

// demolish ends what runs in the lab's namespaces and removes these and the
// folder. It goes on after an error, and returns them all.
func (e *entry) demolish() error {
	names, err := e.namespaces()
	errs := []error{err, killProcessesIn(names)}
	for _, name := range names {
		errs = append(errs, removeNamespace(name))
	}
	// The folder's name is checked because the record comes from a file.
	if strings.HasPrefix(filepath.Base(e.Dir), namePrefix+e.id+"-") {
		errs = append(errs, os.RemoveAll(e.Dir))
	}
	return errors.Join(errs...)
}

// lockRegistry waits for the lock of the registry, which it makes if there is
// none, and returns how to give the lock up.
func lockRegistry() (unlock func(), err error) {
	for {
		f, err := openLock()
		if errors.Is(err, os.ErrNotExist) {
			continue // the last lab has just removed the folder
		}
		if err != nil {
			return nil, fmt.Errorf("lab: open the registry of labs: %w", err)
		}
		for {
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
			if !errors.Is(err, unix.EINTR) {
				break
			}
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lab: lock the registry of labs: %w", err)
		}
		if sameFile(f) {
			return func() { release(f) }, nil
		}
		release(f) // somebody removed it while we waited
	}
}

// openLock opens the file that is locked.
func openLock() (*os.File, error) {
	if err := os.MkdirAll(registryDir, 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(registryDir, registryLock), os.O_RDWR|os.O_CREATE, 0o600)
}

// tidyRegistry removes the registry if there is nothing in it any more.
func tidyRegistry() error {
	unlock, err := lockRegistry()
	if err != nil {
		return err
	}
	defer unlock()
	files, err := os.ReadDir(registryDir)
	if err != nil || len(files) > 1 {
		return err
	}
	return errors.Join(os.Remove(filepath.Join(registryDir, registryLock)), os.Remove(registryDir))
}

// Sweep removes what labs have left behind whose program was killed and, if
// kept is true, the labs that were kept on purpose (see [Lab.Keep]): it ends
// the processes inside their namespaces, and removes namespaces and folders.
// Labs whose program runs are left alone.
func Sweep(kept bool) (Swept, error) {
	if err := needRoot(); err != nil {
		return Swept{}, err
	}
	swept, err := sweepAll(kept)
	return swept, errors.Join(err, tidyRegistry())
}

// sweepAll visits all entries of the registry under its lock.
func sweepAll(kept bool) (swept Swept, err error) {
	unlock, err := lockRegistry()
	if err != nil {
		return swept, err
	}
	defer unlock()
	files, err := os.ReadDir(registryDir)
	if err != nil {
		return swept, fmt.Errorf("lab: list the registry of labs: %w", err)
	}
	known := map[string]bool{}
	var errs []error
	for _, f := range files {
		if f.Name() == registryLock {
			continue
		}
		known[f.Name()] = true
		errs = append(errs, swept.visit(f.Name(), kept))
	}
	errs = append(errs, swept.orphans(known))
	return swept, errors.Join(errs...)
}

// visit removes the lab with the given name if it may be removed, and notes
// what became of it.
func (s *Swept) visit(id string, kept bool) error {
	f, err := os.OpenFile(filepath.Join(registryDir, id), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // closed in the meantime
	}
	if err != nil {
		return fmt.Errorf("lab: open the registry of labs: %w", err)
	}
	e := &entry{id: id, file: f}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		s.Running = append(s.Running, id)
		return f.Close()
	}
	if !sameFile(f) {
		return release(f) // its program removed it while we waited to look
	}
	// What cannot be read was being written when its program was killed: there
	// is nothing more than the namespaces then.
	_ = json.NewDecoder(f).Decode(&e.record)
	if e.Kept && !kept {
		s.Kept = append(s.Kept, id)
		return release(f)
	}
	if err := e.demolish(); err != nil {
		return errors.Join(err, release(f)) // the next sweep tries again
	}
	s.Removed = append(s.Removed, id)
	return e.unregister()
}

// orphans removes namespaces that belong to no lab of the registry: what
// remains when somebody removed the registry.
func (s *Swept) orphans(known map[string]bool) error {
	names, err := namespacesNamed(namePrefix)
	errs := []error{err}
	for _, name := range names {
		id, _, _ := strings.Cut(strings.TrimPrefix(name, namePrefix), "-")
		if known[id] {
			continue
		}
		errs = append(errs, killProcessesIn([]string{name}), removeNamespace(name))
		if !slices.Contains(s.Removed, id) {
			s.Removed = append(s.Removed, id)
		}
	}
	return errors.Join(errs...)
}

// sameFile reports whether the name of f still leads to f.
func sameFile(f *os.File) bool {
	named, err1 := os.Stat(f.Name())
	open, err2 := f.Stat()
	return err1 == nil && err2 == nil && os.SameFile(named, open)
}
