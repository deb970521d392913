package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// runHelper starts a helper outside of any lab and returns what it reports
// about the lab that it makes.
func runHelper(t *testing.T, name string) (*exec.Cmd, helperReport) {
	t.Helper()
	needLab(t)
	cmd := exec.CommandContext(testContext(t), os.Args[0], helperArg, name)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the helper reports nothing: %v", err)
	}
	var r helperReport
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatal(err)
	}
	return cmd, r
}

// alive reports whether a process runs. One that has ended may be listed until
// its parent looks at it.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// The state follows the name, which is in parentheses (proc(5)).
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// TestKilledLabIsRemoved kills the program of a lab and checks that the next
// lab removes what it left, the process included.
func TestKilledLabIsRemoved(t *testing.T) {
	t.Parallel()
	cmd, r := runHelper(t, "lab")
	if !alive(r.PID) {
		t.Fatalf("process %d in the lab does not run", r.PID)
	}
	// While its program runs, a lab is not touched.
	newLab(t, Options{})
	if names, err := namespacesNamed(namePrefix + r.ID); err != nil || len(names) != 3 {
		t.Errorf("another lab has touched a running one: namespaces %v (%v), want 3", names, err)
	}
	if !alive(r.PID) {
		t.Errorf("another lab has ended process %d of a running one", r.PID)
	}

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	newLab(t, Options{})
	checkGone(t, r.ID, r.Dir)
	if alive(r.PID) {
		t.Errorf("process %d of a killed lab runs on", r.PID)
	}
}

// TestKeptLab keeps a lab beyond the end of its program, and removes it on
// demand only.
func TestKeptLab(t *testing.T) {
	t.Parallel()
	cmd, r := runHelper(t, "kept")
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	newLab(t, Options{})
	if !alive(r.PID) {
		t.Errorf("process %d of a kept lab has ended", r.PID)
	}
	swept, err := Sweep(false)
	if err != nil || !slices.Contains(swept.Kept, r.ID) {
		t.Errorf("Sweep(false) = %+v, %v, want %s among the kept", swept, err, r.ID)
	}
	swept, err = sweepOnly(t, r.ID)
	if err != nil || !slices.Contains(swept.Removed, r.ID) {
		t.Errorf("sweeping kept labs = %+v, %v, want %s among the removed", swept, err, r.ID)
	}
	checkGone(t, r.ID, r.Dir)
	if alive(r.PID) {
		t.Errorf("process %d of a removed lab runs on", r.PID)
	}
}

// sweepOnly does what Sweep(true) does, for one lab only: others may have been
// kept by whoever uses this machine.
func sweepOnly(t *testing.T, id string) (swept Swept, err error) {
	t.Helper()
	unlock, err := lockRegistry()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	err = swept.visit(id, true)
	return swept, err
}

func TestSweepLeavesRunningLabsAlone(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	h := addHost(t, l, "h", nil)
	p := startHelper(t, h.Node, "hold", "hold")
	swept, err := sweepOnly(t, l.ID())
	if err != nil || !slices.Contains(swept.Running, l.ID()) {
		t.Errorf("Sweep = %+v, %v, want %s among the running", swept, err, l.ID())
	}
	wantPing(t, h, nth(internet4, 1), true)
	select {
	case <-p.Exited():
		t.Error("the sweep has ended a process of a running lab")
	default:
	}
}

// TestOrphans removes a namespace whose lab is not in the registry.
func TestOrphans(t *testing.T) {
	t.Parallel()
	needLab(t)
	// Under the lock, so that no other lab sweeps it first.
	unlock, err := lockRegistry()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	known := map[string]bool{}
	files, err := os.ReadDir(registryDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		known[f.Name()] = true
	}
	ns, err := newNamespace(namePrefix + "orphan-x")
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.close(); err != nil {
		t.Fatal(err)
	}
	var swept Swept
	if err := swept.orphans(known); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(swept.Removed, "orphan") {
		t.Errorf("removed %v, want orphan among them", swept.Removed)
	}
	checkGone(t, "orphan", "/nonexistent")
}

