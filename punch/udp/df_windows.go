package udp

import "golang.org/x/sys/windows"

// Socket options of ws2ipdef.h, which x/sys/windows lacks.
const (
	ipDontFragment = 14 // IP_DONTFRAGMENT
	ipv6DontFrag   = 14 // IPV6_DONTFRAG
)

// dontFragment lets every datagram leave with DF set.
func dontFragment(fd uintptr, is4 bool) error {
	if is4 {
		return windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IP, ipDontFragment, 1)
	}
	return windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IPV6, ipv6DontFrag, 1)
}
