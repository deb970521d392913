package udp

import (
	"errors"

	"golang.org/x/sys/windows"
)

func isAddrInUse(err error) bool {
	// WSAEACCES: another socket has the port for itself alone.
	return errors.Is(err, windows.WSAEADDRINUSE) || errors.Is(err, windows.WSAEACCES)
}

func isAddrNotAvail(err error) bool { return errors.Is(err, windows.WSAEADDRNOTAVAIL) }
func isNoFamily(err error) bool     { return errors.Is(err, windows.WSAEAFNOSUPPORT) }

// isFromNetwork reports whether err may be what the network did to one
// datagram. Windows says WSAECONNRESET for "port unreachable" and WSAENETRESET
// for "time exceeded".
func isFromNetwork(err error) bool {
	var errno windows.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case windows.WSAECONNRESET, windows.WSAENETRESET, windows.WSAECONNREFUSED,
		windows.WSAEHOSTUNREACH, windows.WSAENETUNREACH, windows.WSAENETDOWN,
		windows.WSAEMSGSIZE, windows.WSAENOBUFS, windows.WSAEACCES:
		return true
	}
	return false
}
