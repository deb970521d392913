package udp

import "golang.org/x/sys/windows"

// Socket options of ws2ipdef.h, which x/sys/windows lacks.
const (
	ipDontFragment = 14 // IP_DONTFRAGMENT
	ipv6DontFrag   = 14 // IPV6_DONTFRAG
)

// dontFragment lets every datagram leave with DF set.
func dontFragment(fd uintptr, f families) error {
	if f.ip4 {
		if err := windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IP, ipDontFragment, 1); err != nil {
			return err
		}
	}
	if !f.ip6 {
		return nil
	}
	return windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IPV6, ipv6DontFrag, 1)
}
