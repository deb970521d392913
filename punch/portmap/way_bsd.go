//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package portmap

import (
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/route"
	"golang.org/x/sys/unix"
)

// findGateway returns the gateway of the default route, and its interface.
func findGateway(v6 bool, ifname string) (netip.Addr, string, error) {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	rib, err := route.FetchRIB(family, route.RIBTypeRoute, 0)
	if err != nil {
		return netip.Addr{}, "", fmt.Errorf("port mapping: read the routes: %w", err)
	}
	messages, err := route.ParseRIB(route.RIBTypeRoute, rib)
	if err != nil {
		return netip.Addr{}, "", fmt.Errorf("port mapping: read the routes: %w", err)
	}
	for _, m := range messages {
		r, ok := m.(*route.RouteMessage)
		if !ok || r.Flags&unix.RTF_UP == 0 || r.Flags&unix.RTF_GATEWAY == 0 || len(r.Addrs) <= unix.RTAX_NETMASK {
			continue
		}
		ifc, err := net.InterfaceByIndex(r.Index)
		if err != nil || ifname != "" && ifc.Name != ifname {
			continue
		}
		if isZero(r.Addrs[unix.RTAX_DST]) && (r.Addrs[unix.RTAX_NETMASK] == nil || isZero(r.Addrs[unix.RTAX_NETMASK])) {
			if a, ok := addrOf(r.Addrs[unix.RTAX_GATEWAY], ifc.Name); ok && a.Is6() == v6 {
				return a, ifc.Name, nil
			}
		}
	}
	return netip.Addr{}, "", errNoGateway
}

// isZero reports whether a is all addresses.
func isZero(a route.Addr) bool {
	ip, ok := addrOf(a, "")
	return ok && ip.IsUnspecified()
}

func addrOf(a route.Addr, zone string) (netip.Addr, bool) {
	switch a := a.(type) {
	case *route.Inet4Addr:
		return netip.AddrFrom4(a.IP), true
	case *route.Inet6Addr:
		ip := netip.AddrFrom16(a.IP)
		if ip.IsLinkLocalUnicast() {
			ip = ip.WithZone(zone)
		}
		return ip, true
	}
	return netip.Addr{}, false
}
