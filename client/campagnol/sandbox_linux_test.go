package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"campagnol/conf"
	"campagnol/internal/lab"
	"campagnol/internal/sandbox"
	"campagnol/internal/testenv"
)

// procStatus returns a line of /proc/PID/status of a process.
func procStatus(t *testing.T, pid int, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	t.Fatalf("no %s of process %d", name, pid)
	return ""
}

// giveTo makes a laboratory's files those of a user, who may enter its folders.
func (m *mesh) giveTo(account *sandbox.Account) {
	m.t.Helper()
	err := filepath.WalkDir(m.lab.Dir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o755)
		}
		return os.Lchown(path, account.UID, account.GID)
	})
	if err != nil {
		m.t.Fatal(err)
	}
	for _, p := range m.peers { // the folders are those of state_dir, too
		if err := os.Chown(filepath.Dir(p.conf), account.UID, account.GID); err != nil {
			m.t.Fatal(err)
		}
	}
}

// confined makes a mesh of two clients, the first of which runs as nobody.
func confined(t *testing.T, more string) (m *mesh, a, b *meshPeer, account *sandbox.Account) {
	t.Helper()
	m = newMesh(t, lab.PortRestricted, lab.None)
	account, err := sandbox.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	m.giveTo(account)
	a, b = m.peers[0], m.peers[1]
	a.configure("[CLIENT]\nuser = nobody\n" + more)
	a.start()
	b.start()
	return m, a, b, account
}

// TestUser: a client with "user" runs as that user with CAP_NET_ADMIN and nothing
// else, its tunnels work, and so does all that a signal makes it read again, also what
// needs another socket and another device.
func TestUser(t *testing.T) {
	t.Parallel()
	m, a, b, account := confined(t, "")
	// As udev makes it, which containers lack.
	if err := os.Chmod(tunDriver, 0o666); err != nil {
		t.Fatal(err)
	}
	a.ping(b, 3)
	b.ping(a, 3)
	id := fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", account.UID)
	const netAdmin = "0000000000001000" // bit 12
	check := func() {
		t.Helper()
		for name, want := range map[string]string{"Uid": id, "CapEff": netAdmin, "CapPrm": netAdmin, "CapBnd": netAdmin, "NoNewPrivs": "1"} {
			if got := procStatus(t, a.process.PID(), name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	}
	check()
	if line := m.await(a.process, "Going on as the user"); line.Attr("landlock") != "true" {
		t.Errorf("it says of Landlock: %q", line.Attr("landlock"))
	}

	opened := a.count("New DTLS connection")
	a.edit("[CLIENT]", "[CLIENT]\ntimeout = 77")
	since := a.signal(syscall.SIGHUP)
	m.awaitSince(a.process, since, "reloading the configuration")
	a.ping(b, 3)
	if n := a.count("New DTLS connection"); n != opened {
		t.Errorf("%d sessions were opened, %d before the reload", n, opened)
	}
	for _, msg := range []string{"Cannot be used", "The configuration cannot be used"} {
		if n := a.count(msg); n != 0 {
			t.Errorf("it has logged %q", msg)
		}
	}

	a.edit("timeout = 77", "timeout = 78\n[NETWORK]\ntun_mtu = 1300\nlocal_port = 5001\n[CLIENT]")
	since = a.signal(syscall.SIGHUP)
	m.awaitSince(a.process, since, "Registration complete")
	a.ping(b, 3)
	if n := a.count("TUN interface initialization"); n != 2 {
		t.Errorf("the device was opened %d times, want 2", n)
	}
	check()
}

// TestUserOutOfReach: a client with "user" is told at the start what it cannot read
// again, and what it cannot read leaves all as it was.
func TestUserOutOfReach(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.None, lab.None)
	account, err := sandbox.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	m.giveTo(account)
	a, b := m.peers[0], m.peers[1]
	key := confValue(t, a.conf, "key")
	if err := os.Chown(key, 0, 0); err != nil {
		t.Fatal(err)
	}
	a.configure("[CLIENT]\nuser = nobody\n")
	a.start()
	b.start()
	m.await(a.process, key+": the user nobody cannot read it")
	a.ping(b, 3)
	since := a.signal(syscall.SIGHUP)
	if line := m.awaitSince(a.process, since, "Cannot be used"); !strings.Contains(line.Attr("err"), key) {
		t.Errorf("the error %q does not name %s", line.Attr("err"), key)
	}
	a.ping(b, 3)
}

// TestUserCommands: commands have what the client has, and are not confined.
func TestUserCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	// The folder above is for root alone.
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "down")
	m, a, b, account := confined(t, fmt.Sprintf("[COMMANDS]\ndefault_down = no\ndown = \"id -u > %[1]s; ip link set %%D down && echo done >> %[1]s\"\n", file))
	a.ping(b, 3)
	if line := m.await(a.process, "Going on as the user"); line.Attr("landlock") != "false" {
		t.Errorf("it says of Landlock: %q", line.Attr("landlock"))
	}
	if err := a.process.Stop(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if want := fmt.Sprintf("%d\ndone\n", account.UID); err != nil || string(got) != want {
		t.Errorf("the command wrote %q, %v, want %q", got, err, want)
	}
}

