package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// enterSystem gives the calling thread the system in the folder o.Root as its own: it
// becomes /, below a layer in memory that takes what is changed. The thread has a mount
// namespace, with which all of it ends. scratch is an empty folder.
func (s *Shell) enterSystem(scratch string, o ShellOptions) error {
	if err := unix.Mount("tmpfs", scratch, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount a layer in memory: %w", err)
	}
	in := func(name string) string { return filepath.Join(scratch, name) }
	for _, dir := range []string{"upper", "work", "system"} {
		if err := os.Mkdir(in(dir), 0o755); err != nil {
			return err
		}
	}
	system := in("system")
	layers := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", o.Root, in("upper"), in("work"))
	if err := unix.Mount("overlay", system, "overlay", 0, layers); err != nil {
		return fmt.Errorf("mount the system %s: %w", o.Root, err)
	}
	if err := s.boot(system, o); err != nil {
		return err
	}
	if err := unix.PivotRoot(system, filepath.Join(system, "mnt")); err != nil {
		return fmt.Errorf("go into the system %s: %w", o.Root, err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/mnt", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the machine's own system: %w", err)
	}
	return nil
}

// boot mounts and writes what a system has once it runs.
func (s *Shell) boot(system string, o ShellOptions) error {
	for _, m := range []struct {
		at, kind string
		flags    uintptr
	}{
		{"proc", "proc", 0},
		{"sys", "sysfs", unix.MS_RDONLY}, // that of the node's network
		{"run", "tmpfs", 0},
		{"dev", "tmpfs", 0},
	} {
		if err := unix.Mount(m.kind, filepath.Join(system, m.at), m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount /%s: %w", m.at, err)
		}
	}
	if err := makeDevices(filepath.Join(system, "dev")); err != nil {
		return fmt.Errorf("make devices: %w", err)
	}
	if err := unix.Sethostname([]byte(s.node.name)); err != nil {
		return fmt.Errorf("name the host: %w", err)
	}
	etc := filepath.Join(system, "etc")
	if err := os.WriteFile(filepath.Join(etc, "hostname"), []byte(s.node.name+"\n"), 0o644); err != nil {
		return err
	}
	// The system was installed with the resolver of the machine, which is not here.
	if err := os.Remove(filepath.Join(etc, "resolv.conf")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := writeHosts(filepath.Join(etc, "hosts"), o.Hosts); err != nil {
		return err
	}
	if err := give(o.Programs, filepath.Join(system, "usr/local/bin"), 0o755); err != nil {
		return err
	}
	return give(o.Files, filepath.Join(system, "root"), 0o644)
}

// makeDevices fills /dev.
func makeDevices(dev string) error {
	for _, dir := range []string{"net", "pts"} {
		if err := os.Mkdir(filepath.Join(dev, dir), 0o755); err != nil {
			return err
		}
	}
	for _, d := range []struct {
		name         string
		major, minor uint32
	}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}, {"net/tun", 10, 200}} {
		path := filepath.Join(dev, d.name)
		if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o666); err != nil { // mknod heeds the umask
			return err
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
		"stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"} {
		if err := os.Symlink(to, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	return unix.Mount("devpts", filepath.Join(dev, "pts"), "devpts", 0, "newinstance,ptmxmode=0666,mode=0620")
}
