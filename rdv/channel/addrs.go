package channel

import "net/netip"

// addrLen is the length of an address in a list, in bytes. IPv4 addresses are mapped
// (RFC 4291 section 2.5.5.2).
const addrLen = 16

// MaxListed is how many addresses Listed has at most.
const MaxListed = MaxData / addrLen

// AppendAddrs appends addresses to b as they are in Listed.
func AppendAddrs(b []byte, addrs ...netip.Addr) []byte {
	for _, a := range addrs {
		all := a.As16()
		b = append(b, all[:]...)
	}
	return b
}

// ParseAddrs reads what AppendAddrs has written. It returns false if b cannot be that.
func ParseAddrs(b []byte) ([]netip.Addr, bool) {
	if len(b)%addrLen != 0 || len(b) > MaxData {
		return nil, false
	}
	addrs := make([]netip.Addr, 0, len(b)/addrLen)
	for ; len(b) > 0; b = b[addrLen:] {
		addrs = append(addrs, netip.AddrFrom16([addrLen]byte(b)).Unmap())
	}
	return addrs, true
}
