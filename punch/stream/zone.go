package stream

import "net/netip"

// zone marks addresses of connections.
const zone = "tcp"

// Zone returns the address that a client has whose connection comes from a.
func Zone(a netip.AddrPort) netip.AddrPort {
	ip := netip.AddrFrom16(a.Addr().As16()).WithZone(zone)
	return netip.AddrPortFrom(ip, a.Port())
}

// IsStream reports whether a is the address of a connection, to which nothing can be
// sent by UDP.
func IsStream(a netip.AddrPort) bool { return a.Addr().Zone() == zone }

// Real returns the address that the connection of a client comes from, and any other
// address as it is.
func Real(a netip.AddrPort) netip.AddrPort {
	if !IsStream(a) {
		return a
	}
	return netip.AddrPortFrom(a.Addr().WithZone("").Unmap(), a.Port())
}

// networkOf returns the network that a host is in, for limits: whoever has a connection
// by IPv6 has 2^64 addresses.
func networkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address: all of them are one network
	}
	return p
}
