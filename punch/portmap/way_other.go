//go:build !linux

package portmap

import (
	"context"
	"net"
	"net/netip"
)

// findWay returns the way to the Internet, of packets from an interface and an address
// if these are given.
func findWay(v6 bool, ifname string, local netip.Addr) (Way, error) {
	gateway, name, err := findGateway(v6, ifname)
	if err != nil {
		return Way{}, err
	}
	w := Way{Gateway: gateway, Local: local, Interface: name}
	if !local.IsValid() {
		// The source that the kernel would choose; nothing is sent.
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(gateway, pcpPort)))
		if err != nil {
			return Way{}, err
		}
		defer conn.Close()
		w.Local = conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
	}
	return w, nil
}

// watchWays does nothing: routes are looked at now and then.
func watchWays(context.Context, func()) {}
