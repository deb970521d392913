//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startDaemon runs the server with -D and returns exit status and output of the
// process that the user sees.
func startDaemon(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"-D"}, args...)...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// waitUntil waits for a condition.
func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v until %s", patience, what)
		}
	}
}

func TestDaemon(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), freePort(t)
	pidfile := filepath.Join(dir, "x.pid")
	if err := os.WriteFile(pidfile, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := startDaemon(t, "-d", "-p", fmt.Sprint(port), "--pidf="+pidfile)
	if code != 0 || stdout != "Going in background...\n" || stderr != "" {
		t.Fatalf("exit status %d, standard output %q, error %q", code, stdout, stderr)
	}
	// Everything is there as soon as the first process has ended.
	b, err := os.ReadFile(pidfile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSuffix(string(b), "\n"))
	if err != nil || !strings.HasSuffix(string(b), "\n") {
		t.Fatalf("the pid file contains %q", b)
	}
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && string(name) != "campagnol_rdv\n" {
		t.Errorf("the process is called %q", name) // pidof and killall look for it
	}
	c := dial(t, "", "127.0.0.1", port)
	c.send(hello1)
	c.receive(ok)

	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the pid file is removed", func() bool {
		_, err := os.Stat(pidfile)
		return errors.Is(err, fs.ErrNotExist)
	})
	waitUntil(t, "the port is free", func() bool {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{Port: port})
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// TestDaemonFails checks that the user hears of a start that goes wrong: the
// original says 0 and nothing.
func TestDaemonFails(t *testing.T) {
	t.Parallel()
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.LocalAddr().(*net.UDPAddr).Port
	pidfile := filepath.Join(t.TempDir(), "x.pid")
	code, stdout, stderr := startDaemon(t, "-p", fmt.Sprint(port), "-P", pidfile)
	if want := fmt.Sprintf("campagnol_rdv: udp: listen on [::]:%d", port); code != 1 || !strings.HasPrefix(stderr, want) {
		t.Errorf("exit status %d, standard error %q, want 1 and %q", code, stderr, want)
	}
	if stdout != "Going in background...\n" {
		t.Errorf("standard output %q", stdout)
	}
	if _, err := os.Stat(pidfile); err == nil {
		t.Error("there is a pid file")
	}
	// What is wrong with the command line is found before.
	if code, stdout, stderr := startDaemon(t, "-p", "0"); code != 1 || stdout != "" || !strings.Contains(stderr, "port") {
		t.Errorf("exit status %d, standard output %q, error %q", code, stdout, stderr)
	}
}

// TestDaemonWarns starts with trailing text behind a number, and without the
// right to write a pid file.
func TestDaemonWarns(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	pidfile := filepath.Join(t.TempDir(), "absent", "x.pid")
	code, _, stderr := startDaemon(t, "-p", fmt.Sprint(port)+"xyz", "-P", pidfile)
	if code != 0 {
		t.Fatalf("exit status %d, standard error %q", code, stderr)
	}
	pid := pidOf(t, fmt.Sprint(port)+"xyz")
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "campagnol_rdv: warning: ") || !strings.Contains(lines[0], "xyz") ||
		!strings.HasPrefix(lines[1], "campagnol_rdv: warning: write the pid file: ") {
		t.Errorf("standard error %q, want two warnings", stderr)
	}
	c := dial(t, "", "127.0.0.1", port)
	c.send(ping)
	c.receive(reconnect)
}

// pidOf returns the process with arg among its arguments.
func pidOf(t *testing.T, arg string) int {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if b, _ := os.ReadFile(name); bytes.Contains(b, []byte("\x00"+arg+"\x00")) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatalf("no process has the argument %q", arg)
	return 0
}
