package control

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"campagnol/internal/testenv"
)

// nobody is a user and group without rights. No name is needed for it.
const nobody = 65534

// dialAs connects to the socket at path as another user.
func dialAs(t *testing.T, path string, uid, gid int, groups ...uint32) (net.Conn, error) {
	t.Helper()
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		// The thread never comes back: it ends with this goroutine.
		runtime.LockOSThread()
		conn, err := connectAs(path, uid, gid, groups)
		done <- result{conn, err}
	}()
	r := <-done
	if r.err == nil {
		t.Cleanup(func() { r.conn.Close() })
	}
	return r.conn, r.err
}

// connectAs makes this thread, and no other of the process, another user.
func connectAs(path string, uid, gid int, groups []uint32) (net.Conn, error) {
	list := append(groups, 0) // so that there is something to point to
	for _, call := range [][4]uintptr{
		{unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&list[0]))},
		{unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
		{unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
	} {
		if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
			return nil, errno
		}
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, err
	}
	return net.FileConn(f)
}

// ask sends a request over conn and returns status and body of the answer.
func ask(t *testing.T, conn net.Conn) (int, string) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives: true,
	}}
	resp, err := c.Get("http://x" + StatusPath)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

// TestPermissions: the permissions of the socket keep others out.
func TestPermissions(t *testing.T) {
	testenv.Root(t)
	private, _ := serve(t, Config{})
	shared, _ := serve(t, Config{Group: "54321"})
	for _, c := range []struct {
		name   string
		path   string
		uid    int
		gid    int
		groups []uint32
		ok     bool
	}{
		{"nobody", private.Path(), nobody, nobody, nil, false},
		{"a member of root's group", private.Path(), nobody, 0, []uint32{0}, false},
		{"nobody, where there is a group", shared.Path(), nobody, nobody, []uint32{54320, 54322}, false},
		{"by the first group", shared.Path(), nobody, 54321, nil, true},
		{"by another group", shared.Path(), nobody, nobody, []uint32{54320, 54321}, true},
		{"root", private.Path(), 0, 0, nil, true},
	} {
		conn, err := dialAs(t, c.path, c.uid, c.gid, c.groups...)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, unix.EACCES) {
			t.Errorf("%s: %v, want that it connects: %v", c.name, err, c.ok)
		}
		if err == nil {
			if status, body := ask(t, conn); status != 200 {
				t.Errorf("%s: status %d, %s", c.name, status, body)
			}
		}
	}
	if info, err := os.Lstat(shared.Path()); err != nil || info.Mode() != 0o660|os.ModeSocket {
		t.Errorf("the shared socket has mode %v (%v)", info.Mode(), err)
	}
}

// TestCredentials: where the permissions are wider than we have made them, the
// server still knows whom it may answer.
func TestCredentials(t *testing.T) {
	testenv.Root(t)
	private, _ := serve(t, Config{})
	shared, _ := serve(t, Config{Group: "54321"})
	for _, s := range []*Server{private, shared} {
		if err := os.Chmod(s.Path(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	const refused = `{"error":"the user USER may not use this control socket","hint":"only root`
	many := make([]uint32, 1000)
	for i := range many {
		many[i] = uint32(100_000 + i)
	}
	for _, c := range []struct {
		name   string
		s      *Server
		gid    int
		groups []uint32
		status int
	}{
		{"nobody", private, nobody, nil, 403},
		{"nobody, where there is a group", shared, nobody, []uint32{54320}, 403},
		{"the group", shared, 54321, nil, 200},
		{"another group", shared, nobody, []uint32{1, 54321}, 200},
		{"a group among many", shared, nobody, append(slices.Clone(many), 54321), 200},
		{"many groups", shared, nobody, many, 403},
	} {
		conn, err := dialAs(t, c.s.Path(), 54399, c.gid, c.groups...)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		status, body := ask(t, conn)
		if status != c.status {
			t.Errorf("%s: status %d, want %d", c.name, status, c.status)
		}
		if want := strings.ReplaceAll(refused, "USER", "54399"); status == 403 && !strings.HasPrefix(body, want) {
			t.Errorf("%s: %s, want %s…", c.name, body, want)
		}
	}
}

// TestWhoMay: who has no permission learns who has.
func TestWhoMay(t *testing.T) {
	testenv.Root(t)
	const alone = "only root and the user that runs the client may; become root, or set control_group in its configuration"
	private, _ := serve(t, Config{})
	shared, _ := serve(t, Config{Group: "54321"})
	for path, want := range map[string]string{
		private.Path():   alone,
		"/no/such/place": alone,
		shared.Path():    "only root, the user that runs the client, and the members of the group 54321 may; become one of them",
	} {
		if got := whoMay(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	_, err := dialAs(t, private.Path(), nobody, nobody)
	wantError(t, NewClient(private.Path()).unreachable(err, askTime), "no permission to use the control socket "+private.Path(), alone)
}

// TestSetGroup: a socket changes hands while it is served.
func TestSetGroup(t *testing.T) {
	testenv.Root(t)
	s, _ := serve(t, Config{})
	for _, c := range []struct {
		group string
		mode  os.FileMode
		ok    [2]bool // members of 54321, of 54322
	}{
		{"54321", 0o660, [2]bool{true, false}},
		{"54322", 0o660, [2]bool{false, true}},
		{"no such group", 0o660, [2]bool{false, true}},
		{"", 0o600, [2]bool{false, false}},
	} {
		if err := s.SetGroup(c.group); (err != nil) != (c.group == "no such group") {
			t.Errorf("%q: %v", c.group, err)
		}
		if info, err := os.Lstat(s.Path()); err != nil || info.Mode().Perm() != c.mode {
			t.Errorf("%q: mode %v (%v), want %v", c.group, info.Mode(), err, c.mode)
		}
		for i, want := range c.ok {
			conn, err := dialAs(t, s.Path(), nobody, 54321+i)
			if (err == nil) != want {
				t.Errorf("%q: a member of group %d: %v, want that it connects: %v", c.group, 54321+i, err, want)
			}
			if err != nil {
				continue
			}
			if status, body := ask(t, conn); status != 200 {
				t.Errorf("%q: status %d, %s", c.group, status, body)
			}
		}
	}
}
