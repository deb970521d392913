package filewatch

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	files := []string{a, b}
	var w Watch
	check := func(step string, want ...string) {
		t.Helper()
		if got := w.Look(files); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", step, got, want)
		}
	}
	moment := time.Now().Add(-time.Hour)
	write := func(path, text string) {
		t.Helper()
		moment = moment.Add(time.Second) // whatever the file system's clock does
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, moment, moment); err != nil {
			t.Fatal(err)
		}
	}

	write(a, "1")
	write(b, "1")
	check("as they were read")
	check("still")

	write(a, "2")
	check("it may still be written")
	check("written", a)
	check("read")

	write(a, "3")
	check("a certificate")
	write(b, "3")
	check("and its key")
	check("both", a, b)
	check("read")

	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	check("removed")
	check("nothing to read")
	write(a, "4")
	check("there again")
	check("there again, still", a)

	// Another file in its place, of the same size and time.
	info, err := os.Stat(b)
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(dir, "next")
	write(next, "x")
	if err := os.Chtimes(next, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, b); err != nil {
		t.Fatal(err)
	}
	check("replaced")
	check("replaced, still", b)

	write(b, "5")
	files = files[:1]
	check("a file that is not used any more")
	files = []string{a, b}
	check("one that is used again, and was read for that")
	if len(w.used) != 2 {
		t.Errorf("%d files are kept in mind, want 2", len(w.used))
	}
}
