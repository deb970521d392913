//go:build unix

package daemon

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start returns a command that runs a scenario in dir, and the file for facts.
func start(t *testing.T, scenario, dir string) (cmd *exec.Cmd, factsFile string, errOut *bytes.Buffer) {
	t.Helper()
	factsFile = filepath.Join(t.TempDir(), "facts")
	cmd = exec.Command(os.Args[0], "an argument", "-x")
	cmd.Dir = dir
	// Under the race detector, processes would sleep for a second at exit.
	cmd.Env = append(os.Environ(), scenarioEnv+"="+scenario, factsEnv+"="+factsFile, "GORACE=atexit_sleep_ms=0")
	errOut = &bytes.Buffer{}
	cmd.Stderr = errOut
	return cmd, factsFile, errOut
}

// readFacts waits for the file of a background process.
func readFacts(t *testing.T, name string) facts {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(name)
		if err == nil {
			var f facts
			if err := json.Unmarshal(b, &f); err != nil {
				t.Fatal(err)
			}
			return f
		}
		if time.Now().After(deadline) {
			t.Fatalf("the background process has not written its facts: %v", err)
		}
	}
}

func TestBackground(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cmd, file, errOut := start(t, "ready", dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the first process ended with %v: %s", err, errOut)
	}
	if got, want := string(out), "Going in background...\n"; got != want {
		t.Errorf("standard output %q, want %q", got, want)
	}
	if got, want := errOut.String(), "warning: the first\nwarning: the second\nin two lines\n"; got != want {
		t.Errorf("standard error %q, want %q", got, want)
	}
	f := readFacts(t, file) // written before it was ready
	if f.PID == cmd.Process.Pid || f.Session != f.PID {
		t.Errorf("process %d of session %d, started by %d; want a session of its own", f.PID, f.Session, cmd.Process.Pid)
	}
	if f.Dir != dir {
		t.Errorf("working directory %s, want %s", f.Dir, dir)
	}
	if want := []string{"/dev/null", "/dev/null", "/dev/null"}; !slices.Equal(f.Stdio, want) {
		t.Errorf("standard streams %q, want %q", f.Stdio, want)
	}
	if want := []string{os.Args[0], "an argument", "-x"}; !slices.Equal(f.Args, want) {
		t.Errorf("arguments %q, want %q", f.Args, want)
	}
	if f.Env != "" || f.Inherited != "[]" {
		t.Errorf("the pipe is visible: variable %q, and to programs %q", f.Env, f.Inherited)
	}
}

// TestBackgroundFails has the ways in which a start goes wrong: each has to be
// seen by the user and in the exit status.
func TestBackgroundFails(t *testing.T) {
	const hint = "hint: without the option for the background it shows what it says\n"
	for _, c := range []struct{ scenario, want string }{
		{"fail", "warning: it looks bad\nerror: listen: port in use\nhint: use another port\n"},
		{"plain failure", "error: no such file\n"},
		{"exit", "error: the process in the background ended before it was ready: exit status 7\n" + hint},
		{"crash", "error: the process in the background ended before it was ready: signal: killed\n" + hint},
		{"nonsense", "error: the process in the background ended before it was ready: exit status 2\n" + hint},
	} {
		t.Run(c.scenario, func(t *testing.T) {
			t.Parallel()
			cmd, _, errOut := start(t, c.scenario, "")
			err := cmd.Run()
			if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 {
				t.Errorf("the first process ended with %v, want exit status 1", err)
			}
			if got := errOut.String(); got != c.want {
				t.Errorf("standard error %q, want %q", got, c.want)
			}
		})
	}
}

// startSlow runs the scenario "slow" until the background process runs, and
// returns the first process and that of the background.
func startSlow(t *testing.T) (first *exec.Cmd, pid int, factsFile string, end func() (stderr string, err error)) {
	t.Helper()
	cmd, file, _ := start(t, "slow", "")
	cmd.Stderr = nil
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var b [64]byte
	n, err := stderr.Read(b[:])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sscan(string(b[:n]), &pid); err != nil {
		t.Fatalf("%q: %v", b[:n], err)
	}
	return cmd, pid, file, func() (string, error) {
		var rest bytes.Buffer
		rest.ReadFrom(stderr)
		return rest.String(), cmd.Wait()
	}
}

