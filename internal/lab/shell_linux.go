package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// shellGrace is how long a command's output is waited for after its end: what it
// has left in the background may hold it open.
const shellGrace = 200 * time.Millisecond

// ShellOptions say what a [Shell] finds on its host.
type ShellOptions struct {
	// Root is a folder with a system, as debootstrap(8) makes it, that the node has in
	// place of the machine's. What is changed in there is not written to the folder,
	// which several nodes can share, and ends with the lab. "" is the machine's own,
	// with some folders of the shell's.
	Root string

	// Programs are files that are in /usr/local/bin, under their own names.
	Programs []string

	// Files are files that are in /root, under their own names.
	Files []string

	// Hosts are the names in /etc/hosts, with their addresses.
	Hosts map[string]string
}

// A Shell runs commands as an administrator types them on a node: in its network
// namespace, as root, and with folders of its own in place of those that programs
// keep things in: /etc, /run, /var/lib, /usr/local/bin and /root, where commands
// begin; or in another system altogether. What is outside of the lab sees nothing of
// it. It is safe for concurrent use; one command runs at a time.
type Shell struct {
	node *Node
	env  []string
	work chan func()
	end  sync.Once
}

// copied are the files of /etc without which programs do not find users and names,
// and OpenSSL makes no requests.
var copied = []string{"passwd", "group", "nsswitch.conf", "resolv.conf", "ld.so.cache", "ssl/openssl.cnf"}

// Shell returns a shell on the node. Close ends it; processes that its commands
// have left in the background live until the lab ends.
func (n *Node) Shell(o ShellOptions) (*Shell, error) {
	root := filepath.Join(n.lab.Dir(), n.name+"-root")
	s := &Shell{node: n, work: make(chan func())}
	err := os.MkdirAll(root, 0o755)
	if err == nil && o.Root == "" {
		s.env = append(os.Environ(), "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
		err = furnish(root, o)
	} else {
		s.env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "TERM=dumb"}
	}
	if err != nil {
		return nil, fmt.Errorf("lab: shell on %s: %w", n.name, err)
	}
	s.env = append(append(s.env, "HOME=/root"), n.lab.env...)
	entered := make(chan error)
	go s.serve(root, o, entered)
	if err := <-entered; err != nil {
		return nil, fmt.Errorf("lab: shell on %s: %w", n.name, err)
	}
	return s, nil
}

// ownFolders are the folders that a shell has of its own, by where they are mounted.
var ownFolders = map[string]string{"/etc": "etc", "/run": "run", "/var/lib": "lib", "/usr/local/bin": "bin", "/root": "home"}

// furnish makes the folders of a shell.
func furnish(root string, o ShellOptions) error {
	for _, name := range ownFolders {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			return err
		}
	}
	for _, name := range copied {
		b, err := os.ReadFile(filepath.Join("/etc", name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		to := filepath.Join(root, "etc", name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, b, 0o644)
		}
		if err != nil {
			return err
		}
	}
	if err := writeHosts(filepath.Join(root, "etc", "hosts"), o.Hosts); err != nil {
		return err
	}
	if err := give(o.Programs, filepath.Join(root, "bin"), 0o755); err != nil {
		return err
	}
	return give(o.Files, filepath.Join(root, "home"), 0o644)
}

// writeHosts writes an /etc/hosts.
func writeHosts(path string, addrs map[string]string) error {
	hosts := "127.0.0.1 localhost\n"
	for name, addr := range addrs {
		hosts += addr + " " + name + "\n"
	}
	return os.WriteFile(path, []byte(hosts), 0o644)
}

// give puts files into a folder.
func give(files []string, dir string, mode os.FileMode) error {
	for _, p := range files {
		to := filepath.Join(dir, filepath.Base(p))
		if err := os.Link(p, to); err == nil {
			continue
		}
		b, err := os.ReadFile(p) // on another file system
		if err == nil {
			err = os.WriteFile(to, b, mode)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// serve owns a thread with a mount namespace of its own, in which commands are
// started. The thread ends with the goroutine, which never unlocks it.
func (s *Shell) serve(root string, o ShellOptions, entered chan<- error) {
	runtime.LockOSThread()
	err := s.enter(root, o)
	entered <- err
	if err != nil {
		return
	}
	for f := range s.work {
		f()
	}
}

// enter gives the calling thread the namespaces of the shell.
func (s *Shell) enter(root string, o ShellOptions) error {
	err := s.node.ns.withFD(func(fd int) error { return netns.Set(netns.NsHandle(fd)) })
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS | unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("make namespaces: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	if o.Root != "" {
		return s.enterSystem(root, o)
	}
	for at, name := range ownFolders {
		if err := unix.Mount(filepath.Join(root, name), at, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", at, err)
		}
	}
	return nil
}

// Run runs a command line with sh(1) and returns what it prints, on both outputs.
// The error is that of [exec.Cmd.Wait], or of the context if that ends it.
func (s *Shell) Run(ctx context.Context, line string) (output string, err error) {
	return s.do(ctx, line, func() (string, error) {
		cmd := s.command(ctx, line)
		b, err := cmd.CombinedOutput()
		return string(b), err
	})
}

// Watch runs a command line that does not end by itself, until what it has printed is
// enough, when it is interrupted as by Ctrl-C, and returns that. The error is nil then,
// whatever the exit status; else it is that of [Shell.Run].
func (s *Shell) Watch(ctx context.Context, line string, enough func(output string) bool) (output string, err error) {
	return s.do(ctx, line, func() (string, error) {
		cmd := s.command(ctx, line)
		w := &watched{enough: enough, interrupt: func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGINT) }} // it may have ended
		cmd.Stdout, cmd.Stderr = w, w
		err := cmd.Run()
		if w.seen {
			err = nil
		}
		return w.String(), err
	})
}

// A watched is what a command has printed so far. Whoever writes waits for it.
type watched struct {
	strings.Builder
	enough    func(string) bool
	interrupt func()
	seen      bool
}

func (w *watched) Write(b []byte) (int, error) {
	w.Builder.Write(b)
	if !w.seen && w.enough(w.String()) {
		w.seen = true
		w.interrupt()
	}
	return len(b), nil
}

// command returns the command for a line.
func (s *Shell) command(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	cmd.Dir, cmd.Env = "/root", s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = shellGrace
	return cmd
}

// do runs a command on the thread of the shell.
func (s *Shell) do(ctx context.Context, line string, run func() (string, error)) (output string, err error) {
	err = errGoexit
	done := make(chan struct{})
	select {
	case s.work <- func() {
		defer close(done)
		output, err = run()
		if errors.Is(err, exec.ErrWaitDelay) {
			err = nil // it has ended, and left something running
		}
	}:
		<-done
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		err = fmt.Errorf("lab: on %s: %s: %w", s.node.name, line, err)
	}
	return output, err
}

// Close ends the shell. It must not be called while Run runs, or before another.
func (s *Shell) Close() { s.end.Do(func() { close(s.work) }) }