// TestVisitOfRubbish sweeps entries that no lab has written.
func TestVisitOfRubbish(t *testing.T) {
	t.Parallel()
	needLab(t)
	precious := t.TempDir()
	for name, content := range map[string]string{
		"rubbish1": "",
		"rubbish2": "{",
		"rubbish3": `{"pid":1,"dir":"` + precious + `"}`,
	} {
		// Made under the lock, as labs do.
		unlock, err := lockRegistry()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(registryDir, name)
		err = os.WriteFile(path, []byte(content), 0o600)
		var swept Swept
		if err == nil {
			err = swept.visit(name, false)
		}
		unlock()
		if err != nil || !slices.Contains(swept.Removed, name) {
			t.Errorf("%s: %+v, %v, want it removed", name, swept, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left (%v)", path, err)
		}
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("a folder that is not of a lab was removed: %v", err)
	}
}

// TestSideBySide runs labs at the same time, with the same names and addresses.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	needLab(t)
	ids := make(chan string, 4)
	var all sync.WaitGroup
	for range cap(ids) {
		all.Go(func() {
			l, err := New(testContext(t), Options{})
			if err != nil {
				t.Error(err)
				return
			}
			ids <- l.ID()
			a, err := l.AddHost("a", nil)
			if err == nil {
				_, err = a.Ping(testContext(t), nth(internet4, 1), PingOptions{Count: 5})
			}
			if err != nil {
				t.Error(err)
			}
			for range 2 {
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			}
			checkGone(t, l.ID(), l.Dir())
		})
	}
	all.Wait()
	close(ids)
	seen := map[string]bool{}
	for id := range ids {
		if seen[id] || len(id) != idLength || strings.ToLower(id) != id {
			t.Errorf("lab %q: the names have to be different, %d small letters", id, idLength)
		}
		seen[id] = true
	}
}

// TestClosedLab uses a lab after its end.
func TestClosedLab(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	h := addHost(t, l, "h", nil)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.AddHost("late", nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("AddHost after Close: error %v, want %v", err, os.ErrClosed)
	}
	if _, err := h.Start("late", os.Args[0]); err == nil {
		t.Error("a process can be started after Close")
	}
	if err := l.Keep(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Keep after Close: error %v, want %v", err, os.ErrClosed)
	}
	if _, err := os.Stat(l.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Close and what came later left %s (%v)", l.Dir(), err)
	}
}

// TestRegistryContention registers and removes labs from many goroutines, while
// others sweep: the registry itself comes and goes all the time.
func TestRegistryContention(t *testing.T) {
	t.Parallel()
	needLab(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				e, err := register()
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := Sweep(false); err != nil {
					t.Error(err)
				}
				if _, err := os.Stat(e.Dir); err != nil {
					t.Errorf("the folder of a lab that runs was removed: %v", err)
				}
				if err := errors.Join(e.demolish(), e.unregister(), tidyRegistry()); err != nil {
					t.Error(err)
				}
				checkGone(t, e.id, e.Dir)
			}
		})
	}
	all.Wait()
}

// TestRecordOnDisk checks what other programs read in the registry.
func TestRecordOnDisk(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	b, err := os.ReadFile(filepath.Join(registryDir, l.ID()))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"pid":%d,"dir":%q,"kept":false}`+"\n", os.Getpid(), l.Dir())
	if string(b) != want {
		t.Errorf("the record is %s, want %s", b, want)
	}
	if base := filepath.Base(l.Dir()); !strings.HasPrefix(base, namePrefix+l.ID()+"-") {
		t.Errorf("the folder is %s, want one that begins with the lab's name", base)
	}
	// A shorter record takes the place of a longer one.
	e := l.entry
	dir := e.Dir
	e.Dir = "/x"
	if err := e.write(); err != nil {
		t.Fatal(err)
	}
	e.Dir = dir
	var r record
	b, err = os.ReadFile(e.file.Name())
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil || r.Dir != "/x" {
		t.Errorf("the record is %s (%v), want one with /x", b, err)
	}
}

// TestNoRoomForLogs makes a lab where there is no folder for temporary files.
func TestNoRoomForLogs(t *testing.T) {
	needLab(t)
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	l, err := New(testContext(t), Options{})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "make a folder for logs") {
		t.Errorf("New = %v, %v, want an error about the folder", l, err)
	}
	files, err := os.ReadDir(registryDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(registryDir, f.Name()))
		if err == nil && strings.Contains(string(b), fmt.Sprintf(`"pid":%d,`, os.Getpid())) {
			t.Errorf("entry %s is left: %s", f.Name(), b)
		}
	}
}

// TestNewIsCancelled gives up before anything is made.
func TestNewIsCancelled(t *testing.T) {
	t.Parallel()
	needLab(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if l, err := New(ctx, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("New = %v, %v, want %v", l, err, context.Canceled)
	}
}

func TestSameFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "one")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !sameFile(f) {
		t.Error("a file is not the same as itself")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if sameFile(f) {
		t.Error("a removed file is still the same")
	}
	write(t, path, "two")
	if sameFile(f) {
		t.Error("a file is the same as one that took its name")
	}
}
