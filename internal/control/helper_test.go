package control

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// newDir returns a folder that everybody may enter, but only we may write to,
// with a name that is short enough for sockets.
func newDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "control-")
	if err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// sample is a document as a client would send it.
func sample() *Status {
	return &Status{Version: "1.2.3", Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Interface: "tun7"}
}

// routesOf returns routes of which the status is h.
func routesOf(h Handler) map[string]Handler { return map[string]Handler{"GET " + StatusPath: h} }

// serve makes a server that runs until the test ends, or stop is called.
func serve(t *testing.T, cfg Config) (s *Server, stop func()) {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(newDir(t), "x.sock")
	}
	if cfg.Routes == nil {
		cfg.Routes = routesOf(func(*http.Request) (any, error) { return sample(), nil })
	}
	if cfg.Program == "" {
		cfg.Program = "campagnol/1.2.3"
	}
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	stopped := false
	stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("Serve does not end")
		}
	}
	t.Cleanup(stop)
	return s, stop
}

// newClient returns a client that is closed with the test.
func newClient(t *testing.T, path string) *Client {
	c := NewClient(path)
	t.Cleanup(c.Close)
	return c
}

// wantError checks text and hint of an error for people.
func wantError(t *testing.T, err error, text, hint string) {
	t.Helper()
	if err == nil || err.Error() != text {
		t.Errorf("error %v, want %s", err, text)
	}
	var h interface{ Hint() string }
	got := ""
	if errors.As(err, &h) {
		got = h.Hint()
	}
	if got != hint {
		t.Errorf("hint %q, want %q", got, hint)
	}
}
