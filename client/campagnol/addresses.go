package main

import (
	"context"
	"fmt"
	"net/netip"

	"campagnol/client"
	"campagnol/conf"
)

// addresses are where a client is and whom it talks to.
type addresses struct {
	servers  []client.Server // the RDVs whose names can be resolved
	bind     netip.AddrPort  // of the socket
	local    netip.Addr      // ours, for peers behind the same NAT
	override netip.AddrPort  // published instead of local; zero: local is
	stun     []netip.AddrPort
	turn     []client.TURNServer
	unknown  []error // why servers of the configuration are not among stun, or turn
}

// findAddresses resolves the names in a configuration and finds our local
// address: local_host, or the first address of the interface, or the address from
// which the kernel would reach the RDV.
//
// The socket is bound to local_host only if it is given. Else it takes every
// address, so that the host may move to another network.
func findAddresses(ctx context.Context, cfg *conf.Client) (*addresses, error) {
	bind, err := bindAddr(ctx, cfg)
	if err != nil {
		return nil, err
	}
	a := &addresses{bind: netip.AddrPortFrom(bind, cfg.LocalPort)}
	if a.servers, err = findServers(ctx, cfg, bind); err != nil {
		return nil, err
	}
	switch {
	case cfg.LocalHost != "":
		a.local = bind
	case cfg.Interface != "":
		a.local, err = interfaceAddr(cfg.Interface, a.last().Addr())
	default:
		a.local, err = sourceAddr(a.last())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.File, err)
	}
	a.override = cfg.OverrideLocalAddr
	if cfg.OverrideLocalHost != "" {
		ips, err := lookup(ctx, cfg, "override_local_addr", cfg.OverrideLocalHost, onlyIPv4)
		if err != nil {
			return nil, err
		}
		a.override = netip.AddrPortFrom(ips[0].Unmap(), cfg.OverrideLocalAddr.Port())
	}
	a.findSTUN(ctx, cfg)
	a.findTURN(ctx, cfg)
	return a, nil
}

// warn says which servers for STUN and TURN cannot be found.
func (a *addresses) warn(warn func(msg, hint string)) {
	for _, err := range a.unknown {
		warn(err.Error(), "it is not asked; peers are reached without it, perhaps later")
	}
}

// last returns the address of the last RDV, which is the one that the original uses.
func (a *addresses) last() netip.AddrPort { return a.servers[len(a.servers)-1].Addrs[0] }

// findSTUN resolves the names of STUN servers. The client does without those that
// cannot be found.
func (a *addresses) findSTUN(ctx context.Context, cfg *conf.Client) {
	for _, s := range cfg.STUNServers {
		ips, err := lookup(ctx, cfg, "stun_server", s.Host, familyOf(a.last().Addr()))
		if err != nil {
			a.unknown = append(a.unknown, err)
			continue
		}
		a.stun = append(a.stun, netip.AddrPortFrom(ips[0].Unmap(), s.Port))
	}
}

// published returns the address that the RDV may tell peers behind the same NAT,
// and the zero AddrPort for none. port is the socket's.
func (a *addresses) published(cfg *conf.Client, port uint16) netip.AddrPort {
	switch {
	case !cfg.UseLocalAddr, a.local.IsUnspecified():
		return netip.AddrPort{}
	case a.override.IsValid():
		return a.override
	}
	return netip.AddrPortFrom(a.local, port)
}

// describe returns the configuration as the original shows it.
func (a *addresses) describe(cfg *conf.Client) string {
	shown := *cfg
	shown.ServerHost, shown.ServerPort = a.last().Addr().String(), a.last().Port()
	return shown.Describe(a.local)
}
