package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func openTestServers(t *testing.T, path string) *serverMemory {
	t.Helper()
	m, err := openServers(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func wantKnown(t *testing.T, m *serverMemory, want bool, names ...string) {
	t.Helper()
	for _, name := range names {
		if got := m.known(name); got != want {
			t.Errorf("%s is known: %v, want %v", name, got, want)
		}
	}
}

// TestServers: what one process remembers, another knows, and forgets.
func TestServers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "servers")
	running := openTestServers(t, path)
	const a, b = "rdv.example.org:57888", "203.0.113.10:4000"
	wantKnown(t, running, false, a, b)
	for range 2 {
		if err := running.remember(noon, a, "rdv \"one\"\n"); err != nil {
			t.Fatal(err)
		}
	}
	if err := running.remember(noon, b, "two"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	want := serverHeader + "rdv.example.org:57888 2026-03-01T12:00:00Z \"rdv \\\"one\\\"\\n\"\n203.0.113.10:4000 2026-03-01T12:00:00Z \"two\"\n"
	if err != nil || string(text) != want {
		t.Errorf("the file is\n%s(%v), want\n%s", text, err, want)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}

	other := openTestServers(t, path)
	wantKnown(t, other, true, a, b, "RDV.example.org:57888")
	wantKnown(t, other, false, "rdv.example.org:4000", "rdv.example.org", "")
	if was, err := other.forget(a); !was || err != nil {
		t.Errorf("forget: %v, %v", was, err)
	}
	if was, err := other.forget(a); was || err != nil {
		t.Errorf("forget again: %v, %v", was, err)
	}
	wantKnown(t, running, false, a)
	wantKnown(t, running, true, b)
}

// TestServersByHand: people change the file, too. What is damaged still counts.
func TestServersByHand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "servers")
	m := openTestServers(t, path)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# mine\r\n\n  a:1\nb:2 yesterday \"x\n\x00\xff\nc:3\tz")
	wantKnown(t, m, true, "a:1", "b:2", "c:3")
	wantKnown(t, m, false, "mine", "yesterday", "z")
	if err := m.remember(noon, "d:4", ""); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if want := "# mine\n\n  a:1\nb:2 yesterday \"x\n\x00\xff\nc:3\tz\nd:4 2026-03-01T12:00:00Z \"\"\n"; err != nil || string(text) != want {
		t.Errorf("the file is %q, %v, want %q", text, err, want)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	wantKnown(t, m, false, "a:1", "d:4")
}

// TestServersWithoutDisk: what cannot be written is known as long as the program
// runs.
func TestServersWithoutDisk(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m := &serverMemory{path: filepath.Join(file, "servers"), unsaved: map[string]bool{}} // below a file
	if err := m.remember(noon, "a:1", ""); err == nil {
		t.Error("no error from a disk that cannot be written")
	}
	wantKnown(t, m, true, "a:1")
	if was, err := m.forget("a:1"); !was || err == nil {
		t.Errorf("forget: %v, %v; want that it was known, and an error", was, err)
	}
	wantKnown(t, m, false, "a:1")

	memory := openTestServers(t, "")
	if err := memory.remember(noon, "a:1", ""); err != nil {
		t.Error(err)
	}
	wantKnown(t, memory, true, "a:1")
	if was, err := memory.forget("a:1"); !was || err != nil {
		t.Errorf("forget: %v, %v", was, err)
	}
	wantKnown(t, memory, false, "a:1")
	if _, err := openServers(filepath.Join(file, "servers")); err == nil {
		t.Error("a file below a file was opened")
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, maxServerFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openServers(large); err == nil {
		t.Error("a file that is too large was read")
	}
}

// FuzzServers: whatever the file holds, a server that is remembered is known, and
// what else is in the file stays.
func FuzzServers(f *testing.F) {
	f.Add([]byte(serverHeader+"a:1 2026-03-01T12:00:00Z \"x\"\n"), "b:2")
	f.Add([]byte("a:1"), "a:1")
	f.Add([]byte("\r\n\x00"), "[::1]:5")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		lines := serverLines(data)
		if again := serverLines([]byte(strings.Join(lines, "\n") + "\n")); len(lines) > 0 && !slices.Equal(again, lines) {
			t.Errorf("%q, then %q", lines, again)
		}
		if fields := strings.Fields(name); len(fields) != 1 || fields[0] != name {
			return // no name of a server
		}
		if findServer(append(lines, name+" "+noon.Format(time.RFC3339)), name) < 0 {
			t.Errorf("%q is not found in its own line", name)
		}
	})
}
