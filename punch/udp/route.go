package udp

import (
	"net"
	"net/netip"
)

// Routed reports whether this host knows a way to an address. It sends nothing and
// does not wait. What stops it from finding out counts as a way.
func Routed(a netip.Addr) bool {
	const discard = 9 // any port would do
	network := "udp6"
	if a = a.Unmap(); a.Is4() {
		network = "udp4"
	}
	conn, err := net.DialUDP(network, nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, discard)))
	if err != nil {
		return !isFromNetwork(err) && !isNoFamily(err) && !isAddrNotAvail(err)
	}
	conn.Close()
	return true
}
