package portmap

import (
	"fmt"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/windows"
)

// findGateway returns the gateway of the default route with the lowest metric, and its
// interface.
func findGateway(v6 bool, ifname string) (netip.Addr, string, error) {
	family := uint16(windows.AF_INET)
	if v6 {
		family = windows.AF_INET6
	}
	var table *windows.MibIpForwardTable2
	if err := windows.GetIpForwardTable2(family, &table); err != nil {
		return netip.Addr{}, "", fmt.Errorf("port mapping: read the routes: %w", err)
	}
	defer windows.FreeMibTable(unsafe.Pointer(table))
	var gateway netip.Addr
	var name string
	var best uint32
	for _, r := range table.Rows() {
		if r.DestinationPrefix.PrefixLength != 0 || gateway.IsValid() && r.Metric >= best {
			continue
		}
		ifc, err := net.InterfaceByIndex(int(r.InterfaceIndex))
		if err != nil || ifname != "" && ifc.Name != ifname {
			continue
		}
		if a, ok := addrOf(&r.NextHop, v6, ifc.Name); ok && !a.IsUnspecified() {
			gateway, name, best = a, ifc.Name, r.Metric
		}
	}
	if !gateway.IsValid() {
		return gateway, "", errNoGateway
	}
	return gateway, name, nil
}

func addrOf(raw *windows.RawSockaddrInet, v6 bool, zone string) (netip.Addr, bool) {
	if !v6 {
		return netip.AddrFrom4((*windows.RawSockaddrInet4)(unsafe.Pointer(raw)).Addr), raw.Family == windows.AF_INET
	}
	a := netip.AddrFrom16((*windows.RawSockaddrInet6)(unsafe.Pointer(raw)).Addr)
	if a.IsLinkLocalUnicast() {
		a = a.WithZone(zone)
	}
	return a, raw.Family == windows.AF_INET6
}
