package conf

import (
	"fmt"
	"net/netip"
	"strings"
)

// minMTU6 is what every link of IPv6 carries, in bytes (RFC 8200 section 5).
const minMTU6 = 1280

// hosts6 are the networks in which hosts of a VPN have IPv6 addresses: unique local
// ones (RFC 4193) and global ones.
var hosts6 = [...]netip.Prefix{netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("2000::/3")}

// isHosts6 reports whether a network is one of hosts, or a part of it.
func isHosts6(n netip.Prefix) bool {
	for _, h := range hosts6 {
		if h.Contains(n.Addr()) && n.Bits() >= h.Bits() {
			return true
		}
	}
	return false
}

// address6 stores our IPv6 address in the VPN.
func (a *assignment) address6(c *Client) {
	ip, err := netip.ParseAddr(a.text)
	switch {
	case err != nil || !ip.Is6() || ip.Is4In6():
		a.fail("is not an IPv6 address")
		return
	case ip.Zone() != "" || !isHosts6(netip.PrefixFrom(ip, 128)):
		a.failWith("is not an address that hosts of a VPN have",
			"take one of fd00::/8, such as fd09::1 with network6 = fd09::/64, or a global address that is yours")
		return
	case c.TunMTU < minMTU6:
		a.failWith(fmt.Sprintf("does not go with tun_mtu = %d: IPv6 needs at least %d bytes", c.TunMTU, minMTU6),
			fmt.Sprintf("write tun_mtu = %d or more into [NETWORK], or take vpn_ip6 and network6 out", minMTU6))
		return
	}
	c.VPNIP6 = ip
	if a.value != nil {
		c.VPNIP6Pos = a.value.Pos
	}
}

// network6 stores the IPv6 network of the VPN.
func (a *assignment) network6(c *Client) {
	n, err := netip.ParsePrefix(a.text)
	switch {
	case err != nil || !n.Addr().Is6() || n.Addr().Is4In6():
		if !strings.Contains(a.text, "/") {
			a.fail("has no length")
		} else {
			a.fail("is not an IPv6 network")
		}
		return
	case !isHosts6(n):
		a.failWith("is not a network in which hosts of a VPN have addresses", "take one of fd00::/8, such as fd09::/64, or a global network that is yours")
		return
	case c.VPNIP6.IsValid() && !n.Contains(c.VPNIP6):
		a.failWith(fmt.Sprintf("does not contain vpn_ip6 %s", c.VPNIP6), "give vpn_ip6 an address of the network; all clients have the same network6")
		return
	case n.Bits() < 127 && c.VPNIP6 == n.Masked().Addr():
		a.failWith(fmt.Sprintf("has vpn_ip6 %s as the address of all its routers, which is no host's", c.VPNIP6), "give vpn_ip6 another address of the network")
		return
	case n != n.Masked():
		a.warn(fmt.Sprintf("is an address within a network; the network in use is %s", n.Masked()), "write network6 = "+n.Masked().String())
	}
	c.Network6 = n.Masked()
}

// bothIPv6 checks that vpn_ip6 and network6 come together.
func (d *decoder) bothIPv6() {
	s := d.file.Section(sectionVPN)
	one, other := s.Setting("vpn_ip6"), s.Setting("network6")
	name, missing, example := "vpn_ip6", "network6", "fd09::/64"
	if one == nil {
		one, other, name, missing, example = other, nil, "network6", "vpn_ip6", "fd09::1"
	}
	if one == nil || other != nil {
		return
	}
	d.refuse(Problem{
		Pos: one.Last().Pos, Section: sectionVPN, Key: name,
		Text: fmt.Sprintf("%s is set, and %s is not", name, missing),
		Hint: fmt.Sprintf("write both, such as %s = %s, or none", missing, example),
	})
}
