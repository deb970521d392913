//go:build unix

package udp

import "golang.org/x/sys/unix"

// serveIPv4 makes a socket of IPv6 serve IPv4, too. OpenBSD never does.
func serveIPv4(fd uintptr) error {
	return unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
}
