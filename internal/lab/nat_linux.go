package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Interfaces of a NAT.
const (
	wan = "wan" // towards the Internet
	lan = "lan" // the bridge that its hosts are on
)

// NATOptions say what [Lab.AddNAT] makes. Kind must not be None.
type NATOptions struct {
	Kind Kind

	// Behind puts the NAT into the network of another (a carrier-grade NAT).
	// nil puts it on the Internet.
	Behind *NAT

	// MappingTimeout is how long a UDP mapping lives without traffic, in
	// whole seconds. 0 leaves the kernel's values: 30 s, and 120 s once
	// packets went both ways.
	MappingTimeout time.Duration

	// LAN is the network inside, of which the NAT takes the first address.
	// The zero Prefix takes a /24 that no other NAT of the lab has:
	// 192.168.n.0, or 100.64.n.0 (RFC 6598) if CarrierGrade is set.
	LAN netip.Prefix

	// CarrierGrade chooses the range of LAN.
	CarrierGrade bool
}

// A NAT is a router with address translation made of nftables rules. Its Addr
// is the outer address.
//
// Outer ports are those of the hosts as long as they are free. Where two hosts
// behind one NAT send from the same port, the second gets another, as from
// Linux in general; the NATs that let strangers in know the first only.
type NAT struct {
	*Node
	options NATOptions
	lan     *segment
	rules   *natRules
	mapper  bool // it is prepared for a port mapper; guarded by the lab's lock
}

// AddNAT adds a NAT, on the Internet or behind another. Names and errors are
// those of [Lab.AddHost].
func (l *Lab) AddNAT(name string, o NATOptions) (*NAT, error) {
	if o.Kind == None || o.Kind >= kindCount {
		return nil, fmt.Errorf("lab: NAT %s: kind %v makes no NAT", name, o.Kind)
	}
	if o.LAN.IsValid() && (!o.LAN.Addr().Is4() || o.LAN.Bits() > 30) {
		return nil, fmt.Errorf("lab: NAT %s: %v is not an IPv4 network with room for hosts", name, o.LAN)
	}
	seg, err := l.newLAN(o)
	if err != nil {
		return nil, err
	}
	node, err := l.addNode(name)
	if err != nil {
		return nil, err
	}
	seg.ns = node.ns
	n := &NAT{Node: node, options: o, lan: seg, rules: newNATRules(o)}
	if err := l.segmentOf(o.Behind).connect(node, wan); err != nil {
		return nil, err
	}
	own := []netip.Addr{nth(seg.prefix4, 1)}
	if l.ipv6 {
		own = append(own, nth(seg.prefix6, 1))
	}
	if err := seg.make(own); err != nil {
		return nil, err
	}
	if err := node.ns.nftables(func(c *nftables.Conn) error { return n.rules.add(c, n.Addr()) }); err != nil {
		return nil, err
	}
	if err := n.setTimeouts(); err != nil {
		return nil, err
	}
	return n, n.forward()
}

// newLAN plans the network behind a NAT.
func (l *Lab) newLAN(o NATOptions) (*segment, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lans++
	if l.lans > 254 {
		return nil, errors.New("lab: there are 254 NATs already")
	}
	seg := &segment{bridge: lan, prefix4: o.LAN, next: firstHost}
	switch {
	case o.LAN.IsValid():
		seg.prefix4 = o.LAN.Masked()
	case o.CarrierGrade:
		seg.prefix4 = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, byte(l.lans), 0}), 24)
	default:
		seg.prefix4 = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(l.lans), 0}), 24)
	}
	if l.ipv6 {
		a := internet6.Addr().As16()
		a[5], a[7] = 1, byte(l.lans) // 2001:db8:1:n::/64
		seg.prefix6 = netip.PrefixFrom(netip.AddrFrom16(a), 64)
	}
	return seg, nil
}

