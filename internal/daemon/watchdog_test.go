//go:build unix

package daemon

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestWatchdogInterval(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0}, {"0", "", 0}, {"-5", "", 0}, {"soon", "", 0}, {"99999999999999999999", "", 0}, {"9223372036854775807", "", 0},
		{"60000000", "", 30 * time.Second},
		{"60000000", strconv.Itoa(os.Getpid()), 30 * time.Second},
		{"60000000", "1", 0},
	} {
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		if got := WatchdogInterval(); got != c.want {
			t.Errorf("WATCHDOG_USEC=%s WATCHDOG_PID=%s: %v, want %v", c.usec, c.pid, got, c.want)
		}
	}
}

func TestReloadingState(t *testing.T) {
	if got, want := Reloading(1500*time.Millisecond), "RELOADING=1\nMONOTONIC_USEC=1500000"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestPidfileStays: a pid file in a folder that the program may not write to any more
// is emptied.
func TestPidfileStays(t *testing.T) {
	if os.Geteuid() == 0 {
		// Root may everything: what Remove meets is made by hand.
		path := filepath.Join(t.TempDir(), "pid")
		p, err := WritePidfile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.emptied(&fs.PathError{Op: "remove", Path: path, Err: fs.ErrPermission}); err != nil {
			t.Error(err)
		}
		if b, err := os.ReadFile(path); err != nil || len(b) != 0 {
			t.Errorf("it has %q, %v, want nothing", b, err)
		}
		other := errors.New("another reason")
		if err := p.emptied(other); !errors.Is(err, other) {
			t.Errorf("%v, want %v", err, other)
		}
		return
	}
	dir := t.TempDir()
	p, err := WritePidfile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if err := p.Remove(); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(p.path); err != nil || len(b) != 0 {
		t.Errorf("it has %q, %v, want nothing", b, err)
	}
}
