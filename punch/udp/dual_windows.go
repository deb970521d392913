package udp

import "golang.org/x/sys/windows"

// ipv6Only is IPV6_V6ONLY of ws2ipdef.h, which x/sys/windows lacks.
const ipv6Only = 27

// serveIPv4 makes a socket of IPv6 serve IPv4, too.
func serveIPv4(fd uintptr) error {
	return windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IPV6, ipv6Only, 0)
}