func TestUserRefused(t *testing.T) {
	for _, c := range []struct{ user, want string }{
		{"no-such-user", `user: there is no user "no-such-user" on this host`},
		{"root", "user: the user root has all rights"},
	} {
		t.Run(c.user, func(t *testing.T) {
			t.Parallel()
			m := newMesh(t, lab.None)
			a := m.peers[0]
			a.configure("[CLIENT]\nuser = " + c.user + "\n")
			p, err := a.Start("refused", filepath.Join(binaries, "campagnol"), a.conf)
			if err != nil {
				t.Fatal(err)
			}
			<-p.Exited()
			if tail := string(p.Tail()); !strings.Contains(tail, c.want) || !strings.Contains(tail, "hint: ") {
				t.Errorf("it says %q, want %q and a hint", tail, c.want)
			}
		})
	}
}

// TestFolders: only folders that are there for clients change hands.
func TestFolders(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]bool{
		"/root": false, dir: false, filepath.Join(dir, "new"): true,
		"/var/lib/campagnol": true, "/var/lib/campagnol/crls": true, "/run/campagnol": true,
	} {
		if got := (folder{path: path}).ours(); got != want {
			t.Errorf("%s may be given away: %v, want %v", path, got, want)
		}
	}
	for _, k := range conf.Keys() {
		if k.Name == "state_dir" && k.Default != defaultStateDir {
			t.Errorf("the default of state_dir is %s, want %s", k.Default, defaultStateDir)
		}
	}
}

// TestRunsCommands: only commands that would be run count.
func TestRunsCommands(t *testing.T) {
	for _, c := range []struct {
		cfg  conf.Client
		want bool
	}{
		{conf.Client{DefaultUp: true, DefaultDown: true, Up: []string{"x"}, Down: []string{"x"}}, false},
		{conf.Client{DefaultDown: true, Up: []string{"x"}}, true},
		{conf.Client{DefaultUp: true, Down: []string{"x"}}, true},
		{conf.Client{}, false},
	} {
		if got := runsCommands(&c.cfg); got != c.want {
			t.Errorf("%+v: %v, want %v", c.cfg, got, c.want)
		}
	}
}

// TestMayReplace: what has to be opened anew is tried before anything is closed.
func TestMayReplace(t *testing.T) {
	testenv.Root(t)
	account, err := sandbox.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	for path, mode := range map[string]os.FileMode{dir: 0o755, filepath.Dir(dir): 0o755, good: 0o666, bad: 0o600} {
		if filepath.Dir(path) == dir {
			err = os.WriteFile(path, nil, 0o600)
		}
		if err == nil {
			err = os.Chmod(path, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// Only this thread, which ends with the test, has fewer rights.
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(account.UID), uintptr(account.UID), uintptr(account.UID)); errno != 0 {
			t.Error(errno)
			return
		}
		for _, c := range []struct {
			driver string
			port   uint16
			want   string
		}{
			{good, 0, ""}, {good, 5000, ""}, {bad, 0, bad}, {filepath.Join(dir, "missing"), 0, ""}, {good, 999, "local_port: "},
		} {
			err := mayReplace(&conf.Client{LocalPort: c.port}, c.driver)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, port %d: %v, want %q", c.driver, c.port, err, c.want)
			}
		}
	}()
	<-done
}
