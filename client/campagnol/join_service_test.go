package main

import (
	"context"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// newTestService returns a service whose user is the one that runs the test.
func newTestService(t *testing.T, called *[]string) joinService {
	t.Helper()
	unit := filepath.Join(t.TempDir(), "campagnol.service")
	if err := os.WriteFile(unit, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return joinService{wanted: true, unit: unit,
		lookup: func(name string) (*user.User, error) {
			if name != "campagnol" {
				return nil, user.UnknownUserError(name)
			}
			return &user.User{Uid: strconv.Itoa(os.Getuid()), Gid: strconv.Itoa(os.Getgid())}, nil
		},
		ctl: func(_ context.Context, args ...string) error { *called = append(*called, args...); return nil },
	}
}

// TestJoinService: the files belong to the service, which is started.
func TestJoinService(t *testing.T) {
	var called []string
	s := newTestService(t, &called)
	if err := s.check(defaultConf); err != nil {
		t.Fatal(err)
	}
	dir, config := t.TempDir(), filepath.Join(t.TempDir(), "campagnol.conf")
	files := []joinFile{{filepath.Join(dir, "key.pem"), nil, 0o600}, {config, nil, 0o644}}
	for _, f := range files {
		if err := os.WriteFile(f.path, nil, f.mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.give(dir, config, files); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{files[0].path: 0o600, config: 0o640} {
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", path, fi, err, want)
		}
	}
	if err := s.start(t.Context(), config); err != nil || !slices.Equal(called, []string{"enable", "--now", "campagnol"}) {
		t.Errorf("systemctl %q, %v", called, err)
	}
	s.ctl = func(context.Context, ...string) error { return errors.New("Job failed") }
	if err := s.start(t.Context(), config); err == nil || !strings.Contains(cliText(err), "journalctl") {
		t.Errorf("a service that does not start: %v", err)
	}
}

// TestJoinServiceRefused: what is missing is said before the token is used.
func TestJoinServiceRefused(t *testing.T) {
	var called []string
	for name, c := range map[string]struct {
		edit   func(s *joinService)
		config string
		want   string
	}{
		"another configuration": {nil, "/etc/campagnol/office.conf", "docs/install.md"},
		"no package":            {func(s *joinService) { s.unit += ".not" }, defaultConf, "install the package"},
		"no user": {func(s *joinService) {
			s.lookup = func(name string) (*user.User, error) { return nil, user.UnknownUserError(name) }
		}, defaultConf, "unknown user campagnol"},
		"a user without a number": {func(s *joinService) {
			s.lookup = func(string) (*user.User, error) { return &user.User{Uid: "S-1-5"}, nil }
		}, defaultConf, "S-1-5"},
	} {
		s := newTestService(t, &called)
		if c.edit != nil {
			c.edit(&s)
		}
		err := s.check(c.config)
		if err == nil || !strings.Contains(cliText(err), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		s.wanted = false
		if err := s.check(c.config); err != nil {
			t.Errorf("%s, and it is not wanted: %v", name, err)
		}
	}
}
