package service

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/audit"
)

// TestAudit: the trail that Start opens has the start and the end of the program, why it has
// ended, and what is logged with a mark; SIGHUP makes its file anew.
func TestAudit(t *testing.T) {
	failure := errors.New("the socket has failed")
	for _, c := range []struct {
		name string
		end  func() error
		want string
	}{
		{"by a signal", func() error { return syscall.Kill(os.Getpid(), syscall.SIGTERM) }, `"event":"stopped","outcome":"success","reason":"signal 15"}`},
		{"by an error", func() error { return failure }, `"event":"stopped","outcome":"failed","reason":"the socket has failed"}`},
	} {
		path := filepath.Join(t.TempDir(), "audit.log")
		moved := path + ".1"
		s := Service{Name: "x", AuditName: "campagnol ca", Start: func(_ context.Context, st *Starting) (*Running, error) {
			if err := st.Audit.Open(audit.Place{Where: path}, st.Log); err != nil {
				return nil, err
			}
			return &Running{Serve: func(ctx context.Context) error {
				st.Log.DebugContext(audit.Mark(ctx, audit.Record{Event: audit.Reloaded}), "not shown")
				await(t, path, "configuration_reloaded")
				if err := os.Rename(path, moved); err != nil {
					return err
				}
				if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
					return err
				}
				await(t, path, "")
				if err := c.end(); err != nil {
					return err
				}
				<-ctx.Done()
				return nil
			}}, nil
		}}
		captured(t, func() {
			if err := s.Run(t.Context()); err != nil && !errors.Is(err, failure) {
				t.Errorf("%s: %v", c.name, err)
			}
		})
		before, after := await(t, moved, ""), await(t, path, "")
		if !strings.Contains(before, `"program":"campagnol ca","event":"started"`) || strings.Count(before, "\n") != 2 {
			t.Errorf("%s: the file that was moved has %s", c.name, before)
		}
		if !strings.Contains(after, c.want) || strings.Count(after, "\n") != 1 {
			t.Errorf("%s: the new file has %s, want %s", c.name, after, c.want)
		}
	}
}

// await waits until a file is there and has a text, and returns all of it.
func await(t *testing.T, path, text string) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), text) {
			return string(b)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %q, %v, want %q in it", path, b, err, text)
		}
	}
}
