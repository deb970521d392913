package service

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manager is a service manager that listens. It returns what reads its next message.
func manager(t *testing.T) (read func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		b := make([]byte, 100)
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

// TestConfine: rights are given up after Start and before the program is ready; what
// fails there keeps it from serving.
func TestConfine(t *testing.T) {
	var steps []string
	failure := errors.New("not possible")
	for _, fails := range []error{nil, failure} {
		steps = nil
		s := Service{Name: "x", Start: func(context.Context, *Starting) (*Running, error) {
			steps = append(steps, "start")
			return &Running{
				Confine: func() error {
					steps = append(steps, "confine")
					return fails
				},
				Serve: func(context.Context) error {
					steps = append(steps, "serve")
					return nil
				},
			}, nil
		}}
		if err := s.Run(t.Context()); !errors.Is(err, fails) {
			t.Errorf("Run = %v, want %v", err, fails)
		}
		want := "start confine serve"
		if fails != nil {
			want = "start confine"
		}
		if got := strings.Join(steps, " "); got != want {
			t.Errorf("steps %q, want %q", got, want)
		}
	}
}

// TestReloading: a service manager hears of a reload, and of its end.
func TestReloading(t *testing.T) {
	read := manager(t)
	s := Service{Name: "x", Start: func(context.Context, *Starting) (*Running, error) {
		release := make(chan struct{})
		return &Running{
			Serve: func(context.Context) error {
				read() // that it is ready
				syscall.Kill(os.Getpid(), syscall.SIGHUP)
				if got := read(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") || strings.HasSuffix(got, "=0") {
					t.Errorf("while it reloads: %q", got)
				}
				close(release)
				if got := read(); got != "READY=1" {
					t.Errorf("afterwards: %q", got)
				}
				return nil
			},
			Signals: map[syscall.Signal]func(context.Context){syscall.SIGHUP: func(context.Context) { <-release }},
		}, nil
	}}
	if err := s.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestWatchdog: a service manager that watches is told that the program is alive, and
// nothing while it is stuck.
func TestWatchdog(t *testing.T) {
	read := manager(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	asked := make(chan bool)
	s := Service{Name: "x", Start: func(context.Context, *Starting) (*Running, error) {
		return &Running{
			Serve: func(context.Context) error {
				asked <- true // stuck
				asked <- false
				for range 2 {
					if got := read(); got != "READY=1" && got != "WATCHDOG=1" {
						t.Errorf("it is told %q", got)
					}
				}
				return nil
			},
			Alive: func(ctx context.Context) error {
				select {
				case stuck := <-asked:
					if stuck {
						return errors.New("no answer")
					}
				case <-ctx.Done():
				}
				return nil
			},
		}, nil
	}}
	out := captured(t, func() {
		if err := s.Run(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if !strings.Contains(out, "The program seems to be stuck") || !strings.Contains(out, "no answer") {
		t.Errorf("of a program that is stuck it says %q", out)
	}
}
