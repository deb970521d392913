package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/testenv"
)

// A plan is what a process of a test does; a process that has given up its rights
// cannot be used for other tests.
type plan struct {
	User    string
	Keep    []Capability
	Confine *Paths
	Open    []string // files to read afterwards
	Create  []string // files to make afterwards
	Run     []string // a command to run afterwards
}

// findings are what the process finds afterwards.
type findings struct {
	Error    string
	Hint     string
	Threads  []map[string]string // of /proc/self/task/*/status
	Confined bool
	Opened   map[string]string // errors, "" if there is none
	Created  map[string]string
	Output   string
	Back     string // the error of becoming root again
}

const planEnv = "CAMPAGNOL_SANDBOX_TEST"

func TestMain(m *testing.M) {
	if text := os.Getenv(planEnv); text != "" {
		carryOut(text)
		return
	}
	os.Exit(m.Run())
}

// carryOut does what a plan says, and prints the findings.
func carryOut(text string) {
	var p plan
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		panic(err)
	}
	// Threads that exist before, and are busy elsewhere, have to change as well.
	stop := make(chan struct{})
	for range 4 {
		go func() {
			runtime.LockOSThread()
			<-stop
		}()
	}
	time.Sleep(10 * time.Millisecond) // for the threads to be there; it matters for what is tested only
	f := p.do()
	if f.Error == "" {
		f.look(p)
	}
	json.NewEncoder(os.Stdout).Encode(f)
}

func (p plan) do() *findings {
	f := &findings{Opened: map[string]string{}, Created: map[string]string{}}
	account, err := Lookup(p.User)
	if err == nil {
		err = account.Become(p.Keep...)
	}
	if err == nil && p.Confine != nil {
		f.Confined, err = Confine(*p.Confine)
	}
	if err != nil {
		f.Error = err.Error()
		var h *Error
		if errors.As(err, &h) {
			f.Hint = h.Hint()
		}
	}
	return f
}

func (f *findings) look(p plan) {
	text := func(err error) string {
		if err != nil {
			return err.Error()
		}
		return ""
	}
	tasks, _ := filepath.Glob("/proc/self/task/*/status")
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		status := map[string]string{}
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(line, ":")
			status[name] = strings.Join(strings.Fields(value), " ")
		}
		f.Threads = append(f.Threads, status)
	}
	for _, name := range p.Open {
		file, err := os.Open(name)
		f.Opened[name] = text(err)
		file.Close()
	}
	for _, name := range p.Create {
		f.Created[name] = text(os.WriteFile(name, []byte("x"), 0o600))
	}
	if len(p.Run) > 0 {
		out, err := exec.Command(p.Run[0], p.Run[1:]...).CombinedOutput()
		f.Output = string(out) + text(err)
	}
	f.Back = text(syscall.Setuid(0))
}

// carriedOut has another process carry out a plan. How it is started may be changed.
func carriedOut(t *testing.T, p plan, change ...func(*exec.Cmd)) *findings {
	t.Helper()
	testenv.Root(t)
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	// The test's own folder is for root alone.
	program := filepath.Join(openDir(t), "program")
	if out, err := exec.Command("cp", os.Args[0], program).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), planEnv+"="+string(b))
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	for _, c := range change {
		c(cmd)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f := new(findings)
	if err := json.Unmarshal(out, f); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return f
}

// openDir returns a folder that everybody can enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "campagnol-sandbox-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

const netAdminMask = "0000000000001000" // bit 12

func TestBecome(t *testing.T) {
	nobody, err := Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		keep []Capability
		mask string
	}{
		{"nothing", nil, "0000000000000000"},
		{"network", []Capability{NetAdmin}, netAdminMask},
		{"network and ports", []Capability{NetAdmin, NetBindService}, "0000000000001400"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := carriedOut(t, plan{User: "nobody", Keep: c.keep, Open: []string{"/etc/shadow", "/etc/passwd"},
				Run: []string{"grep", "-E", "^(Uid|CapEff)", "/proc/self/status"}})
			if f.Error != "" {
				t.Fatal(f.Error)
			}
			if len(f.Threads) < 5 {
				t.Errorf("%d threads, want at least 5 to look at", len(f.Threads))
			}
			id := fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", nobody.UID)
			for _, thread := range f.Threads {
				for name, want := range map[string]string{"Uid": id, "Gid": fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", nobody.GID), "Groups": "",
					"CapEff": c.mask, "CapPrm": c.mask, "CapInh": c.mask, "CapAmb": c.mask, "CapBnd": c.mask, "NoNewPrivs": "1"} {
					if got := thread[name]; got != want {
						t.Errorf("thread %s: %s is %q, want %q", thread["Pid"], name, got, want)
					}
				}
			}
			if !strings.Contains(f.Opened["/etc/shadow"], "permission denied") || f.Opened["/etc/passwd"] != "" {
				t.Errorf("what can be read: %q", f.Opened)
			}
			if want := "CapEff:\t" + c.mask; !strings.Contains(f.Output, want) || !strings.Contains(f.Output, fmt.Sprintf("Uid:\t%d", nobody.UID)) {
				t.Errorf("a program that is started has %q, want %q", f.Output, want)
			}
			if f.Back == "" {
				t.Error("it has become root again")
			}
		})
	}
}

