package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// abandon leaves a socket on which nobody listens, as a process does that is
// killed.
func abandon(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestListenReplacesLeftover(t *testing.T) {
	path := filepath.Join(newDir(t), "x.sock")
	abandon(t, path)
	s, _ := serve(t, Config{Path: path})
	if _, _, err := newClient(t, s.Path()).Status(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestListenInUse: a socket on which somebody listens stays, and the error names
// who does.
func TestListenInUse(t *testing.T) {
	first, _ := serve(t, Config{})
	s, err := Listen(Config{Path: first.Path()})
	var used *InUseError
	if s != nil || !errors.As(err, &used) {
		t.Fatalf("%v, %v, want an InUseError", s, err)
	}
	want := InUseError{Path: first.Path()}
	if runtime.GOOS == "linux" {
		want.PID = os.Getpid()
		name, err := os.ReadFile("/proc/self/comm")
		if err != nil {
			t.Fatal(err)
		}
		want.Name = strings.TrimSpace(string(name))
	}
	if *used != want {
		t.Errorf("got %+v, want %+v", *used, want)
	}
	if _, _, err := newClient(t, first.Path()).Status(t.Context()); err != nil {
		t.Errorf("the first server after the second came: %v", err)
	}
}

func TestInUseText(t *testing.T) {
	for _, c := range []struct {
		e    InUseError
		want string
	}{
		{InUseError{Path: "/x", PID: 12, Name: "campagnol"}, "/x is in use by process 12 (campagnol)"},
		{InUseError{Path: "/x", PID: 12}, "/x is in use by process 12"},
		{InUseError{Path: "/x"}, "/x is in use by another process"},
	} {
		wantError(t, &c.e, c.want, "give each client a control_socket of its own, or set control_socket = none")
	}
}

// TestListenRace: of many that find the same leftover, one gets the place, and
// keeps it.
func TestListenRace(t *testing.T) {
	path := filepath.Join(newDir(t), "x.sock")
	abandon(t, path)
	var mu sync.Mutex
	var winners []*Server
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			s, err := Listen(Config{Path: path})
			var used *InUseError
			if err != nil && !errors.As(err, &used) {
				t.Error(err)
			}
			if s != nil {
				mu.Lock()
				defer mu.Unlock()
				winners = append(winners, s)
			}
		})
	}
	all.Wait()
	if len(winners) != 1 {
		t.Fatalf("%d have the place, want 1", len(winners))
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	winners[0].Close()
}

func TestListenRefuses(t *testing.T) {
	dir := newDir(t)
	write := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("precious"), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	file := write("file", 0o600)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, path, text, hint string }{
		{"a file", file, "control socket: " + file + " is there already, and not a socket", "move it away, or give control_socket another name"},
		{"a link", link, "control socket: " + link + " is there already, and not a socket", "move it away, or give control_socket another name"},
		{"no such folder", dir + "/a/b/x.sock", "control socket: mkdir " + dir + "/a/b: no such file or directory", ""},
		{"a file as folder", file + "/x.sock", "control socket: " + file + " is not a folder", ""},
		{"a folder for everybody", open + "/x.sock", "control socket: everybody can write to the folder " + open,
			"choose a folder for the socket that only root can write to, such as " + DefaultDir()},
		{"too long", dir + "/" + strings.Repeat("x", 120), "control socket: the name " + dir + "/" + strings.Repeat("x", 120) + " is longer than that of a socket can be",
			"choose a shorter control_socket"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Listen(Config{Path: c.path})
			if s != nil {
				t.Error("there is a server")
			}
			wantError(t, err, c.text, c.hint)
		})
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the file became %q, %v", b, err)
	}
}

func TestExplainPermission(t *testing.T) {
	wantError(t, explain(&fs.PathError{Op: "mkdir", Path: "/run/campagnol", Err: fs.ErrPermission}),
		"control socket: mkdir /run/campagnol: permission denied",
		"run the client as root, or give it a control_socket in a folder that its user may write to")
}

// TestModes: folder and socket have their permissions whatever the umask is.
func TestModes(t *testing.T) {
	dir := filepath.Join(newDir(t), "sub")
	for _, umask := range []int{0o077, 0o022, 0} {
		defer withUmask(umask)()
		s, err := Listen(Config{Path: filepath.Join(dir, "x.sock")})
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]os.FileMode{dir: 0o755 | os.ModeDir, s.Path(): 0o600 | os.ModeSocket} {
			if info, err := os.Lstat(path); err != nil || info.Mode() != want {
				t.Errorf("umask %#o: %s has mode %v (%v), want %v", umask, path, info.Mode(), err, want)
			}
		}
		s.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLeaveForeign: a socket that another has put in place of ours stays.
func TestLeaveForeign(t *testing.T) {
	path := filepath.Join(newDir(t), "x.sock")
	first, err := Listen(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the second server after the first has ended: %v", err)
	}
	conn.Close()
}

func TestSockets(t *testing.T) {
	dir := newDir(t)
	if got, err := Sockets(filepath.Join(dir, "none")); got != nil || err != nil {
		t.Errorf("in a folder that is not there: %v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Sockets(filepath.Join(dir, "file.sock")); err == nil {
		t.Error("a file is searched as a folder")
	}
	abandon(t, filepath.Join(dir, "dead.sock"))
	abandon(t, filepath.Join(dir, "socket.of.others"))
	var want []string
	for i := range 3 {
		path := filepath.Join(dir, fmt.Sprintf("tun%d.sock", i))
		serve(t, Config{Path: path})
		want = append(want, path)
	}
	if got, err := Sockets(dir); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestDefaultPath(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the folder is that of Linux")
	}
	for name, want := range map[string]string{
		"tun0":       "/run/campagnol/tun0.sock",
		"../../evil": "/run/campagnol/.._.._evil.sock",
	} {
		if got := DefaultPath(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
