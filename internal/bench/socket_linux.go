package main

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"campagnol/internal/lab"
)

// The generator uses the kernel's sockets as they are, each from a thread of its
// own that waits inside the kernel: between a packet and the thread that it is
// for, there is nothing of this program.

// A socket is a blocking socket of a host.
type socket int

// newSocket makes an IPv4 socket on a host, of SOCK_STREAM or SOCK_DGRAM.
func newSocket(h *lab.Host, kind int) (s socket, err error) {
	err = h.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
		s = socket(fd)
		return err
	})
	return s, s.wrap("make a socket", err)
}

// wrap says what did not work.
func (s socket) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("bench: %s: %w", what, err)
}

// bind gives the socket an address with any port, and returns them.
func (s socket) bind(a netip.Addr) (netip.AddrPort, error) {
	if err := unix.Bind(int(s), &unix.SockaddrInet4{Addr: a.As4()}); err != nil {
		return netip.AddrPort{}, s.wrap(fmt.Sprintf("use the address %v", a), err)
	}
	sa, err := unix.Getsockname(int(s))
	if err != nil {
		return netip.AddrPort{}, s.wrap("name of a socket", err)
	}
	in, ok := sa.(*unix.SockaddrInet4)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("bench: the name of an IPv4 socket is a %T", sa)
	}
	return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port)), nil
}

// connect gives the socket its other end.
func (s socket) connect(to netip.AddrPort) error {
	// Linux goes on with a connection that a signal interrupted.
	err := again(func() error {
		return unix.Connect(int(s), &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
	})
	return s.wrap(fmt.Sprintf("connect to %v", to), err)
}

// limit makes every call that waits for longer than d fail with EAGAIN.
func (s socket) limit(d time.Duration) error {
	tv := unix.NsecToTimeval(d.Nanoseconds())
	return s.wrap("limit the patience of a socket", errors.Join(
		unix.SetsockoptTimeval(int(s), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
		unix.SetsockoptTimeval(int(s), unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv),
	))
}

// set sets an option of the socket's own level.
func (s socket) set(option, value int) error {
	return s.wrap("set an option of a socket", unix.SetsockoptInt(int(s), unix.SOL_SOCKET, option, value))
}

// abort closes the socket. What a connection has not sent yet is thrown away.
func (s socket) abort() {
	// Nothing can be done about errors, and a datagram socket has no linger.
	_ = unix.SetsockoptLinger(int(s), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.Close(int(s))
}

// again repeats a call that a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
