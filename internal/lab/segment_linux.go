package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/vishvananda/netlink"
)

// A segment is a network of one bridge: the Internet, or the LAN of a NAT. Its
// bridge lives in the namespace of the Internet or of the NAT and is the
// gateway of everybody connected. It is safe for concurrent use.
type segment struct {
	ns      *namespace
	bridge  string // name of the interface
	prefix4 netip.Prefix
	prefix6 netip.Prefix // zero without IPv6

	mu    sync.Mutex // protects the following
	next  int        // last part of the next free address
	ports int        // veth pairs connected so far
}

// make makes the bridge and gives it addresses.
func (s *segment) make(own []netip.Addr) error {
	err := s.ns.netlink(func(h *netlink.Handle) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = s.bridge
		attrs.HardwareAddr = s.hardwareAddr()
		// A bridge that learns who wants which multicast would lose the first
		// packets of IPv6, whose neighbour discovery is multicast.
		snooping := false
		if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}); err != nil {
			return err
		}
		link, err := h.LinkByName(s.bridge)
		if err != nil {
			return err
		}
		for _, a := range own {
			if err := h.AddrAdd(link, s.address(a)); err != nil {
				return err
			}
		}
		return h.LinkSetUp(link)
	})
	if err != nil {
		return fmt.Errorf("lab: make bridge %s in namespace %s: %w", s.bridge, s.ns.name, err)
	}
	// Where the firewall looks into bridges (br_netfilter is loaded, for
	// example by a container engine), a NAT's rules would also be applied to
	// packets between two hosts of its LAN.
	for _, key := range []string{"iptables", "ip6tables", "arptables"} {
		if err := s.ns.sysctlIfAny("net/bridge/bridge-nf-call-"+key, "0"); err != nil {
			return err
		}
	}
	return nil
}

// hardwareAddr returns the link address of the bridge, made of the gateway's IPv4
// address. Left alone, a bridge takes the lowest address of its ports, and so
// may get another one with every host that is added: whoever knows the old one
// would send into the void until the neighbour cache forgets it.
func (s *segment) hardwareAddr() net.HardwareAddr {
	a := nth(s.prefix4, 1).As4()
	return append(net.HardwareAddr{0x02, 0}, a[:]...) // 02: locally administered
}

// address returns a with the length of the segment's prefix, as the kernel
// takes it.
func (s *segment) address(a netip.Addr) *netlink.Addr {
	bits := s.prefix4.Bits()
	if a.Is6() {
		bits = s.prefix6.Bits()
	}
	return &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, bits))}
}

// allocate returns the next free addresses; the second is zero without IPv6.
func (s *segment) allocate() (a4, a6 netip.Addr, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a4 = nth(s.prefix4, s.next)
	// The last one is for broadcasts; of a network larger than a /24 only the
	// first 256 are used.
	if s.next > 255 || !s.prefix4.Contains(a4) || !s.prefix4.Contains(a4.Next()) {
		return a4, a6, fmt.Errorf("lab: network %v is full", s.prefix4)
	}
	if s.prefix6.IsValid() {
		a6 = nth(s.prefix6, s.next)
	}
	s.next++
	return a4, a6, nil
}

// connect lays a cable from the bridge to a new interface of the node, which
// gets the next free addresses and the bridge as default gateway. It returns
// when packets go through.
func (s *segment) connect(n *Node, ifname string) error {
	a4, a6, err := s.allocate()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.ports++
	port := fmt.Sprintf("p%d", s.ports)
	s.mu.Unlock()

	n.link = &Link{
		near: end{n.ns, ifname}, far: end{s.ns, port},
		segment: s, addr4: a4, addr6: a6,
	}
	if err := n.link.lay(); err != nil {
		return fmt.Errorf("lab: connect %s to %s in namespace %s: %w", n.name, s.bridge, s.ns.name, err)
	}
	if err := n.link.awaitUp(); err != nil {
		return err
	}
	r, err := n.Ping(context.Background(), nth(s.prefix4, 1), PingOptions{Count: 1, Patience: upPatience})
	if err != nil {
		return err
	}
	if r.Received() == 0 {
		return fmt.Errorf("lab: %s does not reach its gateway %v", n.name, r.To)
	}
	return nil
}

// lay makes the veth pair and configures both ends.
func (k *Link) lay() error {
	if err := k.make(); err != nil {
		return err
	}
	err := k.far.ns.netlink(func(h *netlink.Handle) error {
		port, err := h.LinkByName(k.far.name)
		if err != nil {
			return err
		}
		bridge, err := h.LinkByName(k.segment.bridge)
		if err != nil {
			return err
		}
		if err := h.LinkSetMaster(port, bridge); err != nil {
			return err
		}
		return h.LinkSetUp(port)
	})
	if err != nil {
		return err
	}
	return k.address()
}

// address gives the near end its addresses, brings it up and makes the segment
// the default route.
func (k *Link) address() error {
	return k.near.ns.netlink(func(h *netlink.Handle) error {
		link, err := h.LinkByName(k.near.name)
		if err != nil {
			return err
		}
		for _, a := range []netip.Addr{k.addr4, k.addr6} {
			if !a.IsValid() {
				continue
			}
			if err := h.AddrAdd(link, k.segment.address(a)); err != nil {
				return err
			}
		}
		if err := h.LinkSetUp(link); err != nil {
			return err
		}
		return k.defaultRoutes(h, link)
	})
}

// defaultRoutes sets the default routes through the segment's gateway.
func (k *Link) defaultRoutes(h *netlink.Handle, link netlink.Link) error {
	for _, p := range []netip.Prefix{k.segment.prefix4, k.segment.prefix6} {
		if !p.IsValid() {
			continue
		}
		err := h.RouteReplace(&netlink.Route{
			LinkIndex: link.Attrs().Index,
			Dst:       ipNet(netip.PrefixFrom(unspecified(p.Addr()), 0)),
			Gw:        nth(p, 1).AsSlice(),
		})
		if err != nil {
			return fmt.Errorf("default route through %v: %w", nth(p, 1), err)
		}
	}
	return nil
}

// unspecified returns the zero address of a's family.
func unspecified(a netip.Addr) netip.Addr {
	if a.Is6() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// ipNet converts a prefix to the form of package net.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
