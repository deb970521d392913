//go:build unix && !solaris && !aix

package safefile

import (
	"errors"
	"os"
	"syscall"
)

// Lock waits until no other process, and no other caller in this one, holds
// the lock named by path, and takes it. The file is created if need be and
// stays; what it guards are other files, because a lock on a file that gets
// replaced guards nothing. The kernel frees the lock of a process that dies.
func Lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err == nil {
			// Closing alone would not do: a process that another goroutine is
			// just starting has a copy of the descriptor until it executes its
			// program, and the lock lasts as long as any copy.
			return func() {
				_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
				f.Close()
			}, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, &os.PathError{Op: "lock", Path: path, Err: err}
		}
	}
}
