package stream

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// setKernel sets the options of a socket that net does not know. They make it better, and
// so what the kernel refuses is left as it is.
func setKernel(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadAfter.Milliseconds()))
		_ = syscall.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent)
	})
}
