package device

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Configure gives the interface its MTU and the VPN address, switches it on
// and routes the VPN's network to it. It takes back what an earlier Configure
// did and s does not want; what others did to the interface stays. Calling it
// again changes nothing.
//
// It does not touch a route of another interface to the same network: an error
// says that there is one.
func (k *Kernel) Configure(s Settings) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	s = s.normal()
	if err := s.check(); err != nil {
		return fmt.Errorf("device: configure %s: %w", k.name, err)
	}
	if k.closed.Load() {
		return fmt.Errorf("device: configure %s: %w", k.name, os.ErrClosed)
	}
	steps := []struct {
		what string
		do   func(Settings) error
	}{
		{fmt.Sprintf("set the MTU to %d", s.MTU), k.setMTU},
		{"remove the former address and route", k.removeMine},
		{fmt.Sprintf("add the address %v", s.Addr), k.setAddr},
		{"switch it on", func(Settings) error { return k.nl.LinkSetUp(k.link()) }},
		{fmt.Sprintf("route %v to it", s.Network), k.setRoute},
	}
	for _, step := range steps {
		if err := step.do(s); err != nil {
			return fmt.Errorf("device: configure %s: %s: %w%s", k.name, step.what, err, hint(err))
		}
	}
	return nil
}

// hint says what to do about an error of the kernel.
func hint(err error) string {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return " (this needs root or CAP_NET_ADMIN)"
	case errors.Is(err, unix.ENODEV):
		return " (somebody has deleted the interface)"
	}
	return ""
}

// link returns what netlink calls a link.
func (k *Kernel) link() netlink.Link {
	return &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: k.name, Index: k.index}}
}

func (k *Kernel) setMTU(s Settings) error {
	if s.MTU == 0 {
		return nil
	}
	err := k.nl.LinkSetMTU(k.link(), s.MTU)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ERANGE) {
		return fmt.Errorf("the kernel takes 68 to 65535: %w", err)
	}
	return err
}

// mine is what Configure added to the interface. What was there already is not
// ours to remove.
type mine struct {
	addr  netip.Addr
	route *netlink.Route
}

// removeMine takes back what Configure added and s does not want.
func (k *Kernel) removeMine(s Settings) error {
	if r := k.mine.route; r != nil && (!routed(s) || r.Dst.String() != s.Network.String() || !r.Src.Equal(s.Addr.AsSlice())) {
		// Somebody may have done it, or it went with its address.
		if err := k.nl.RouteDel(r); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		k.mine.route = nil
	}
	if a := k.mine.addr; a.IsValid() && a != s.Addr {
		err := k.nl.AddrDel(k.link(), &netlink.Addr{IPNet: ipNet(single(a))})
		if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return err
		}
		k.mine.addr = netip.Addr{}
	}
	return nil
}

// setAddr adds the address, with the broadcast address that makes the kernel
// take packets to it for its own, though the interface has no network.
func (k *Kernel) setAddr(s Settings) error {
	want := &netlink.Addr{IPNet: ipNet(single(s.Addr)), Broadcast: net.IPv4zero}
	if b := s.Broadcast(); b.IsValid() {
		want.Broadcast = b.AsSlice()
	}
	if s.Addr.Is6() {
		want.Flags = unix.IFA_F_NODAD // there is nobody to ask
	}
	have, err := whole(func() ([]netlink.Addr, error) { return k.nl.AddrList(k.link(), familyOf(s.Addr)) })
	if err != nil {
		return err
	}
	for _, a := range have {
		if a.IPNet.String() != want.IPNet.String() {
			continue
		}
		if s.Addr.Is6() || a.Broadcast.Equal(want.Broadcast) || a.Broadcast == nil && want.Broadcast.Equal(net.IPv4zero) {
			return nil
		}
		// The kernel does not change the broadcast address of an address.
		if err := k.nl.AddrDel(k.link(), &a); err != nil {
			return err
		}
	}
	if err := k.nl.AddrAdd(k.link(), want); err != nil {
		return err
	}
	k.mine.addr = s.Addr
	return nil
}

// setRoute routes the VPN's network to the interface.
func (k *Kernel) setRoute(s Settings) error {
	if !routed(s) {
		return nil
	}
	route := &netlink.Route{
		LinkIndex: k.index,
		Dst:       ipNet(s.Network),
		Src:       s.Addr.AsSlice(), // what programs on this host send from
	}
	if s.Addr.Is4() {
		route.Scope = unix.RT_SCOPE_LINK
	}
	err := k.nl.RouteAdd(route)
	if errors.Is(err, unix.EEXIST) {
		return k.routeTaken(route)
	}
	if err == nil {
		k.mine.route = route
	}
	return err
}

// routeTaken deals with a route to the same network that exists.
func (k *Kernel) routeTaken(route *netlink.Route) error {
	have, err := whole(func() ([]netlink.Route, error) {
		return k.nl.RouteListFiltered(familyOf(addrOf(route.Src)),
			&netlink.Route{Dst: route.Dst, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_DST|netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return err
	}
	for _, r := range have {
		if r.LinkIndex != k.index {
			continue
		}
		if r.Src.Equal(route.Src) {
			return nil
		}
		if err := k.nl.RouteDel(&r); err != nil {
			return err
		}
		if err := k.nl.RouteAdd(route); err != nil {
			return err
		}
		k.mine.route = route
		return nil
	}
	return fmt.Errorf("%s has a route there already; remove it or use another network for the VPN: %w", k.owner(have), unix.EEXIST)
}

// whole asks the kernel for a list again if it changed in the meantime.
func whole[T any](list func() ([]T, error)) ([]T, error) {
	for range 4 {
		if have, err := list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return have, err
		}
	}
	return list()
}

// owner names the interface of the first of routes.
func (k *Kernel) owner(routes []netlink.Route) string {
	for _, r := range routes {
		if link, err := k.nl.LinkByIndex(r.LinkIndex); err == nil {
			return "interface " + link.Attrs().Name
		}
	}
	return "this host"
}

// routed reports whether the network of s has addresses besides the interface's.
func routed(s Settings) bool {
	return s.Network.IsValid() && s.Network != single(s.Addr)
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}
