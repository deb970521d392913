package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
)

// A root is a small Debian system in a folder.
type root struct {
	t    *testing.T
	dir  string
	host *lab.Host // in whose network services run

	enter []string // the command that enters a machine; nil: programs just have dir as their root
}

// newRoot makes a system without systemd, and a network for it.
func newRoot(t *testing.T) *root {
	t.Helper()
	r := &root{t: t, dir: debian(t, plain...)}
	for _, err := range []error{
		os.MkdirAll(r.path("/dev/net"), 0o755),
		syscall.Mknod(r.path("/dev/net/tun"), syscall.S_IFCHR|0o666, 10<<8|200),
		os.Chmod(r.path("/dev/net/tun"), 0o666),
		syscall.Mount("proc", r.path("/proc"), "proc", 0, ""),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(r.path("/proc"), 0); err != nil {
			t.Error(err)
		}
	})
	network, err := lab.New(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := network.Close(); err != nil {
			t.Error(err)
		}
	})
	if r.host, err = network.AddHost("debian", nil); err != nil {
		t.Fatal(err)
	}
	return r
}

// mirrorOf returns the release of this machine, and where it gets packages from.
func mirrorOf(t *testing.T) (suite, mirror string) {
	t.Helper()
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "VERSION_CODENAME="); ok {
			suite = strings.Trim(value, "\"\n")
		}
	}
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)", "Created-By: Packages").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == suite && f[1] == "main" {
			return suite, f[2]
		}
	}
	testenv.Require(t, false, "a Debian machine with a mirror of its release (apt-get update)")
	return "", ""
}

// path returns the name of a file of the system outside of it.
func (r *root) path(name string) string { return filepath.Join(r.dir, name) }

// run runs a command in the system, and returns what it says.
func (r *root) run(name string, args ...string) string {
	r.t.Helper()
	out, err := r.try(name, args...)
	if err != nil {
		r.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

// write writes a file of root's.
func (r *root) write(name, text string, mode os.FileMode) {
	r.t.Helper()
	err := os.MkdirAll(filepath.Dir(r.path(name)), 0o755)
	if err == nil {
		err = os.WriteFile(r.path(name), []byte(text), mode)
	}
	if err == nil {
		err = os.Chmod(r.path(name), mode)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *root) read(name string) string {
	r.t.Helper()
	b, err := os.ReadFile(r.path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// put copies a file of this machine into the system's /var/tmp.
func (r *root) put(path string) string {
	r.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	name := "/var/tmp/" + filepath.Base(path)
	r.write(name, string(b), 0o644)
	return name
}

// files returns all files of the system with their modes, but for what package
// managers and users' administration keep for themselves.
func (r *root) files() map[string]string {
	r.t.Helper()
	list := map[string]string{}
	err := filepath.WalkDir(r.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, r.dir)
		switch {
		case name == "/proc", name == "/var/lib/dpkg", name == "/var/lib/rpm", name == "/var/log", name == "/var/tmp", name == "/var/cache":
			return filepath.SkipDir
		case strings.HasPrefix(name, "/etc/") && strings.HasSuffix(name, "-"): // passwd- and the like
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		list[name] = info.Mode().String()
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// user returns the numbers of a user of the system.
func (r *root) user(name string) (uid, gid int) {
	r.t.Helper()
	for line := range strings.Lines(r.read("/etc/passwd")) {
		f := strings.Split(line, ":")
		if f[0] != name {
			continue
		}
		uid, err := strconv.Atoi(f[2])
		if err != nil {
			r.t.Fatal(err)
		}
		if gid, err = strconv.Atoi(f[3]); err != nil {
			r.t.Fatal(err)
		}
		return uid, gid
	}
	r.t.Fatal(user.UnknownUserError(name))
	return 0, 0
}

// A unit is what a test knows of a unit of systemd.
type unit map[string][]string

func (r *root) unit(name string) unit { return parseUnit(r.read("/usr/lib/systemd/system/" + name)) }

func parseUnit(text string) unit {
	u := unit{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			u[key] = append(u[key], value)
		}
	}
	return u
}

// serve runs a unit as systemd would, in a network of its own, reloads it, and ends it.
// variables stand for what is in the environment.
func (r *root) serve(name string, variables map[string]string) {
	r.t.Helper()
	u := r.unit(name)
	uid, gid := r.user(u["User"][0])
	for _, dir := range []string{"/var/lib/" + u["StateDirectory"][0], "/run/campagnol"} {
		if err := os.MkdirAll(r.path(dir), 0o700); err != nil {
			r.t.Fatal(err)
		}
		if err := os.Chown(r.path(dir), uid, gid); err != nil {
			r.t.Fatal(err)
		}
	}
	notified, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: r.path("/run/notify"), Net: "unixgram"})
	if err != nil {
		r.t.Fatal(err)
	}
	defer os.Remove(r.path("/run/notify"))
	defer notified.Close()
	if err := os.Chmod(r.path("/run/notify"), 0o666); err != nil {
		r.t.Fatal(err)
	}
	// The unit as setpriv(1) says it.
	capabilities := strings.Fields(strings.ToLower(strings.ReplaceAll(u["AmbientCapabilities"][0], "CAP_", "+")))
	set := "-all," + strings.Join(capabilities, ",")
	args := []string{r.dir, "/usr/bin/setpriv", "--reuid", strconv.Itoa(uid), "--regid", strconv.Itoa(gid), "--clear-groups", "--no-new-privs",
		"--bounding-set", set, "--inh-caps", set, "--ambient-caps", strings.Join(capabilities, ","),
		"/usr/bin/env", "NOTIFY_SOCKET=/run/notify"}
	command := os.Expand(u["ExecStart"][0], func(v string) string { return variables[v] })
	args = append(args, strings.Fields(strings.ReplaceAll(command, "%i", "home"))...)
	p, err := r.host.Start(strings.ReplaceAll(name, "@", "."), "/usr/sbin/chroot", args...)
	if err != nil {
		r.t.Fatalf("%s: %q: %v", name, args, err)
	}
	await := func(want string) error {
		b := make([]byte, 100)
		for {
			notified.SetReadDeadline(time.Now().Add(20 * time.Second))
			n, err := notified.Read(b)
			if err != nil {
				return fmt.Errorf("it has not told %s: %w", want, err)
			}
			if strings.HasPrefix(string(b[:n]), want) {
				return nil
			}
		}
	}
	err = await("READY=1")
	if err == nil {
		p.Signal(syscall.SIGHUP)
		err = await("RELOADING=1\nMONOTONIC_USEC=")
	}
	if err == nil {
		err = await("READY=1")
	}
	p.Signal(syscall.SIGTERM)
	if ended := p.Wait(r.t.Context()); err == nil {
		err = ended
	}
	if err != nil {
		r.t.Errorf("%s: %q: %v; it says:\n%s", name, args, err, p.Tail())
	}
}