// forward makes the node a router, and the network behind it reachable where
// addresses are global.
func (n *NAT) forward() error {
	if err := n.ns.sysctl("net/ipv4/ip_forward", "1"); err != nil {
		return err
	}
	if !n.lan.prefix6.IsValid() {
		return nil
	}
	if err := n.ns.sysctl("net/ipv6/conf/all/forwarding", "1"); err != nil {
		return err
	}
	// Every router on the way to the Internet learns the way back.
	for at := n; at != nil; at = at.options.Behind {
		if err := at.link.routeBack(n.lan.prefix6); err != nil {
			return err
		}
	}
	return nil
}

// routeBack tells the gateway of the network that the link is on to send
// packets for p to the near end.
func (k *Link) routeBack(p netip.Prefix) error {
	return end{k.segment.ns, k.segment.bridge}.with(func(h *netlink.Handle, link netlink.Link) error {
		return h.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(p), Gw: k.addr6.AsSlice()})
	})
}

// setTimeouts sets how long the kernel keeps UDP mappings.
func (n *NAT) setTimeouts() error {
	if n.options.MappingTimeout == 0 {
		return nil
	}
	seconds := strconv.Itoa(max(1, int(n.options.MappingTimeout/time.Second)))
	for _, key := range []string{"nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"} {
		if err := n.ns.sysctl("net/netfilter/"+key, seconds); err != nil {
			return err
		}
	}
	return nil
}

// Kind returns the kind of the NAT.
func (n *NAT) Kind() Kind { return n.options.Kind }

// LAN returns the IPv4 network inside.
func (n *NAT) LAN() netip.Prefix { return n.lan.prefix4 }

// Flush makes the NAT forget all mappings and flows, as one that was switched
// off and on. The next packet from inside makes a new mapping: on the same
// outer port if the NAT keeps ports.
func (n *NAT) Flush() error {
	err := n.ns.withHandle(unix.NETLINK_NETFILTER, func(h *netlink.Handle) error {
		return h.ConntrackTableFlush(netlink.ConntrackTable)
	})
	if err != nil {
		return fmt.Errorf("lab: forget the flows of NAT %s: %w", n.name, err)
	}
	return n.ns.nftables(func(c *nftables.Conn) error { return n.rules.forget(c, n.Addr()) })
}

// Renumber gives the NAT another outer address, as a provider may do at any
// time, and returns it. All mappings are forgotten.
func (n *NAT) Renumber() (netip.Addr, error) {
	a, err := n.link.Renumber()
	if err != nil {
		return netip.Addr{}, err
	}
	return a, n.Flush()
}

// Replace makes it a NAT of another kind, with the same addresses, as if somebody had
// put another router in its place. All mappings are forgotten.
func (n *NAT) Replace(kind Kind) error {
	if kind == None || kind >= kindCount {
		return fmt.Errorf("lab: NAT %s: kind %v makes no NAT", n.name, kind)
	}
	n.lab.mu.Lock()
	mapper := n.mapper
	n.lab.mu.Unlock()
	if mapper {
		return fmt.Errorf("lab: NAT %s has a port mapper, which would go with its rules", n.name)
	}
	n.options.Kind = kind
	n.rules = newNATRules(n.options)
	err := n.ns.nftables(func(c *nftables.Conn) error {
		c.DelTable(natTable)
		c.DelTable(wallTable)
		return n.rules.add(c, n.Addr())
	})
	if err != nil {
		return err
	}
	return n.Flush()
}

// Flows returns how many UDP flows the NAT knows.
func (n *NAT) Flows() (count int, err error) {
	err = n.ns.withHandle(unix.NETLINK_NETFILTER, func(h *netlink.Handle) error {
		flows, err := h.ConntrackTableList(netlink.ConntrackTable, netlink.InetFamily(unix.AF_INET))
		for _, f := range flows {
			if f.Forward.Protocol == unix.IPPROTO_UDP {
				count++
			}
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("lab: list the flows of NAT %s: %w", n.name, err)
	}
	return count, nil
}
