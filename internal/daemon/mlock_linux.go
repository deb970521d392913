package daemon

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// LockMemory keeps what the program has in memory, now and later, out of the
// swap space. A page counts from when it is used first (MCL_ONFAULT): a Go
// program reserves far more addresses than it ever uses.
//
// Locks are not inherited: in a daemon, call it after [Background].
func LockMemory() error {
	err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	if errors.Is(err, unix.EINVAL) { // before Linux 4.4
		err = unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE)
	}
	if err != nil {
		return &StartError{
			msg:  fmt.Sprintf("lock memory: %v", err),
			hint: "it takes root, CAP_IPC_LOCK, or a higher limit: LimitMEMLOCK=infinity in a systemd unit, ulimit -l unlimited in a shell",
		}
	}
	return nil
}
