//go:build unix

package udp

import (
	"errors"

	"golang.org/x/sys/unix"
)

func isAddrInUse(err error) bool    { return errors.Is(err, unix.EADDRINUSE) }
func isAddrNotAvail(err error) bool { return errors.Is(err, unix.EADDRNOTAVAIL) }
func isNoFamily(err error) bool     { return errors.Is(err, unix.EAFNOSUPPORT) }

// fromICMP reports whether errno may be what an ICMP message said about a
// datagram, this one or an earlier one.
func fromICMP(errno unix.Errno) bool {
	switch errno {
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN,
		unix.EMSGSIZE, unix.ENOPROTOOPT, unix.EOPNOTSUPP, unix.EACCES, unix.EPROTO:
		return true
	}
	return errno == errNoNet
}

// fromNetwork reports whether errno may be what the network, a full queue, a
// packet filter or a lack of memory did to a datagram. All other errors are
// the socket's own.
func fromNetwork(errno unix.Errno) bool {
	switch errno {
	case unix.ENETDOWN, unix.EPERM, unix.ENOBUFS, unix.ENOMEM:
		return true
	}
	return fromICMP(errno)
}

// isFromNetwork is fromNetwork for an error of the standard library.
func isFromNetwork(err error) bool {
	var errno unix.Errno
	return errors.As(err, &errno) && fromNetwork(errno)
}
