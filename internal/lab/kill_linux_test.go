package lab

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sleeper starts a process outside of any lab.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], helperArg, "stubborn")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

func TestKillIf(t *testing.T) {
	t.Parallel()
	spared, victim := sleeper(t), sleeper(t)
	if err := killIf(spared.Process.Pid, func() bool { return false }); err != nil {
		t.Errorf("sparing a process: %v", err)
	}
	asked := 0
	if err := killIf(victim.Process.Pid, func() bool { asked++; return true }); err != nil {
		t.Errorf("killing a process: %v", err)
	}
	if asked != 1 {
		t.Errorf("the condition was asked %d times, want once", asked)
	}
	if alive(victim.Process.Pid) {
		t.Error("the killed process runs on")
	}
	if !alive(spared.Process.Pid) {
		t.Error("the spared process has ended")
	}
	// A process that has ended, but that its parent has not looked at yet.
	if err := killIf(victim.Process.Pid, func() bool { return true }); err != nil {
		t.Errorf("killing a dead process: %v", err)
	}
	victim.Wait()
	if err := killIf(victim.Process.Pid, func() bool { t.Error("the condition is asked for nobody"); return true }); err != nil {
		t.Errorf("killing a process that is gone: %v", err)
	}
}

func TestAwaitExit(t *testing.T) {
	t.Parallel()
	cmd := sleeper(t)
	fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	done := make(chan error, 1)
	go func() { done <- awaitExit(fd, cmd.Process.Pid) }()
	select {
	case err := <-done:
		t.Fatalf("awaitExit returns %v while the process runs", err)
	case <-time.After(50 * ms):
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("awaitExit = %v after the end", err)
	}
}

func TestProcesses(t *testing.T) {
	t.Parallel()
	pids, err := processes()
	if err != nil || !slices.Contains(pids, os.Getpid()) {
		t.Errorf("processes = %v, %v, want %d among them", pids, err, os.Getpid())
	}
}

// TestKillProcessesIn kills what is inside a namespace, and nobody else: the
// program that asks for it is spared even while it does something inside.
func TestKillProcessesIn(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	here, there := addHost(t, l, "here", nil), addHost(t, l, "there", nil)
	victim := startHelper(t, here.Node, "victim", "stubborn")
	spared := startHelper(t, there.Node, "spared", "stubborn")
	outside := sleeper(t)
	err := here.Do(func() error { return killProcessesIn([]string{here.ns.name, "no-such-namespace"}) })
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Wait(testContext(t)); err == nil || err.Error() != "signal: killed" {
		t.Errorf("the process inside ended with %v, want signal: killed", err)
	}
	for name, pid := range map[string]int{"in another namespace": spared.PID(), "outside": outside.Process.Pid} {
		if !alive(pid) {
			t.Errorf("the process %s was killed", name)
		}
	}
	if err := killProcessesIn([]string{"no-such-namespace"}); err != nil {
		t.Errorf("a namespace that does not exist: %v", err)
	}
}

// TestCloseEndsGrandchildren closes a lab in which a process has left another
// behind, which is not known by number.
func TestCloseEndsGrandchildren(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	h := addHost(t, l, "h", nil)
	p := startHelper(t, h.Node, "parent", "parent")
	line, err := p.Await(testContext(t), time.Time{}, Pattern{Message: "Left behind"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(testContext(t)); err != nil {
		t.Fatal(err)
	}
	pid := int(line.Attrs["pid"].(float64))
	if !alive(pid) {
		t.Fatalf("process %d, which was left behind, does not run", pid)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Errorf("process %d outlives the lab", pid)
	}
}

func TestInode(t *testing.T) {
	t.Parallel()
	if _, err := inodeOf("/no/such/file"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the inode of nothing: error %v, want %v", err, os.ErrNotExist)
	}
	a, err1 := inodeOf("/proc/self/ns/net")
	b, err2 := inodeOf("/proc/self/ns/mnt")
	if err1 != nil || err2 != nil || a == b {
		t.Errorf("the network and the mount namespace are %v and %v (%v, %v)", a, b, err1, err2)
	}
}
