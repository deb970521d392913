//go:build unix

package journal

import (
	"os"
	"syscall"
)

// isFile reports whether f is what a device and an inode say.
func isFile(f *os.File, dev, ino uint64) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && uint64(st.Dev) == dev && st.Ino == ino
}
