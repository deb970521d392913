//go:build unix && !linux

package udp

import "golang.org/x/sys/unix"

// errNoNet exists on Linux only.
const errNoNet = unix.ECONNREFUSED
