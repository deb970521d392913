package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"campagnol/internal/sandbox"
	"campagnol/internal/testenv"
)

// processStatus returns a line of /proc/PID/status.
func processStatus(t *testing.T, pid int, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "\n"+name+":")
	line, _, _ := strings.Cut(after, "\n")
	return strings.Join(strings.Fields(line), " ")
}

// TestUser: with --user the server has no right of root once it is ready, serves, and
// reads its files again; a directory for --state that it has made is the user's, and
// the pid file, which it cannot remove any more, names nobody afterwards.
func TestUser(t *testing.T) {
	t.Parallel()
	testenv.Root(t)
	nobody, err := sandbox.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	f, port := newFiles(t), freePort(t)
	for _, dir := range []string{filepath.Dir(f.dir), f.dir} { // which tests have for themselves
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{f.key, f.cert, f.caFile, f.crl} {
		if err := os.Chown(file, 0, nobody.GID); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	pidfile, state := filepath.Join(f.dir, "x.pid"), filepath.Join(f.dir, "state")
	code, _, stderr := startDaemon(t, f.args("--user", "nobody", "-p", fmt.Sprint(port), "-P", pidfile, "--state", state)...)
	if code != 0 || stderr != "" {
		t.Fatalf("exit status %d, standard error %q", code, stderr)
	}
	b, err := os.ReadFile(pidfile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	const none = "0000000000000000"
	for name, want := range map[string]string{"Uid": fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", nobody.UID), "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none, "NoNewPrivs": "1"} {
		if got := processStatus(t, pid, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if info, err := os.Stat(state); err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != nobody.UID {
		t.Errorf("the directory of --state: %v, %v, want that it is nobody's", info, err)
	}
	c := dial(t, "", "127.0.0.1", port)
	c.send(hello1)
	c.receive(ok)
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the pid file is empty", func() bool {
		b, err := os.ReadFile(pidfile)
		return err == nil && len(b) == 0
	})
}

func TestUserRefused(t *testing.T) {
	t.Parallel()
	testenv.Root(t)
	state := t.TempDir()
	f := newFiles(t)
	for _, c := range []struct {
		args       []string
		want, hint string
	}{
		{[]string{"--user", "no-such-user"}, `option --user: there is no user "no-such-user" on this host`, "useradd"},
		{[]string{"--user", "root"}, "option --user: the user root has all rights", "ordinary user"},
		{f.args("--user", "nobody", "--state", state), "option --user: write to " + state, "chown -R nobody: " + state},
	} {
		code, _, stderr := startDaemon(t, append(c.args, "-p", fmt.Sprint(freePort(t)), "-P", "")...)
		if code != 1 || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, c.hint) {
			t.Errorf("%q: exit status %d, standard error %q, want 1, %q and %q", c.args, code, stderr, c.want, c.hint)
		}
	}
}
