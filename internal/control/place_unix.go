//go:build unix && !solaris && !aix

package control

import (
	"io/fs"
	"path/filepath"
	"syscall"

	"campagnol/pki/safefile"
)

// lock keeps other processes of ours from changing sockets in a folder.
func lock(dir string) (unlock func(), err error) {
	return safefile.Lock(filepath.Join(dir, ".campagnol.lock"))
}

// keepPrivate makes the socket that fd will be bound to private from its first
// moment on. Linux heeds it; elsewhere nobody but us can use the socket at first
// unless the umask is unusual.
func keepPrivate(fd int) { _ = syscall.Fchmod(fd, 0o600) }

// groupOf returns the group of a file.
func groupOf(info fs.FileInfo) (int, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Gid), true
}
