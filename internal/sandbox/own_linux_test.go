package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"campagnol/internal/testenv"
)

// ownerOf returns the user whose a file is.
func ownerOf(t *testing.T, path string) int {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return int(st.Uid)
}

func TestOwn(t *testing.T) {
	testenv.Root(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	account := &Account{Name: "somebody", UID: 4242, GID: 4243}
	old := syscall.Umask(0o077)
	err := account.Own(in("new/state"), 0o755)
	syscall.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(in("new/state")); err != nil || info.Mode().Perm() != 0o755 || ownerOf(t, in("new/state")) != 4242 || ownerOf(t, in("new")) != 0 {
		t.Errorf("a new folder: %v, %v, of %d in one of %d", info, err, ownerOf(t, in("new/state")), ownerOf(t, in("new")))
	}

	// The user has prepared the folder: nothing changes hands that is not in it.
	for _, name := range []string{"secret", "new/state/kept", "new/state/theirs"} {
		if err := os.WriteFile(in(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Symlink(in("secret"), in("new/state/link")),
		os.WriteFile(in("second"), nil, 0o600),
		os.Link(in("second"), in("new/state/hard")),
		os.Mkdir(in("new/state/folder"), 0o700),
		syscall.Mkfifo(in("new/state/pipe"), 0o600),
		os.Chown(in("new/state/theirs"), 4711, 4711),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := account.Own(in("new/state"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"secret": 0, "second": 0, "new/state/kept": 4242, "new/state/link": 0, "new/state/hard": 0,
		"new/state/folder": 0, "new/state/pipe": 0, "new/state/theirs": 4711} {
		if got := ownerOf(t, in(name)); got != want {
			t.Errorf("%s belongs to %d, want %d", name, got, want)
		}
	}
}

func TestOwnRefuses(t *testing.T) {
	testenv.Root(t)
	dir := t.TempDir()
	account := &Account{Name: "somebody", UID: 4242, GID: 4243}
	third, open, file := filepath.Join(dir, "third"), filepath.Join(dir, "open"), filepath.Join(dir, "file")
	for _, err := range []error{
		os.Mkdir(third, 0o700), os.Chown(third, 4711, 4711),
		os.Mkdir(open, 0o700), os.Chmod(open, 0o777),
		os.WriteFile(file, nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := account.Own(third, 0o700); err != nil || ownerOf(t, third) != 4711 {
		t.Errorf("a third user's folder: %v, it belongs to %d now", err, ownerOf(t, third))
	}
	if err := account.Own(open, 0o700); err == nil || !strings.Contains(err.Error(), "everybody can write to it") || ownerOf(t, open) != 0 {
		t.Errorf("a folder that is open to all: %v", err)
	}
	if err := account.Own(file, 0o700); err == nil || ownerOf(t, file) != 0 {
		t.Errorf("a file: %v", err)
	}
}

func TestWritable(t *testing.T) {
	dir := t.TempDir()
	if err := Writable(dir); err != nil {
		t.Error(err)
	}
	if err := Writable(filepath.Join(dir, "missing")); err == nil || !strings.HasPrefix(err.Error(), "write to ") {
		t.Errorf("a missing folder: %v", err)
	}
}
