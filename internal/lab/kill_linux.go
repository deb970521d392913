package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// killPatience is how long the kernel may take to end a killed process.
const killPatience = 5 * time.Second

// An inode identifies a namespace.
type inode struct{ dev, ino uint64 }

func inodeOf(path string) (inode, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return inode{}, err
	}
	return inode{dev: uint64(st.Dev), ino: st.Ino}, nil
}

// killProcessesIn ends every process whose network namespace is one of those
// named, and waits until it is gone. The calling process is spared: while it
// does something in a namespace, it may look as if it lived there.
func killProcessesIn(names []string) error {
	inside := map[inode]bool{}
	for _, name := range names {
		if ino, err := inodeOf(filepath.Join(namespaceDir, name)); err == nil {
			inside[ino] = true
		}
	}
	if len(inside) == 0 {
		return nil
	}
	pids, err := processes()
	if err != nil {
		return err
	}
	var errs []error
	for _, pid := range pids {
		if pid == os.Getpid() {
			continue
		}
		errs = append(errs, killIf(pid, func() bool {
			ino, err := inodeOf(fmt.Sprintf("/proc/%d/ns/net", pid))
			return err == nil && inside[ino]
		}))
	}
	return errors.Join(errs...)
}

// processes returns the identifiers of all processes.
func processes() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("lab: list processes: %w", err)
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// killIf kills a process if cond holds for it, and waits for its end. The
// process is held by a descriptor before cond looks at it, so that the number
// cannot pass to another process in between.
func killIf(pid int, cond func() bool) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil // gone
	}
	if err != nil {
		return fmt.Errorf("lab: open process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	if !cond() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("lab: kill process %d: %w", pid, err)
	}
	return awaitExit(fd, pid)
}

// awaitExit waits until the process behind fd has ended.
func awaitExit(fd, pid int) error {
	deadline := time.Now().Add(killPatience)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("lab: process %d does not end within %v of SIGKILL", pid, killPatience)
		}
		// A descriptor of a process becomes readable at its end.
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lab: wait for process %d: %w", pid, err)
		}
		if n > 0 {
			return nil
		}
	}
}
