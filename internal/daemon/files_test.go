//go:build unix

package daemon

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sscan reads the process ID from the warning "slow PID".
func sscan(s string, pid *int) (int, error) { return fmt.Sscanf(s, "warning: slow %d", pid) }

func TestPidfile(t *testing.T) {
	old := syscall.Umask(0o022)
	defer syscall.Umask(old)
	dir := t.TempDir()
	want := fmt.Sprintf("%d\n", os.Getpid())
	for _, c := range []struct {
		name string
		prep func(path string) error
	}{
		{"new", func(string) error { return nil }},
		{"old", func(path string) error { return os.WriteFile(path, []byte("1234567890\n"), 0o400) }},
		{"link", func(path string) error { return os.Symlink(filepath.Join(dir, "target"), path) }},
		{"dangling link", func(path string) error { return os.Symlink(filepath.Join(dir, "nowhere"), path) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := filepath.Join(dir, "target")
			if err := os.WriteFile(target, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, strings.ReplaceAll(c.name, " ", "-")+".pid")
			if err := c.prep(path); err != nil {
				t.Fatal(err)
			}
			p, err := WritePidfile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != want {
				t.Errorf("content %q, %v, want %q", got, err, want)
			}
			if info, err := os.Lstat(path); err != nil || info.Mode() != 0o644 {
				t.Errorf("mode %v, %v, want 0644", info.Mode(), err)
			}
			if got, _ := os.ReadFile(target); string(got) != "precious" {
				t.Errorf("the file behind a link became %q", got)
			}
			if err := p.Remove(); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(path); !os.IsNotExist(err) {
				t.Errorf("after Remove: %v, want no file", err)
			}
			if err := p.Remove(); err != nil {
				t.Errorf("second Remove: %v", err)
			}
		})
	}
	if _, err := os.Lstat(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a dangling link was followed")
	}
}

func TestPidfileNone(t *testing.T) {
	p, err := WritePidfile("")
	if p != nil || err != nil {
		t.Errorf("WritePidfile without name = %v, %v, want nothing", p, err)
	}
	if err := p.Remove(); err != nil {
		t.Error(err)
	}
}

func TestPidfileErrors(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "absent", "x.pid"), empty, "/proc/x.pid"} {
		p, err := WritePidfile(path)
		if err == nil || p != nil {
			t.Errorf("%s: no error", path)
			continue
		}
		if !strings.HasPrefix(err.Error(), "write the pid file: ") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error that names it", path, err)
		}
	}
	if _, err := os.Stat(empty); err != nil {
		t.Errorf("an empty directory was taken for an old pid file: %v", err)
	}
}

// TestPidfileOfAnother leaves the file of a second instance alone, also where
// that has got the inode of ours.
func TestPidfileOfAnother(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.pid")
	for _, c := range []struct {
		name    string
		replace func() error
	}{
		{"other inode", func() error {
			if err := os.WriteFile(path+".new", []byte(content()), 0o644); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		}},
		{"same inode", func() error { return os.WriteFile(path, []byte("1\n"), 0o644) }},
	} {
		p, err := WritePidfile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.replace(); err != nil {
			t.Fatal(err)
		}
		if err := p.Remove(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: another's file was removed: %v", c.name, err)
		}
	}
}

// TestPidfileRelative removes the file although the directory has changed.
func TestPidfileRelative(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	p, err := WritePidfile("x.pid")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("/")
	if err := p.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "x.pid")); !os.IsNotExist(err) {
		t.Errorf("after Remove: %v, want no file", err)
	}
}

func TestNotify(t *testing.T) {
	names := []string{filepath.Join(t.TempDir(), "notify")}
	if _, err := os.Stat("/proc/net/unix"); err == nil {
		names = append(names, "@campagnol-test-"+fmt.Sprint(os.Getpid())) // Linux has abstract sockets
	}
	for _, name := range names {
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		t.Setenv("NOTIFY_SOCKET", name)
		for _, state := range []string{Ready, Stopping} {
			if err := Notify(state); err != nil {
				t.Fatal(err)
			}
			var b [100]byte
			conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			if n, err := conn.Read(b[:]); err != nil || string(b[:n]) != state {
				t.Errorf("%s: got %q, %v, want %q", name, b[:n], err, state)
			}
		}
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Notify(Ready); err != nil {
		t.Errorf("without service manager: %v", err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "absent"))
	if err := Notify(Ready); err == nil {
		t.Error("no error for a socket that does not exist")
	}
}

// lockMain is the program of TestLockMemory: it prints how much is locked.
func lockMain() int {
	if err := LockMemory(); err != nil {
		fmt.Println("refused:", err, "hint:", err.(*StartError).Hint())
		return 1
	}
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 2
	}
	for line := range strings.Lines(string(b)) {
		if kib, ok := strings.CutPrefix(line, "VmLck:"); ok {
			fmt.Print(strings.TrimSpace(kib))
		}
	}
	// The garbage collector gets along with locked memory.
	var keep [][]byte
	for range 100 {
		keep = append(keep, make([]byte, 100_000))
	}
	return len(keep) - 100
}

func TestLockMemory(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), scenarioEnv+"=mlock")
	out, err := cmd.CombinedOutput()
	if strings.HasPrefix(string(out), "refused:") {
		if !strings.Contains(string(out), "hint: it takes root") {
			t.Errorf("refused without hint: %s", out)
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("this machine does not let us lock memory (it takes root or CAP_IPC_LOCK): %s", out)
		}
		t.Skipf("locking memory takes root or CAP_IPC_LOCK: %s", out)
	}
	var kib int
	if _, serr := fmt.Sscanf(string(out), "%d kB", &kib); err != nil || serr != nil || kib == 0 {
		t.Errorf("%q, %v: want some kB of locked memory", out, err)
	}
}

// TestLockMemoryRefused drops the right and the limit.
func TestLockMemoryRefused(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", `ulimit -l 64 && exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), scenarioEnv+"=mlock")
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		// The test binary's directory may not be open to others.
		name := filepath.Join(os.TempDir(), fmt.Sprintf("campagnol-mlock-%d", os.Getpid()))
		b, err := os.ReadFile(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b, 0o755); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(name)
		cmd.Args[3], cmd.Dir = name, "/"
	}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.HasPrefix(string(out), "refused: lock memory: ") {
		t.Errorf("%q, %v: want a refusal", out, err)
	}
}
