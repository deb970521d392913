package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// knockTime is how long we wait for somebody who may be behind a socket.
const knockTime = time.Second

// suffix is that of a socket in [DefaultDir].
const suffix = ".sock"

// DefaultDir returns the folder for the sockets of clients.
func DefaultDir() string {
	switch runtime.GOOS {
	case "linux":
		return "/run/campagnol"
	case "windows":
		return filepath.Join(os.Getenv("ProgramData"), "campagnol")
	}
	return "/var/run/campagnol"
}

// RDVPath returns the name of the socket of a rendezvous server, unless it has
// another one.
func RDVPath() string { return filepath.Join(DefaultDir(), rdvName+suffix) }

// rdvName is that of a rendezvous server's socket in [DefaultDir].
const rdvName = "rdv"

// DefaultPath returns the name of the socket of a client, given that of its
// virtual interface.
func DefaultPath(interfaceName string) string {
	return filepath.Join(DefaultDir(), strings.ReplaceAll(interfaceName, string(filepath.Separator), "_")+suffix)
}

// An InUseError says that another process listens on a socket.
type InUseError struct {
	Path string
	PID  int    // of the process; 0: not known
	Name string // of the process; empty: not known

	owner *Owner // nil: a client
}

func (e *InUseError) Error() string {
	who := "another process"
	if e.PID > 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	if e.Name != "" {
		who += " (" + e.Name + ")"
	}
	return fmt.Sprintf("%s is in use by %s", e.Path, who)
}

// Hint returns what to do about it.
func (e *InUseError) Hint() string {
	if e.owner == OfRDV {
		return "give each server a --control-socket of its own, or --control-socket none"
	}
	return "give each client a control_socket of its own, or set control_socket = none"
}

// A place is a socket in the file system on which we listen.
type place struct {
	path     string
	info     fs.FileInfo // to recognise it
	listener *net.UnixListener
	once     sync.Once
}

// occupy makes a socket for us and the group gid; -1 is no group.
func occupy(path string, gid int) (*place, error) {
	path, err := filepath.Abs(path) // the working directory may change
	if err != nil {
		return nil, explain(err)
	}
	dir := filepath.Dir(path)
	if err := makeDir(dir); err != nil {
		return nil, explain(err)
	}
	// Of two processes that find the same leftover, the second would else
	// remove what the first has put in its place.
	unlock, err := lock(dir)
	if err != nil {
		return nil, explain(err)
	}
	defer unlock()
	if err := clearLeftover(path); err != nil {
		return nil, explain(err)
	}
	p := &place{path: path}
	if err := p.listen(gid); err != nil {
		return nil, explain(err)
	}
	return p, nil
}

// explain makes an error one for people.
func explain(err error) error {
	err = fmt.Errorf("control socket: %w", err)
	if errors.Is(err, fs.ErrPermission) {
		return &Error{Text: err.Error(), Err: err,
			Advice: "run the client as root, or give it a control_socket in a folder that its user may write to"}
	}
	return err
}

// makeDir makes a folder that everybody can enter, whatever the umask is, and
// refuses one in which everybody can put something in our way.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o755)
	switch {
	case err == nil:
		return os.Chmod(dir, 0o755)
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	case info.Mode().Perm()&0o002 != 0 && runtime.GOOS != "windows":
		return &Error{Text: fmt.Sprintf("everybody can write to the folder %s", dir),
			Advice: "choose a folder for the socket that only root can write to, such as " + DefaultDir()}
	}
	return nil
}

// clearLeftover removes the socket of a process that has ended without doing it.
func clearLeftover(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return &Error{Text: fmt.Sprintf("%s is there already, and not a socket", path),
			Advice: "move it away, or give control_socket another name"}
	}
	conn, err := knock(path)
	switch {
	case err == nil:
		defer conn.Close()
		return inUse(path, conn)
	case !isRefused(err):
		return fmt.Errorf("%s is there already: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// inUse returns the error that names who is at the other end of conn.
func inUse(path string, conn net.Conn) error {
	e := &InUseError{Path: path}
	if who, err := credentialOf(conn); err == nil && who.pid > 0 {
		e.PID = who.pid
		// Where there is no /proc the number has to do.
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", who.pid)); err == nil {
			e.Name = strings.TrimSpace(string(name))
		}
	}
	return e
}

// knock connects to the socket at path.
func knock(path string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), knockTime)
	defer cancel()
	return new(net.Dialer).DialContext(ctx, "unix", path)
}

// isRefused reports whether err means that nobody listens on a socket. The
// second number is Windows' (WSAECONNREFUSED), and no other system's.
func isRefused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.Errno(10061))
}

// listen makes the socket itself. From its first moment on nobody but us can use
// it.
func (p *place) listen(gid int) error {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { keepPrivate(int(fd)) })
	}}
	l, err := config.Listen(context.Background(), "unix", p.path)
	if errors.Is(err, syscall.EINVAL) {
		return &Error{Text: fmt.Sprintf("the name %s is longer than that of a socket can be", p.path), Advice: "choose a shorter control_socket"}
	}
	if err != nil {
		return err
	}
	p.listener = l.(*net.UnixListener)
	p.listener.SetUnlinkOnClose(false) // it would not look whose it is
	if p.info, err = os.Lstat(p.path); err == nil {
		err = p.share(gid)
	}
	if err != nil {
		os.Remove(p.path)
		p.listener.Close()
	}
	return err
}

// share gives a group access, and everybody else but us none.
func (p *place) share(gid int) error {
	if gid < 0 {
		return os.Chmod(p.path, 0o600)
	}
	if runtime.GOOS == "windows" {
		return fmt.Errorf("share it with a group: not possible on %s: %w", runtime.GOOS, errors.ErrUnsupported)
	}
	if err := os.Lchown(p.path, -1, gid); err != nil {
		return err
	}
	return os.Chmod(p.path, 0o660)
}

// leave removes the socket, unless it is not ours any more, and stops to listen.
func (p *place) leave() {
	p.once.Do(func() {
		// Its number in the file system is ours as long as we listen.
		if now, err := os.Lstat(p.path); err == nil && os.SameFile(now, p.info) {
			_ = os.Remove(p.path) // what stays is replaced by the next
		}
		p.listener.Close()
	})
}

// Sockets returns the sockets of clients in a folder on which somebody listens, or to which
// we may not connect, in the order of their names.
func Sockets(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for clients that run: %w", err)
	}
	var paths []string
	for _, e := range entries {
		if e.Type() != fs.ModeSocket || filepath.Ext(e.Name()) != suffix || e.Name() == rdvName+suffix {
			continue
		}
		path := filepath.Join(dir, e.Name())
		conn, err := knock(path)
		if err == nil {
			conn.Close()
		} else if isRefused(err) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		paths = append(paths, path)
	}
	return paths, nil
}
