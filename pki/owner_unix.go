//go:build unix

package pki

import (
	"io/fs"
	"syscall"
)

// ofRoot reports whether a file is root's.
func ofRoot(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Uid == 0
}
