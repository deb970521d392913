package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An Interface is a network interface of a node: one of the lab's cables, a
// bridge, or the device of a program. It names the interface and does not
// depend on its being there, except while it is used.
type Interface struct {
	end
}

// Interface returns the interface of a name.
func (n *Node) Interface(name string) Interface { return Interface{end{n.ns, name}} }

// Name returns the name.
func (i Interface) Name() string { return i.name }

// SetUp brings the interface up or takes it down. An interface that has just
// been brought up loses packets for some moments; see AwaitUp.
func (i Interface) SetUp(up bool) error {
	return i.with(func(h *netlink.Handle, link netlink.Link) error {
		if up {
			return h.LinkSetUp(link)
		}
		return h.LinkSetDown(link)
	})
}

// AwaitUp waits until the interface carries packets and its addresses are in
// use.
func (i Interface) AwaitUp() error { return i.awaitUp() }

// SetMTU sets the MTU of this interface, in bytes.
func (i Interface) SetMTU(mtu int) error {
	return i.with(func(h *netlink.Handle, link netlink.Link) error { return h.LinkSetMTU(link, mtu) })
}

// Index returns the number that the kernel knows the interface by.
func (i Interface) Index() (index int, err error) {
	err = i.with(func(_ *netlink.Handle, link netlink.Link) error {
		index = link.Attrs().Index
		return nil
	})
	return index, err
}

// MAC returns the address of the interface.
func (i Interface) MAC() (mac net.HardwareAddr, err error) {
	err = i.with(func(_ *netlink.Handle, link netlink.Link) error {
		mac = link.Attrs().HardwareAddr
		return nil
	})
	return mac, err
}

// SetMAC changes the address of the interface.
func (i Interface) SetMAC(mac net.HardwareAddr) error {
	return i.with(func(h *netlink.Handle, link netlink.Link) error { return h.LinkSetHardwareAddr(link, mac) })
}

// AddAddress gives the interface an address, which can be used at once: nobody
// is asked whether it is in use already (duplicate address detection).
func (i Interface) AddAddress(p netip.Prefix) error {
	return i.with(func(h *netlink.Handle, link netlink.Link) error {
		a := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := h.AddrAdd(link, a); err != nil {
			return fmt.Errorf("add %v: %w", p, err)
		}
		return nil
	})
}

// AddRoute sends what is for p through the interface, to a router there if
// there is one. Groups need such a route, as any destination does.
func (i Interface) AddRoute(p netip.Prefix, router netip.Addr) error {
	return i.with(func(h *netlink.Handle, link netlink.Link) error {
		r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(p)}
		if router.IsValid() {
			r.Gw = router.AsSlice()
		} else {
			r.Scope = netlink.SCOPE_LINK
		}
		if err := h.RouteReplace(r); err != nil {
			return fmt.Errorf("add a route to %v: %w", p, err)
		}
		return nil
	})
}

// SetIPv6 switches IPv6 of the interface on or off. With it, a kernel talks by
// itself: it looks for routers and reports groups.
func (i Interface) SetIPv6(on bool) error {
	value := "1"
	if on {
		value = "0"
	}
	return i.sysctl("ipv6", "disable_ipv6", value)
}

// ForceVersions has the node speak old versions of IGMP (1 to 3) and MLD (1 to
// 2) on the interface, whatever the querier speaks. Zero takes the choice back.
func (i Interface) ForceVersions(igmp, mld int) error {
	if err := i.sysctl("ipv4", "force_igmp_version", fmt.Sprint(igmp)); err != nil {
		return err
	}
	return i.sysctl("ipv6", "force_mld_version", fmt.Sprint(mld))
}

func (i Interface) sysctl(family, key, value string) error {
	return i.ns.sysctl(fmt.Sprintf("net/%s/conf/%s/%s", family, i.name, key), value)
}

// AddNode adds a namespace that has no interface but its own loopback, for
// [Lab.Join]. It is not on the Internet: it has no Link and no Addr.
func (l *Lab) AddNode(name string) (*Node, error) { return l.addNode(name) }

// Join lays a cable between two interfaces that it makes, and brings both up.
// They have no addresses but those that a kernel gives them. The Link is the
// cable as seen from a.
func (l *Lab) Join(a *Node, aname string, b *Node, bname string) (*Link, error) {
	k := &Link{near: end{a.ns, aname}, far: end{b.ns, bname}}
	if err := k.make(); err != nil {
		return nil, fmt.Errorf("lab: join %s of %s and %s of %s: %w", aname, a.name, bname, b.name, err)
	}
	for _, e := range []end{k.near, k.far} {
		if err := (Interface{e}).SetUp(true); err != nil {
			return nil, err
		}
	}
	return k, k.awaitUp()
}