// TestBecomeSelf: a program that a service manager has started as the user already
// loses what else it has, and one of a third user is refused.
func TestBecomeSelf(t *testing.T) {
	as := func(uid uint32, caps ...uintptr) func(*exec.Cmd) {
		return func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, AmbientCaps: caps}
		}
	}
	nobody, err := Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	const capNetAdmin, capChown = 12, 0
	f := carriedOut(t, plan{User: "nobody", Keep: []Capability{NetAdmin}}, as(uint32(nobody.UID), capNetAdmin, capChown))
	if f.Error != "" || f.Threads[0]["CapEff"] != netAdminMask {
		t.Errorf("error %q, threads %v", f.Error, f.Threads)
	}
	f = carriedOut(t, plan{User: "nobody", Keep: []Capability{NetAdmin}}, as(uint32(nobody.UID)))
	if !strings.HasPrefix(f.Error, "keep [CAP_NET_ADMIN] and nothing else") || !strings.Contains(f.Hint, "AmbientCapabilities") {
		t.Errorf("without the right: error %q, hint %q", f.Error, f.Hint)
	}
	f = carriedOut(t, plan{User: "nobody"}, as(4242))
	if f.Error != "only root can become the user nobody" || f.Hint == "" {
		t.Errorf("as a third user: error %q, hint %q", f.Error, f.Hint)
	}
}

func TestConfine(t *testing.T) {
	dir := openDir(t)
	for _, name := range []string{"read", "write", "other"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "f"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in := func(names ...string) (list []string) {
		for _, n := range names {
			list = append(list, filepath.Join(dir, n))
		}
		return list
	}
	f := carriedOut(t, plan{User: "nobody",
		Confine: &Paths{Read: in("read", "missing"), Write: in("write", "nowhere"), Devices: []string{"/dev/zero"}},
		Open:    append(in("read/f", "write/f", "other/f"), "/etc/passwd", "/dev/zero"),
		Create:  in("read/g", "write/g", "other/g"),
		Run:     []string{"/bin/true"},
	})
	if f.Error != "" {
		t.Fatal(f.Error)
	}
	testenv.Require(t, f.Confined, "a kernel with Landlock")
	for _, c := range []struct {
		results map[string]string
		name    string
		allowed bool
	}{
		{f.Opened, in("read/f")[0], true}, {f.Opened, in("write/f")[0], true}, {f.Opened, in("other/f")[0], false},
		{f.Opened, "/etc/passwd", true}, {f.Opened, "/dev/zero", true},
		{f.Created, in("read/g")[0], false}, {f.Created, in("write/g")[0], true}, {f.Created, in("other/g")[0], false},
	} {
		got, ok := c.results[c.name]
		if !ok || (got == "") != c.allowed {
			t.Errorf("%s: %q, want allowed: %v", c.name, got, c.allowed)
		}
	}
	if !strings.Contains(f.Output, "permission denied") {
		t.Errorf("a program was executed: %q", f.Output)
	}
}

func TestLookup(t *testing.T) {
	nobody, err := Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	if a, err := Lookup(fmt.Sprint(nobody.UID)); err != nil || !slices.Equal([]int{a.UID, a.GID}, []int{nobody.UID, nobody.GID}) || a.Name != "nobody" {
		t.Errorf("by number: %+v, %v", a, err)
	}
	if a, err := Lookup("nobody", "", "adm", "4711", "adm"); err != nil || len(a.groups) != 2+len(nobody.groups) || !slices.Contains(a.groups, 4711) {
		t.Errorf("with groups: %+v, %v", a, err)
	}
	for _, c := range []struct {
		name, group, want, hint string
	}{
		{"root", "", "the user root has all rights", "ordinary user"},
		{"0", "", "the user 0 has all rights", "ordinary user"},
		{"no-such-user", "", `there is no user "no-such-user" on this host`, "useradd --system --no-create-home --shell /usr/sbin/nologin no-such-user"},
		{"x; rm -rf /", "", `there is no user "x; rm -rf /" on this host`, "nologin campagnol"},
		{"nobody", "no-such-group", `there is no group "no-such-group" on this host`, "group that exists"},
	} {
		_, err := Lookup(c.name, c.group)
		var e *Error
		if !errors.As(err, &e) || e.Error() != c.want || !strings.Contains(e.Hint(), c.hint) {
			t.Errorf("%q: %v, want %s with the hint %s", c.name, err, c.want, c.hint)
		}
	}
}
