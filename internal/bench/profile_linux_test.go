package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFetchProfileFails checks that a daemon without profiles is an error that
// says whose it is, and that nothing is written.
func TestFetchProfileFails(t *testing.T) {
	t.Parallel()
	at := newTestPlace(t, pathVeth)
	file := filepath.Join(t.TempDir(), "profiles", "x.pprof")
	err := fetchProfile(t.Context(), at.b, file, time.Second)
	if err == nil || !strings.Contains(err.Error(), "daemon on b") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody serves profiles: error %v, want one that says so", err)
	}
	if left, err := filepath.Glob(filepath.Dir(file)); err != nil || len(left) > 0 {
		t.Errorf("there are files: %q (%v)", left, err)
	}
}

// TestNoProfile checks who is not profiled: nobody unless it is asked for, no other
// tool, and no step without load.
func TestNoProfile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ profiles, tool, step string }{
		{"", toolOurs, stepTCP1}, {"/nowhere", toolNebula, stepTCP1}, {"/nowhere", toolDirect, stepTCP1}, {"/nowhere", toolOurs, stepCold},
	} {
		s, _ := newTestSession(t, steps...) // which has no hosts that could be asked
		s.profiles, s.name = c.profiles, c.tool
		if err := s.profile(t.Context(), c.step)(); err != nil {
			t.Errorf("%+v: error %v, want nothing to happen", c, err)
		}
	}
}
