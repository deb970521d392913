package main

import (
	"context"
	"net/netip"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/punch/udp"
)

// findTURN resolves the names of the relays that the configuration has. The client does
// without those that cannot be found.
func (a *addresses) findTURN(ctx context.Context, cfg *conf.Client) {
	for _, t := range cfg.TURN {
		// Over TCP a relay is reached by another socket than that of local_host, but
		// from the same address.
		ips, err := lookup(ctx, cfg, "relay", t.Host, familyOf(a.bind.Addr()))
		if err != nil {
			a.unknown = append(a.unknown, err)
			continue
		}
		a.turn = append(a.turn, turnServer(t, preferred(ips, udp.Routed)))
	}
}

// turnServer returns a relay of the configuration with its addresses.
func turnServer(t conf.TURN, ips []netip.Addr) client.TURNServer {
	s := client.TURNServer{Name: t.Host, Transport: client.TransportUDP, TLS: t.TLS, User: t.User, Password: t.Password}
	if t.TCP {
		s.Transport = client.TransportTCP
	}
	for _, ip := range ips {
		s.Addrs = append(s.Addrs, netip.AddrPortFrom(ip.Unmap(), t.Port))
	}
	return s
}
