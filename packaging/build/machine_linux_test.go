package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
)

// withSystemd are the packages of a system that systemd runs, with its resolver, and with
// what decides who may tell that something.
var withSystemd = []string{"systemd", "systemd-sysv", "dbus", "libpam-systemd", "polkitd", "systemd-resolved", "libnss-resolve", "iproute2", "iputils-ping", "ca-certificates", "openssl"}

// A machine is a Debian system in which systemd is the first process, in the network of a
// host of a laboratory: a container of systemd-nspawn. Its kernel is ours; users,
// processes, files and services are its own.
type machine struct {
	*root
	init int // systemd, as a process of this machine
}

// newMachine starts a machine, and waits until all of its services are up.
func newMachine(t *testing.T, host *lab.Host) *machine {
	t.Helper()
	testenv.Root(t)
	nspawn := testenv.Tool(t, "systemd-nspawn", "systemd-container")
	nsenter := testenv.Tool(t, "nsenter", "util-linux")
	m := &machine{root: &root{t: t, dir: debian(t, withSystemd...), host: host}}
	groups := m.controlGroups()
	// It begins in groups of its own, in which it makes more. Without --register and
	// without a unit it needs no systemd outside. Filters of its own for system calls
	// would be in the way of a look at those of the services, which systemd sets.
	script := `for g in "$@"; do echo $$ >"$g/cgroup.procs" || exit 1; done
export SYSTEMD_SECCOMP=0
exec ` + nspawn + ` --quiet --boot --register=no --keep-unit --console=pipe --directory="$ROOT" --machine="$NAME" \
	--network-namespace-path="$NETWORK" --capability=CAP_NET_ADMIN --bind=/dev/net/tun \
	--resolv-conf=off --timezone=off --link-journal=no </dev/null`
	args := append([]string{"ROOT=" + m.dir, "NAME=" + host.Name(), "NETWORK=" + host.Namespace(), "/bin/sh", "-c", script, "sh"}, groups...)
	p, err := host.Start("systemd", "/usr/bin/env", args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.halt(p, groups) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for m.init == 0 {
		m.init = firstProcess(groups)
		select {
		case <-time.After(20 * time.Millisecond):
		case <-p.Exited():
			t.Fatalf("systemd-nspawn has ended; it says:\n%s", p.Tail())
		case <-ctx.Done():
			t.Fatalf("systemd does not begin; systemd-nspawn says:\n%s", p.Tail())
		}
	}
	m.enter = []string{nsenter, "--target=" + strconv.Itoa(m.init), "--all", "--wdns=/", "--"}
	m.await("systemd is up", func() error {
		if out, err := m.try("systemctl", "is-system-running"); err != nil {
			units, _ := m.try("systemctl", "list-units", "--failed", "--no-legend")
			return fmt.Errorf("%w\n%s%s", err, out, units)
		}
		return nil
	})
	return m
}

// controlGroups makes groups for the machine, in each hierarchy that systemd uses, and
// returns their folders.
func (m *machine) controlGroups() (folders []string) {
	m.t.Helper()
	// With version 2 alone, with both, and with version 1 alone.
	for _, h := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"} {
		if _, err := os.Stat(filepath.Join(h, "cgroup.procs")); err == nil {
			folders = append(folders, filepath.Join(h, "campagnol-"+filepath.Base(m.host.Namespace())))
		}
	}
	testenv.Require(m.t, len(folders) > 0, "a hierarchy of control groups that systemd can use (version 2, or name=systemd)")
	for _, f := range folders {
		if err := os.Mkdir(f, 0o755); err != nil {
			m.t.Fatal(err)
		}
		m.t.Cleanup(func() {
			if err := removeGroups(f); err != nil {
				m.t.Error(err)
			}
		})
	}
	return folders
}

// removeGroups removes a group and all in it, which have no processes any more.
func removeGroups(folder string) error {
	var all []string
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	for _, path := range slices.Backward(all) {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// firstProcess returns systemd's first process as soon as it has made its groups.
func firstProcess(groups []string) int {
	for _, g := range groups {
		b, err := os.ReadFile(filepath.Join(g, "payload/init.scope/cgroup.procs"))
		if err != nil {
			continue
		}
		line, _, _ := strings.Cut(string(b), "\n")
		if pid, err := strconv.Atoi(line); err == nil {
			return pid
		}
	}
	return 0
}

// halt shuts the machine down.
func (m *machine) halt(p *lab.Process, groups []string) {
	if m.t.Failed() {
		m.t.Logf("the journal of %s:\n%s", m.host.Name(), m.journal())
	}
	p.Signal(syscall.SIGTERM) // which nspawn makes an orderly end of
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := p.Wait(ctx); err != nil && ctx.Err() != nil {
		m.t.Errorf("%s does not shut down: %v\n%s", m.host.Name(), err, p.Tail())
		if pid := firstProcess(groups); pid != 0 {
			syscall.Kill(pid, syscall.SIGKILL) // and all of its machine with it
		}
		p.Stop()
	}
}

// journal returns what services have said, for people.
func (m *machine) journal() string {
	out, _ := m.try("journalctl", "--no-pager", "--output=short-precise", "--lines=100", "--unit=campagnol*", "--unit=systemd-resolved")
	return out
}

// property returns a property of a unit.
func (m *machine) property(unit, name string) string {
	m.t.Helper()
	return strings.TrimSpace(m.run("systemctl", "show", "--value", "--property="+name, unit))
}

// process returns the main process of a service as the machine numbers it.
func (m *machine) process(unit string) int {
	m.t.Helper()
	pid, err := strconv.Atoi(m.property(unit, "MainPID"))
	if err != nil {
		m.t.Fatal(err)
	}
	return pid
}

// status returns what /proc tells of a process of the machine.
func (m *machine) status(pid int) map[string]string {
	m.t.Helper()
	status := map[string]string{}
	for line := range strings.Lines(m.run("cat", fmt.Sprintf("/proc/%d/status", pid))) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			status[key] = strings.TrimSpace(value)
		}
	}
	return status
}

// command returns a command that runs in the system.
func (r *root) command(name string, args ...string) *exec.Cmd {
	args = append([]string{name}, args...)
	var cmd *exec.Cmd
	if r.enter != nil {
		cmd = exec.Command(r.enter[0], append(slices.Concat(r.enter[1:], []string{"/usr/bin/env"}), args...)...)
	} else {
		cmd = exec.Command("/usr/bin/env", args...) // which looks there, not here
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: r.dir}
	}
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"}
	return cmd
}

// try runs a command in the system, and returns what it says.
func (r *root) try(name string, args ...string) (string, error) {
	out, err := r.command(name, args...).CombinedOutput()
	return string(out), err
}
