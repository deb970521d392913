package udp

import "golang.org/x/sys/unix"

// dontFragment lets every datagram leave with DF set and be refused
// (EMSGSIZE) only if it does not fit the outgoing interface: whoever looks for
// the MTU of a path must be able to probe beyond what the kernel has cached
// from ICMP messages, which anybody may have sent.
func dontFragment(fd uintptr, f families) error {
	if f.ip4 {
		if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE); err != nil {
			return err
		}
	}
	if !f.ip6 {
		return nil
	}
	if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE); err != nil {
		return err
	}
	// Without it the host itself cuts what does not fit the interface.
	return unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
}
