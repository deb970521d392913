package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"campagnol/conf"
	"campagnol/internal/cli"
)

// addresses are where a client is and whom it talks to.
type addresses struct {
	server   netip.AddrPort // the RDV
	bind     netip.AddrPort // of the socket
	local    netip.Addr     // ours, for peers behind the same NAT
	override netip.AddrPort // published instead of local; zero: local is
	stun     []netip.AddrPort
	unknown  []error // why STUN servers of the configuration are not among stun
}

// findAddresses resolves the names in a configuration and finds our local
// address: local_host, or the first address of the interface, or the address from
// which the kernel would reach the RDV.
//
// The socket is bound to local_host only if it is given. Else it takes every
// address, so that the host may move to another network.
func findAddresses(ctx context.Context, cfg *conf.Client) (*addresses, error) {
	server, err := resolve(ctx, cfg, "server_host", cfg.ServerHost)
	if err != nil {
		return nil, err
	}
	a := &addresses{
		server: netip.AddrPortFrom(server, cfg.ServerPort),
		bind:   netip.AddrPortFrom(netip.IPv4Unspecified(), cfg.LocalPort),
	}
	switch {
	case cfg.LocalHost != "":
		if a.local, err = resolve(ctx, cfg, "local_host", cfg.LocalHost); err != nil {
			return nil, err
		}
		a.bind = netip.AddrPortFrom(a.local, cfg.LocalPort)
	case cfg.Interface != "":
		a.local, err = interfaceAddr(cfg.Interface)
	default:
		a.local, err = sourceAddr(a.server)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.File, err)
	}
	a.override = cfg.OverrideLocalAddr
	if cfg.OverrideLocalHost != "" {
		ip, err := resolve(ctx, cfg, "override_local_addr", cfg.OverrideLocalHost)
		if err != nil {
			return nil, err
		}
		a.override = netip.AddrPortFrom(ip, cfg.OverrideLocalAddr.Port())
	}
	a.findSTUN(ctx, cfg)
	return a, nil
}

// findSTUN resolves the names of STUN servers. The client does without those that
// cannot be found.
func (a *addresses) findSTUN(ctx context.Context, cfg *conf.Client) {
	for _, s := range cfg.STUNServers {
		ip, err := resolve(ctx, cfg, "stun_server", s.Host)
		if err != nil {
			a.unknown = append(a.unknown, err)
			continue
		}
		a.stun = append(a.stun, netip.AddrPortFrom(ip, s.Port))
	}
}

// resolve returns the first IPv4 address of a host.
func resolve(ctx context.Context, cfg *conf.Client, key, host string) (netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		return ip, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
	if err != nil || len(ips) == 0 {
		reason := "it has no IPv4 address"
		var dns *net.DNSError
		if errors.As(err, &dns) {
			reason = dns.Err
		}
		return netip.Addr{}, cli.WithHint(
			fmt.Errorf("%s: %s %q cannot be resolved: %s", cfg.File, key, host, reason),
			"check the name and the name servers of this host, or give an IPv4 address")
	}
	return ips[0].Unmap(), nil
}

// interfaceAddr returns the first IPv4 address of an interface.
func interfaceAddr(name string) (netip.Addr, error) {
	ifc, err := net.InterfaceByName(name)
	if err != nil {
		return netip.Addr{}, cli.WithHint(fmt.Errorf("interface %q: there is none of this name", name),
			"\"ip address\" shows the interfaces of this host")
	}
	addrs, err := ifc.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("interface %q: %w", name, err)
	}
	if a, ok := firstIPv4(addrs); ok {
		return a, nil
	}
	return netip.Addr{}, cli.WithHint(fmt.Errorf("interface %q: it has no IPv4 address", name),
		"give it one, or leave \"interface\" out")
}

// sourceAddr returns the address from which the kernel would send to server, or,
// when it knows no way there yet, that of the first interface that is up.
func sourceAddr(server netip.AddrPort) (netip.Addr, error) {
	if conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(server)); err == nil {
		defer conn.Close() // nothing was sent
		if a := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(); !a.IsLoopback() || server.Addr().IsLoopback() {
			return a, nil
		}
	}
	ifcs, err := net.Interfaces()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, ifc := range ifcs {
		if ifc.Flags&net.FlagUp == 0 || ifc.Flags&net.FlagRunning == 0 || ifc.Flags&net.FlagLoopback != 0 {
			continue
		}
		if addrs, err := ifc.Addrs(); err == nil {
			if a, ok := firstIPv4(addrs); ok {
				return a, nil
			}
		}
	}
	return netip.Addr{}, cli.WithHint(errors.New("no interface of this host that is up has an IPv4 address"),
		"connect to a network first, or set local_host = 0.0.0.0 and use_local_addr = no")
}

func firstIPv4(addrs []net.Addr) (netip.Addr, bool) {
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap().Is4() {
				return ip.Unmap(), true
			}
		}
	}
	return netip.Addr{}, false
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
	shown.ServerHost = a.server.Addr().String()
	return shown.Describe(a.local)
}
