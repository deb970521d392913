package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
	// Programs are files that are in /usr/local/bin, under their own names.
	Programs []string

	// Hosts are the names in /etc/hosts, with their addresses.
	Hosts map[string]string
}

// A Shell runs commands as an administrator types them on a node: in its network
// namespace, as root, and with folders of its own in place of those that programs
// keep things in: /etc, /run, /var/lib, /usr/local/bin and /root, where commands
// begin. What is outside of the lab sees nothing of it. It is safe for concurrent
// use; one command runs at a time.
type Shell struct {
	node *Node
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
	if err := furnish(root, o); err != nil {
		return nil, fmt.Errorf("lab: shell on %s: %w", n.name, err)
	}
	s := &Shell{node: n, work: make(chan func())}
	entered := make(chan error)
	go s.serve(root, entered)
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
	hosts := "127.0.0.1 localhost\n"
	for name, addr := range o.Hosts {
		hosts += addr + " " + name + "\n"
	}
	if err := os.WriteFile(filepath.Join(root, "etc", "hosts"), []byte(hosts), 0o644); err != nil {
		return err
	}
	for _, p := range o.Programs {
		if err := os.Link(p, filepath.Join(root, "bin", filepath.Base(p))); err == nil {
			continue
		}
		b, err := os.ReadFile(p) // on another file system
		if err == nil {
			err = os.WriteFile(filepath.Join(root, "bin", filepath.Base(p)), b, 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// serve owns a thread with a mount namespace of its own, in which commands are
// started. The thread ends with the goroutine, which never unlocks it.
func (s *Shell) serve(root string, entered chan<- error) {
	runtime.LockOSThread()
	err := s.enter(root)
	entered <- err
	if err != nil {
		return
	}
	for f := range s.work {
		f()
	}
}

// enter gives the calling thread the namespaces of the shell.
func (s *Shell) enter(root string) error {
	err := s.node.ns.withFD(func(fd int) error { return netns.Set(netns.NsHandle(fd)) })
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
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
	err = errGoexit
	done := make(chan struct{})
	select {
	case s.work <- func() {
		defer close(done)
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
		cmd.Dir = "/root"
		cmd.Env = append(os.Environ(), "HOME=/root", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
		cmd.Env = append(cmd.Env, s.node.lab.env...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		cmd.WaitDelay = shellGrace
		var b []byte
		b, err = cmd.CombinedOutput()
		if errors.Is(err, exec.ErrWaitDelay) {
			err = nil // it has ended, and left something running
		}
		output = string(b)
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