// TestBackgroundInterrupted presses Ctrl-C while the program starts.
func TestBackgroundInterrupted(t *testing.T) {
	first, pid, file, end := startSlow(t)
	if err := first.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	stderr, err := end()
	if first.ProcessState.ExitCode() != 1 || stderr != "error: context canceled\n" {
		t.Errorf("the first process ended with %v and %q", err, stderr)
	}
	if f := readFacts(t, file); f.PID != pid { // which it writes on SIGTERM
		t.Errorf("process %d ended, want %d", f.PID, pid)
	}
}

// TestBackgroundOutlivesFirst kills the first process before the other is
// ready, which must not harm that.
func TestBackgroundOutlivesFirst(t *testing.T) {
	first, pid, file, end := startSlow(t)
	first.Process.Kill()
	end()
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if f := readFacts(t, file); f.PID != pid {
		t.Errorf("process %d wrote the facts, want %d", f.PID, pid)
	}
}

// TestBackgroundClosedStdout has nobody read what is printed.
func TestBackgroundClosedStdout(t *testing.T) {
	cmd, file, errOut := start(t, "ready", "")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd.Stdout = w
	if err := cmd.Run(); err != nil {
		t.Errorf("the first process ended with %v: %s", err, errOut)
	}
	readFacts(t, file)
}

// TestBackgroundStrayVariable sets the variable in a first process, to what can
// be no pipe of ours.
func TestBackgroundStrayVariable(t *testing.T) {
	for _, value := range []string{"3", "0", "-1", "x", "99999", ""} {
		cmd, file, errOut := start(t, "ready", "")
		cmd.Env = append(cmd.Env, pipeEnv+"="+value)
		if err := cmd.Run(); err != nil {
			t.Errorf("%q: the first process ended with %v: %s", value, err, errOut)
		}
		if f := readFacts(t, file); f.PID == cmd.Process.Pid {
			t.Errorf("%q: the first process took itself for the other", value)
		}
	}
}

// TestBackgroundRemovedBinary removes the program's file before it goes to the
// background, as an upgrade may.
func TestBackgroundRemovedBinary(t *testing.T) {
	if _, err := os.Stat("/proc/self/exe"); err != nil {
		t.Skip("this system has no /proc/self/exe to start a removed program from")
	}
	// The shell holds the file open, removes it, and starts it all the same.
	name := filepath.Join(t.TempDir(), "program")
	b, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd, file, errOut := start(t, "ready", "")
	cmd.Path = "/bin/sh"
	cmd.Args = []string{"sh", "-c", `exec 9<"$0" && rm "$0" && exec /proc/self/fd/9 "$@"`, name, "x"}
	if err := cmd.Run(); err != nil {
		t.Fatalf("the first process ended with %v: %s", err, errOut)
	}
	if f := readFacts(t, file); !slices.Contains(f.Args, "x") {
		t.Errorf("arguments %q", f.Args)
	}
}

// TestNilChild calls the methods as a program in the foreground does.
func TestNilChild(t *testing.T) {
	var c *Child
	c.Warn("x")
	c.Ready(nil)
	c.Ready(os.ErrExist)
}

// FuzzAwait reads reports from a background process that may have gone mad.
func FuzzAwait(f *testing.F) {
	f.Add([]byte(`{"warning":"w"}` + "\n" + `{"ready":true}`))
	f.Add([]byte(`{"error":"e","hint":"h"}`))
	f.Add([]byte("panic: x\n\ngoroutine 1"))
	f.Add([]byte(strings.Repeat("[", 20000)))
	f.Fuzz(func(t *testing.T, b []byte) {
		warnings := 0
		err := await(bytes.NewReader(b), func(string) { warnings++ })
		if err == nil && !bytes.Contains(bytes.ToLower(b), []byte("ready")) {
			t.Errorf("%q was taken for success", b)
		}
		if warnings > len(b) {
			t.Errorf("%d warnings in %d bytes", warnings, len(b))
		}
	})
}
