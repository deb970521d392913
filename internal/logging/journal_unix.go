//go:build unix

package logging

import (
	"fmt"
	"os"
	"syscall"
)

// inJournal reports whether a file is the stream to the journal that systemd has given
// this process; it says so in JOURNAL_STREAM (systemd.exec(5)). Programs that we start
// have the variable, too, but maybe another file.
func inJournal(f *os.File) bool {
	var device, inode uint64
	if n, err := fmt.Sscanf(os.Getenv("JOURNAL_STREAM"), "%d:%d", &device, &inode); n != 2 || err != nil {
		return false
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		return false
	}
	return uint64(st.Dev) == device && uint64(st.Ino) == inode
}
