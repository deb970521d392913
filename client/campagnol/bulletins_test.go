package main

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var errForged = errors.New("signed by nobody")

// numberFirst takes the first byte of a bulletin for its number; 0 is forged.
func numberFirst(_ time.Time, data []byte) (uint64, error) {
	if len(data) == 0 || data[0] == 0 {
		return 0, errForged
	}
	return uint64(data[0]), nil
}

func TestBulletinStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "bulletin")
	open := func() *bulletinStore {
		t.Helper()
		s, err := openBulletins(noon, path, numberFirst)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := open(), open() // two processes
	if a.current() != nil || a.has(sha256.Sum256(nil)) {
		t.Error("there is a bulletin before any has come")
	}
	for _, step := range []struct {
		in   *bulletinStore
		data string
		err  error
		now  string // bulletin afterwards
	}{
		{a, "\x03x", nil, "\x03x"},
		{a, "\x03y", errOldBulletin, "\x03x"},
		{a, "\x02x", errOldBulletin, "\x03x"},
		{a, "\x00x", errForged, "\x03x"},
		{a, "", errForged, "\x03x"},
		{b, "\x02x", errOldBulletin, "\x03x"},
		{b, "\x04x", nil, "\x04x"},
	} {
		if err := step.in.keep(noon, []byte(step.data)); !errors.Is(err, step.err) {
			t.Errorf("%q: %v, want %v", step.data, err, step.err)
		}
		if got := string(step.in.current()); got != step.now || !step.in.has(sha256.Sum256([]byte(step.now))) {
			t.Errorf("after %q: %q, want %q", step.data, got, step.now)
		}
	}
	if got := string(open().current()); got != "\x04x" {
		t.Errorf("after a restart: %q", got)
	}
	if err := os.WriteFile(path, []byte("\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openBulletins(noon, path, numberFirst)
	if !errors.Is(err, errForged) || s == nil || s.current() != nil {
		t.Errorf("a damaged file: %v, %v", s, err)
	}
	if err := s.keep(noon, []byte("\x01z")); err != nil || string(open().current()) != "\x01z" {
		t.Errorf("a damaged file is not replaced: %v", err)
	}
}

// TestBulletinUnwritable: what cannot be written is used all the same.
func TestBulletinUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{"": nil, filepath.Join(file, "below"): errUnsaved} {
		s := &bulletinStore{path: path, check: numberFirst}
		if err := s.keep(noon, []byte("\x01")); !errors.Is(err, want) || string(s.current()) != "\x01" {
			t.Errorf("%q: %v, want %v; bulletin %q", path, err, want, s.current())
		}
	}
}
