package device

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"campagnol/tunnel/segment"
)

// priority6 is the metric that the kernel gives IPv6 routes without one
// (IP6_RT_PRIO_USER); for IPv4 that is 0, the best.
const priority6 = 1024

// SetRoutes routes the networks behind peers to the interface, beside those of
// Configure, and takes back what an earlier SetRoutes did and is not wanted. Routes
// that others have made stay as they are. A network is left out, and is in the list
// that is returned, if the route would take away what this host reaches by others: see
// conflict. Calling it again puts back what was lost, such as while the interface was
// down.
func (k *Kernel) SetRoutes(want []Route) ([]RouteProblem, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.closed.Load():
		return nil, fmt.Errorf("device: routes of %s: %w", k.name, os.ErrClosed)
	case k.link != segment.IP:
		return nil, fmt.Errorf("device: routes of %s: %w", k.name, errNoRoutes)
	case len(want) == 0 && len(k.mine.behind) == 0:
		return nil, nil
	}
	if err := k.dropRoutes(want); err != nil {
		return nil, fmt.Errorf("device: remove a route of %s: %w%s", k.name, err, hint(err))
	}
	have, err := k.mainRoutes()
	if err != nil {
		return nil, fmt.Errorf("device: read the routes of this host: %w", err)
	}
	var problems []RouteProblem
	for _, r := range want {
		if err := k.addRoute(r, have); err != nil {
			problems = append(problems, RouteProblem{r.Network, err})
			k.mine.behind = slices.DeleteFunc(k.mine.behind, func(o Route) bool { return o == r })
		}
	}
	return problems, nil
}

// mainRoutes returns the routes of the main table.
func (k *Kernel) mainRoutes() ([]netlink.Route, error) {
	return whole(func() ([]netlink.Route, error) {
		return k.nl.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	})
}

// dropRoutes removes those of ours that are not wanted.
func (k *Kernel) dropRoutes(want []Route) error {
	for _, r := range slices.Clone(k.mine.behind) {
		if slices.Contains(want, r) {
			continue
		}
		// Somebody may have done it, or it went when the interface was switched off.
		if err := k.nl.RouteDel(k.netlinkRoute(r)); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		k.mine.behind = slices.DeleteFunc(k.mine.behind, func(o Route) bool { return o == r })
	}
	return nil
}

// addRoute adds a route, unless it is there or in conflict with one of have.
func (k *Kernel) addRoute(r Route, have []netlink.Route) error {
	if why := k.conflict(r, have); why != nil {
		if slices.Contains(k.mine.behind, r) { // it was made before the other one
			if err := k.nl.RouteDel(k.netlinkRoute(r)); err != nil && !errors.Is(err, unix.ESRCH) {
				return errors.Join(why, err)
			}
		}
		return why
	}
	if slices.ContainsFunc(have, func(o netlink.Route) bool { return o.LinkIndex == k.index && networkOf(&o) == r.Network }) {
		return nil // ours, or somebody has set it by hand
	}
	if err := k.nl.RouteAdd(k.netlinkRoute(r)); err != nil {
		return fmt.Errorf("%w%s", err, hint(err))
	}
	if !slices.Contains(k.mine.behind, r) {
		k.mine.behind = append(k.mine.behind, r)
	}
	return nil
}

func (k *Kernel) netlinkRoute(r Route) *netlink.Route {
	route := &netlink.Route{LinkIndex: k.index, Dst: ipNet(r.Network), Priority: r.Metric, Table: unix.RT_TABLE_MAIN}
	if r.Source.IsValid() {
		route.Src = r.Source.AsSlice()
	}
	if r.Network.Addr().Is4() {
		route.Scope = unix.RT_SCOPE_LINK
	}
	return route
}

// conflict returns why a route is not to be made, or nil. More specific routes of
// others go before it, and do not matter; one to the same network matters if ours
// would be used before it. A network on a link of this host is not taken apart, and no
// router of this host is taken away, for the way to the peers may lead over it.
func (k *Kernel) conflict(r Route, have []netlink.Route) error {
	for i := range have {
		o := &have[i]
		dst := networkOf(o)
		if o.LinkIndex == k.index || !dst.IsValid() || dst.Addr().Is4() != r.Network.Addr().Is4() {
			continue
		}
		switch {
		case dst == r.Network && metricOf(r.Network, r.Metric) <= metricOf(dst, o.Priority):
			return fmt.Errorf("%s has a route there already; a greater route_metric lets that go before: %w", k.owner(have[i:]), unix.EEXIST)
		case o.Gw == nil && dst.Bits() > 0 && dst.Bits() < r.Network.Bits() && dst.Contains(r.Network.Addr()):
			return fmt.Errorf("it is a part of %v, which is on the link of %s: %w", dst, k.owner(have[i:]), unix.EEXIST)
		case o.Gw != nil && r.Network.Contains(addrOf(o.Gw)) && !k.better(addrOf(o.Gw), r, have):
			return fmt.Errorf("%v in it is a router of this host, on the link of %s: %w", addrOf(o.Gw), k.owner(have[i:]), unix.EEXIST)
		}
	}
	return nil
}

// better reports whether a route of others to an address goes before one of ours.
func (k *Kernel) better(a netip.Addr, ours Route, have []netlink.Route) bool {
	return slices.ContainsFunc(have, func(o netlink.Route) bool {
		dst := networkOf(&o)
		if o.LinkIndex == k.index || !dst.IsValid() || !dst.Contains(a) {
			return false
		}
		return dst.Bits() > ours.Network.Bits() ||
			dst == ours.Network && metricOf(dst, o.Priority) < metricOf(dst, ours.Metric)
	})
}

// networkOf returns where a route leads; the zero Prefix, if that is not an address of
// IP.
func networkOf(r *netlink.Route) netip.Prefix {
	if r.Dst == nil {
		if r.Family == netlink.FAMILY_V6 {
			return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	a, ok := netip.AddrFromSlice(r.Dst.IP)
	bits, _ := r.Dst.Mask.Size()
	if !ok {
		return netip.Prefix{}
	}
	if r.Family != netlink.FAMILY_V6 {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, bits)
}

// metricOf returns the metric that a route has for the kernel.
func metricOf(network netip.Prefix, metric int) int {
	if metric == 0 && network.Addr().Is6() {
		return priority6
	}
	return metric
}
