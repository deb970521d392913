package lab

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// DropIPv4 takes the node's IPv4 address on the side of the Internet away, and with it
// its routes: the node has IPv6 alone then, as hosts of some providers do.
func (n *Node) DropIPv4() error {
	if !n.link.addr6.IsValid() {
		return fmt.Errorf("lab: %s: without IPv4 nothing would be left; make the lab with IPv6", n.name)
	}
	return n.link.near.with(func(h *netlink.Handle, link netlink.Link) error {
		return h.AddrDel(link, n.link.segment.address(n.link.Addr()))
	})
}

// BreakIPv6 makes the router behind which hosts are drop what they send and get over
// IPv6, without a word, or carry it again. They keep their addresses.
func (n *NAT) BreakIPv6(broken bool) error {
	forward := "1"
	if broken {
		forward = "0"
	}
	return n.ns.sysctl("net/ipv6/conf/all/forwarding", forward)
}

// underlayAddr returns the address of a host that others know, in the family that is
// below the VPN.
func underlayAddr(h *Host, underlay string) netip.Addr {
	if underlay == underlayIPv6 {
		return h.Addr6()
	}
	return h.Addr()
}
