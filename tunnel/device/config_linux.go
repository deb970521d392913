package device

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"campagnol/tunnel/segment"
)

// Configure gives the interface its MTU and the VPN address, switches it on
// and routes the VPN's network to it; and so with further addresses and networks,
// of which the MTU does not count. It takes back what an earlier Configure did and
// is not wanted; what others did to the interface stays. Calling it again changes
// nothing.
//
// The network of an Ethernet device comes with its address, and the route to it
// with that; IPv6 addresses are in use once the kernel has asked whether somebody
// else has them (RFC 4862 section 5.4), after a second or two.
//
// It does not touch a route of another interface to the same network: an error
// says that there is one.
func (k *Kernel) Configure(s Settings, more ...Settings) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := append([]Settings{s}, more...)
	for i := range all {
		all[i] = all[i].normal()
		if err := all[i].check(k.link); err != nil {
			return fmt.Errorf("device: configure %s: %w", k.name, err)
		}
	}
	if k.closed.Load() {
		return fmt.Errorf("device: configure %s: %w", k.name, os.ErrClosed)
	}
	type step struct {
		what string
		do   func() error
	}
	steps := []step{
		{fmt.Sprintf("set the MTU to %d", s.MTU), func() error { return k.setMTU(s) }},
		{"remove the former address and route", func() error { return k.removeMine(all) }},
	}
	for _, s := range all {
		steps = append(steps, step{fmt.Sprintf("add the address %v", s.prefix(k.link)), func() error { return k.setAddr(s) }})
	}
	steps = append(steps, step{"switch it on", func() error { return k.nl.LinkSetUp(k.ref()) }})
	for _, s := range all {
		steps = append(steps, step{fmt.Sprintf("route %v to it", s.Network), func() error { return k.setRoute(s) }})
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
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

// ref returns the interface, which netlink calls a link.
func (k *Kernel) ref() netlink.Link {
	return &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: k.name, Index: k.index}}
}

func (k *Kernel) setMTU(s Settings) error {
	if s.MTU == 0 {
		return nil
	}
	err := k.nl.LinkSetMTU(k.ref(), s.MTU)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ERANGE) {
		largest := 65535
		if k.link == segment.Ethernet {
			largest -= minFrame // the kernel counts the frame
		}
		return fmt.Errorf("the kernel takes 68 to %d: %w", largest, err)
	}
	return err
}

// mine is what Configure added to the interface. What was there already is not
// ours to remove.
type mine struct {
	addrs  []netip.Prefix
	routes []*netlink.Route
	behind []Route           // by SetRoutes
	sysctl map[string]string // values that SetForwarding has changed, as they were
}

// note adds a route, in place of one to the same network.
func (m *mine) note(route *netlink.Route) {
	same := func(o *netlink.Route) bool { return o.Dst.String() == route.Dst.String() }
	m.routes = append(slices.DeleteFunc(m.routes, same), route)
}

// removeMine takes back what Configure added and none of all wants.
func (k *Kernel) removeMine(all []Settings) error {
	for _, r := range slices.Clone(k.mine.routes) {
		if slices.ContainsFunc(all, func(s Settings) bool {
			return k.routed(s) && r.Dst.String() == s.Network.String() && r.Src.Equal(s.Addr.AsSlice())
		}) {
			continue
		}
		// Somebody may have done it, or it went with its address.
		if err := k.nl.RouteDel(r); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		k.mine.routes = slices.DeleteFunc(k.mine.routes, func(o *netlink.Route) bool { return o == r })
	}
	for _, a := range slices.Clone(k.mine.addrs) {
		if slices.ContainsFunc(all, func(s Settings) bool { return a == s.prefix(k.link) }) {
			continue
		}
		err := k.nl.AddrDel(k.ref(), &netlink.Addr{IPNet: ipNet(a)})
		if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return err
		}
		k.mine.addrs = slices.DeleteFunc(k.mine.addrs, func(o netip.Prefix) bool { return o == a })
	}
	return nil
}

// setAddr adds the address, with the broadcast address that makes the kernel
// take packets to it for its own, though the interface of an IP device has no
// network.
func (k *Kernel) setAddr(s Settings) error {
	prefix := s.prefix(k.link)
	if !prefix.IsValid() {
		return nil
	}
	want := &netlink.Addr{IPNet: ipNet(prefix), Broadcast: net.IPv4zero}
	if b := s.Broadcast(); b.IsValid() {
		want.Broadcast = b.AsSlice()
	}
	if s.Addr.Is6() && k.link == segment.IP {
		want.Flags = unix.IFA_F_NODAD // there is nobody to ask
	}
	have, err := whole(func() ([]netlink.Addr, error) { return k.nl.AddrList(k.ref(), familyOf(s.Addr)) })
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
		if err := k.nl.AddrDel(k.ref(), &a); err != nil {
			return err
		}
	}
	if err := k.checkFree(prefix); err != nil {
		return err
	}
	if err := k.nl.AddrAdd(k.ref(), want); err != nil {
		if s.Addr.Is6() && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EOPNOTSUPP)) {
			return fmt.Errorf("IPv6 is switched off on this host, or for its new interfaces (sysctl net.ipv6.conf.default.disable_ipv6): %w", unix.EOPNOTSUPP)
		}
		return err
	}
	k.mine.addrs = append(k.mine.addrs, prefix)
	return nil
}

// metric6 is the priority of the routes that come with IPv6 addresses
// (IP6_RT_PRIO_ADDRCONF of the kernel); those with IPv4 addresses have 0, the best.
const metric6 = 256

// checkFree returns an error if another interface has a route to the network of an
// address that is as good as ours: the kernel would add ours behind it, where it is
// never used.
func (k *Kernel) checkFree(p netip.Prefix) error {
	if p.IsSingleIP() {
		return nil
	}
	have, err := k.routesTo(ipNet(p.Masked()), familyOf(p.Addr()))
	if err != nil {
		return err
	}
	ours := 0
	if p.Addr().Is6() {
		ours = metric6
	}
	for _, r := range have {
		if r.LinkIndex != k.index && r.Priority <= ours {
			return k.errTaken([]netlink.Route{r})
		}
	}
	return nil
}

// setRoute routes the VPN's network to the interface.
func (k *Kernel) setRoute(s Settings) error {
	if !k.routed(s) {
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
		k.mine.note(route)
	}
	return err
}

// routeTaken deals with a route to the same network that exists.
func (k *Kernel) routeTaken(route *netlink.Route) error {
	have, err := k.routesTo(route.Dst, familyOf(addrOf(route.Src)))
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
		k.mine.note(route)
		return nil
	}
	return k.errTaken(have)
}

// routesTo returns the routes to a network.
func (k *Kernel) routesTo(dst *net.IPNet, family int) ([]netlink.Route, error) {
	return whole(func() ([]netlink.Route, error) {
		return k.nl.RouteListFiltered(family,
			&netlink.Route{Dst: dst, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_DST|netlink.RT_FILTER_TABLE)
	})
}

// errTaken says that the network of routes is in use.
func (k *Kernel) errTaken(routes []netlink.Route) error {
	return fmt.Errorf("%s has a route there already; remove it or use another network for the VPN: %w", k.owner(routes), unix.EEXIST)
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

// routed reports whether a route to the network of s is up to us: if it has
// addresses besides the interface's, and is not on its link.
func (k *Kernel) routed(s Settings) bool {
	return k.link == segment.IP && s.Network.IsValid() && s.Network != single(s.Addr)
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
