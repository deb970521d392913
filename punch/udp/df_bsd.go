//go:build darwin || freebsd || solaris

package udp

import "golang.org/x/sys/unix"

// dontFragment lets every datagram leave with DF set. A socket of IPv6 that serves
// IPv4, too, may have no options of IPv4 here.
func dontFragment(fd uintptr, f families) error {
	if f.ip4 {
		if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_DONTFRAG, 1); err != nil {
			return err
		}
	}
	if !f.ip6 {
		return nil
	}
	return unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
}
