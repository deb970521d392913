//go:build unix

package control

import "syscall"

// withUmask changes the umask of the process until the returned function is
// called.
func withUmask(mask int) func() {
	old := syscall.Umask(mask)
	return func() { syscall.Umask(old) }
}
