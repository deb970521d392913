package portmap

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"github.com/vishvananda/netlink"
)

// Somewhere is an address to which the way is looked up for each family. Nothing is
// sent there.
var (
	somewhere4 = netip.MustParseAddr("1.0.0.1")
	somewhere6 = netip.MustParseAddr("2000::1")
)

// findWay returns the way to the Internet, of packets from an interface and an address
// if these are given.
func findWay(v6 bool, ifname string, local netip.Addr) (Way, error) {
	to := somewhere4
	if v6 {
		to = somewhere6
	}
	o := &netlink.RouteGetOptions{Oif: ifname}
	if local.IsValid() {
		o.SrcAddr = local.AsSlice()
	}
	routes, err := netlink.RouteGetWithOptions(to.AsSlice(), o)
	if err != nil {
		return Way{}, fmt.Errorf("port mapping: no way to the Internet: %w", err)
	}
	for _, r := range routes {
		gateway, ok := netip.AddrFromSlice(r.Gw)
		if !ok {
			continue
		}
		link, err := netlink.LinkByIndex(r.LinkIndex)
		if err != nil {
			return Way{}, fmt.Errorf("port mapping: interface %d: %w", r.LinkIndex, err)
		}
		w := Way{Gateway: gateway.Unmap(), Local: local, Interface: link.Attrs().Name}
		if w.Gateway.IsLinkLocalUnicast() && w.Gateway.Is6() {
			w.Gateway = w.Gateway.WithZone(w.Interface)
		}
		if src, ok := netip.AddrFromSlice(r.Src); ok && !local.IsValid() {
			w.Local = src.Unmap()
		}
		if w.Local.IsValid() && w.Local.Is4() == w.Gateway.Is4() {
			return w, nil
		}
	}
	return Way{}, errNoGateway
}

// watchWays calls changed whenever addresses or routes of the system change, until ctx
// is done. A system that does not tell is looked at now and then, anyway.
func watchWays(ctx context.Context, changed func()) {
	var wg sync.WaitGroup
	defer wg.Wait()
	ignore := func(error) {} // the channel is closed then
	routes := make(chan netlink.RouteUpdate)
	if netlink.RouteSubscribeWithOptions(routes, ctx.Done(), netlink.RouteSubscribeOptions{ErrorCallback: ignore}) == nil {
		wg.Go(func() {
			for range routes {
				changed()
			}
		})
	}
	addrs := make(chan netlink.AddrUpdate)
	if netlink.AddrSubscribeWithOptions(addrs, ctx.Done(), netlink.AddrSubscribeOptions{ErrorCallback: ignore}) == nil {
		wg.Go(func() {
			for range addrs {
				changed()
			}
		})
	}
}
