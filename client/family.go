package client

import (
	"net/netip"

	"campagnol/tunnel"
	"campagnol/tunnel/segment"
)

// A client speaks IPv4 and IPv6 below its tunnels, as far as its socket serves them.
// Neither is preferred when a peer is looked for: punches go to its addresses of both
// families at once, and the first that is heard becomes the path. So one that is
// broken, somewhere on the way or at home, costs nothing.

// reaches reports whether our socket can send to an address: whether it serves the
// family, and the host knows a way, as far as we are told.
func (c *Client) reaches(a netip.Addr) bool {
	own := c.cfg.Conn.LocalAddr().Addr()
	if own != netip.IPv6Unspecified() && own.Is4() != a.Is4() {
		return false
	}
	return c.cfg.Routed == nil || c.cfg.Routed(a)
}

// What paths are taken to carry of which nothing is known.
const (
	etherMTU = 1500            // of nearly all networks
	minIPv6  = segment.MinIPv6 // of every IPv6 path (RFC 8200 section 5)
)

// limitOf returns how much payload a datagram of s to addr may have, on a path of
// which is known that it carries mtu bytes; 0 stands for no limit, in both.
//
// The MTU of the device is made for IPv4 below the tunnels. A full packet of it makes
// a datagram that may be too long over IPv6, whose header has 20 bytes more. Rather
// than lose it to learn that, we take the path to be as wide as the device's MTU says.
func (c *Client) limitOf(s *tunnel.Session, addr netip.AddrPort, mtu int) int {
	if mtu == 0 && addr.Addr().Is6() {
		mtu = c.usualMTU(s)
	}
	return payloadLimit(addr, mtu)
}

// usualMTU returns the size of the IPv4 packets that full packets of the device make
// in s. Sizes like the default leave some room for ciphers in networks of 1500 bytes.
func (c *Client) usualMTU(s *tunnel.Session) int {
	const room, headers = 100, 28
	full := c.set.MTU + s.Overhead() + headers
	if c.cfg.Ethernet != nil {
		full += 14 // the header of a frame
	}
	if c.set.MTU == 0 || full <= etherMTU && full > etherMTU-room {
		return etherMTU
	}
	return max(full, minIPv6)
}
