package safefile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for i, mode := range []os.FileMode{0o600, 0o644, 0o600} {
		want := fmt.Sprintf("content %d", i)
		if err := Write(path, []byte(want), mode); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("content = %q, %v, want %q", got, err, want)
		}
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != mode {
			t.Errorf("mode = %v, %v, want %v", fi.Mode(), err, mode)
		}
	}
	wantFiles(t, dir, "f")
}

// A CA on a machine with its state elsewhere has symbolic links.
func TestWriteFollowsLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := Write(link, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target); string(got) != "new" {
		t.Errorf("target = %q, %v, want %q", got, err, "new")
	}
	if fi, err := os.Lstat(link); err != nil || fi.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", fi, err)
	}
}

func TestWriteErrors(t *testing.T) {
	dir := t.TempDir()
	if err := Write(filepath.Join(dir, "none", "f"), nil, 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: error %v, want ErrNotExist", err)
	}
	// A rename onto a directory fails; the temporary file must not stay.
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "d"), []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced by a file")
	}
	wantFiles(t, dir, "d")
}

func wantFiles(t *testing.T, dir, want string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("files = %q, want %q", got, want)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", ".hidden", ".a.tmp-1", ".a.tmp-22", ".b.tmp-3", ".a.b.tmp-4", "a.tmp-5"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".a.tmp-6"), 0o700); err != nil {
		t.Fatal(err)
	}
	Sweep(filepath.Join(dir, "a"))
	wantFiles(t, dir, ".a.b.tmp-4 .a.tmp-6 .b.tmp-3 .hidden a a.tmp-5 b")
	Sweep(filepath.Join(dir, "*"))
	wantFiles(t, dir, ".a.tmp-6 .hidden a a.tmp-5 b")
	Sweep(filepath.Join(dir, "none", "*")) // nothing to do, and nothing happens
	// The names are those that Write uses.
	t.Chdir(t.TempDir())
	f, err := os.CreateTemp(".", ".a"+tempMark+"*")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	Sweep("a")
	wantFiles(t, ".", "")
}

func TestReadLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(path, 5); string(got) != "12345" || err != nil {
		t.Errorf("Read = %q, %v, want all of it", got, err)
	}
	if _, err := Read(path, 4); !errors.Is(err, ErrTooLarge) {
		t.Errorf("error %v, want ErrTooLarge", err)
	}
	if _, err := Read("/dev/zero", 1<<10); !errors.Is(err, ErrTooLarge) {
		t.Errorf("/dev/zero: error %v, want ErrTooLarge", err)
	}
	if _, err := Read(path+".none", 4); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want ErrNotExist", err)
	}
}

// TestLock counts in a file from many goroutines; without the lock increments
// get lost.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	path, lock := filepath.Join(dir, "n"), filepath.Join(dir, "lock")
	if err := os.WriteFile(path, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	increment := func() error {
		unlock, err := Lock(lock)
		if err != nil {
			return err
		}
		defer unlock()
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(b))
		if err != nil {
			return err
		}
		return Write(path, []byte(strconv.Itoa(n+1)), 0o600)
	}
	const workers, rounds = 8, 10
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				if err := increment(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got, err := os.ReadFile(path); string(got) != strconv.Itoa(workers*rounds) {
		t.Errorf("count = %s, %v, want %d", got, err, workers*rounds)
	}
	if _, err := Lock(filepath.Join(dir, "none", "lock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want ErrNotExist", err)
	}
}
