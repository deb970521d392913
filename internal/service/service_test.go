package service

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/logging"

	"github.com/spf13/pflag"
)

// captured runs f with standard output and error going to a file, and returns
// what is in it then.
func captured(t *testing.T, f func()) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = file, file
	defer func() { os.Stdout, os.Stderr = stdout, stderr }()
	f()
	b, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRun(t *testing.T) {
	var steps []string
	out := captured(t, func() {
		s := Service{Name: "x", Level: slog.LevelInfo, Start: func(_ context.Context, st *Starting) (*Running, error) {
			st.Warn("something is odd", "turn it off and on again")
			st.Warn("something else", "")
			if got := st.Level.Level(); got != slog.LevelInfo {
				t.Errorf("level %v", got)
			}
			steps = append(steps, "started")
			return &Running{Serve: func(ctx context.Context) error {
				st.Log.Info("serving")
				st.Log.Debug("not shown")
				st.Level.Set(slog.LevelDebug)
				st.Log.Debug("shown now")
				steps = append(steps, "served")
				return nil
			}}, nil
		}}
		if err := s.Run(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if strings.Join(steps, " ") != "started served" {
		t.Errorf("steps %v", steps)
	}
	for _, want := range []string{"something is odd", "turn it off and on again", "something else", "serving", "shown now"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in the output:\n%s", want, out)
		}
	}
	if strings.Contains(out, "not shown") {
		t.Errorf("the level is not obeyed:\n%s", out)
	}
}

func TestStartFails(t *testing.T) {
	failure := errors.New("no")
	s := Service{Name: "x", PIDFile: filepath.Join(t.TempDir(), "x.pid"), Start: func(context.Context, *Starting) (*Running, error) {
		return nil, failure
	}}
	if err := s.Run(t.Context()); !errors.Is(err, failure) {
		t.Errorf("Run = %v, want the error of Start", err)
	}
	if _, err := os.Stat(s.PIDFile); err == nil {
		t.Error("a pid file was written")
	}
}

func TestServeFails(t *testing.T) {
	failure := errors.New("broken")
	s := Service{Name: "x", Start: func(context.Context, *Starting) (*Running, error) {
		return &Running{Serve: func(context.Context) error { return failure }}, nil
	}}
	if err := s.Run(t.Context()); !errors.Is(err, failure) {
		t.Errorf("Run = %v, want the error of serving", err)
	}
}

// TestSignal: a signal ends the service, which says so; SIGHUP does not.
func TestSignal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT} {
		out := captured(t, func() {
			s := Service{Name: "x", Level: logging.LevelNotice, Start: func(context.Context, *Starting) (*Running, error) {
				return &Running{Serve: func(ctx context.Context) error {
					syscall.Kill(os.Getpid(), syscall.SIGHUP)
					select {
					case <-ctx.Done():
						t.Error("SIGHUP ended it")
					case <-time.After(20 * time.Millisecond):
					}
					syscall.Kill(os.Getpid(), sig)
					<-ctx.Done()
					return nil
				}}, nil
			}}
			if err := s.Run(t.Context()); err != nil {
				t.Errorf("%v: %v", sig, err)
			}
		})
		if !strings.HasPrefix(out, "Received signal ") || strings.Count(out, "\n") != 1 {
			t.Errorf("%v: output %q", sig, out)
		}
	}
}

// TestSignals: a program's own signals are handed to it, one at a time, while it
// serves.
func TestSignals(t *testing.T) {
	got := make(chan syscall.Signal, 10)
	var running atomic.Int32
	handle := func(sig syscall.Signal) func(context.Context) {
		return func(context.Context) {
			if running.Add(1) != 1 {
				t.Error("two at a time")
			}
			time.Sleep(5 * time.Millisecond) // longer than a signal takes
			running.Add(-1)
			got <- sig
		}
	}
	s := Service{Name: "x", Start: func(context.Context, *Starting) (*Running, error) {
		return &Running{
			Serve: func(context.Context) error {
				for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2} {
					syscall.Kill(os.Getpid(), sig)
				}
				seen := map[syscall.Signal]bool{}
				for range 3 {
					seen[<-got] = true
				}
				if len(seen) != 3 {
					t.Errorf("signals %v", seen)
				}
				return nil
			},
			Signals: map[syscall.Signal]func(context.Context){
				syscall.SIGHUP:  handle(syscall.SIGHUP),
				syscall.SIGUSR1: handle(syscall.SIGUSR1),
				syscall.SIGUSR2: handle(syscall.SIGUSR2),
			},
		}, nil
	}}
	if err := s.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestNotify: a service manager hears when the program is ready, and when it
// stops.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	read := func() string {
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		b := make([]byte, 100)
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	s := Service{Name: "x", Start: func(context.Context, *Starting) (*Running, error) {
		return &Running{Serve: func(context.Context) error {
			if got := read(); got != "READY=1" {
				t.Errorf("while serving: %q", got)
			}
			return nil
		}}, nil
	}}
	if err := s.Run(t.Context()); err != nil {
		t.Error(err)
	}
	if got := read(); got != "STOPPING=1" {
		t.Errorf("in the end: %q", got)
	}
}

func TestProfiles(t *testing.T) {
	for _, bad := range []string{"0.0.0.0:6060", "192.0.2.1:1", "127.0.0.1", "nonsense", "[::]:1"} {
		if stop, err := profiles(bad); err == nil {
			stop()
			t.Errorf("%s: accepted", bad)
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	s := Service{Name: "x", PProf: addr, Start: func(context.Context, *Starting) (*Running, error) {
		return &Running{Serve: func(context.Context) error {
			resp, err := http.Get("http://" + addr + "/debug/pprof/goroutine?debug=1")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil || !strings.HasPrefix(string(b), "goroutine profile: total ") {
				t.Errorf("%.60q, %v", b, err)
			}
			return nil
		}}, nil
	}}
	if err := s.Run(t.Context()); err == nil {
		t.Error("it started on a port that is taken")
	}
	free.Close()
	if err := s.Run(t.Context()); err != nil {
		t.Error(err)
	}
	if l, err := net.Listen("tcp", addr); err != nil {
		t.Errorf("the port is not free again: %v", err)
	} else {
		l.Close()
	}
}

func TestFlags(t *testing.T) {
	var s Service
	f := pflag.NewFlagSet("x", pflag.ContinueOnError)
	s.Flags(f)
	if err := f.Parse([]string{"--log-format", "json", "--pprof=127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	if s.Format != logging.JSON || s.PProf != "127.0.0.1:1" {
		t.Errorf("format %v, profiles at %q", s.Format, s.PProf)
	}
}
