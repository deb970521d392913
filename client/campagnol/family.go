package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"campagnol/conf"
	"campagnol/internal/cli"
)

// A family is which addresses below the tunnels are of use.
type family string

// The families; their values are what the resolver calls them.
const (
	anyFamily family = "ip"
	onlyIPv4  family = "ip4"
	onlyIPv6  family = "ip6"
)

// familyOf returns the family that a socket at a serves: :: is all addresses of both.
func familyOf(a netip.Addr) family {
	switch {
	case a.Is4():
		return onlyIPv4
	case a.IsUnspecified():
		return anyFamily
	}
	return onlyIPv6
}

func (f family) has(a netip.Addr) bool { return f == anyFamily || (f == onlyIPv4) == a.Is4() }

func (f family) String() string {
	switch f {
	case onlyIPv4:
		return "IPv4"
	case onlyIPv6:
		return "IPv6"
	}
	return "IP"
}

// serverFamily returns of which family the RDV's address has to be, for a socket that
// is bound to bind, and why.
func serverFamily(cfg *conf.Client, bind netip.Addr) (f family, why string) {
	if f = familyOf(bind); f != anyFamily {
		why = fmt.Sprintf("local_host is of %v", f)
	}
	if cfg.RDVAuth == conf.AutoNo && f == anyFamily {
		// The messages in clear cannot name an IPv6 address.
		f, why = onlyIPv4, "with rdv_auth = no clients register over IPv4 alone"
	}
	return f, why
}

// preferred returns a host's addresses in the order in which they are tried: those to
// which there is a way come first, and of them IPv4, which to the RDV all versions speak.
func preferred(ips []netip.Addr, routed func(netip.Addr) bool) []netip.Addr {
	ips = slices.Clone(ips)
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	rank := func(a netip.Addr) int {
		if routed(a) {
			return a.BitLen()
		}
		return a.BitLen() + 1000
	}
	slices.SortStableFunc(ips, func(a, b netip.Addr) int { return rank(a) - rank(b) })
	return ips
}

// choose returns the first of a host's addresses in that order.
func choose(ips []netip.Addr, routed func(netip.Addr) bool) netip.Addr {
	return preferred(ips, routed)[0]
}

// lookup returns the addresses of a host, of a family. There is one at least.
func lookup(ctx context.Context, cfg *conf.Client, key, host string, f family) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip = ip.Unmap(); f.has(ip) {
			return []netip.Addr{ip}, nil
		}
		return nil, unresolved(cfg, key, host, f, nil)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, string(f), host)
	if err != nil || len(ips) == 0 {
		return nil, unresolved(cfg, key, host, f, err)
	}
	return ips, nil
}

// unresolved says that a name cannot be used; err may be nil.
func unresolved(cfg *conf.Client, key, host string, f family, err error) error {
	if _, bad := netip.ParseAddr(host); bad == nil {
		return cli.WithHint(fmt.Errorf("%s: %s %q is not an %v address", cfg.File, key, host, f), "give an %v address", f)
	}
	reason := fmt.Sprintf("it has no %v address", f)
	var dns *net.DNSError
	if errors.As(err, &dns) {
		reason = dns.Err
	}
	return cli.WithHint(fmt.Errorf("%s: %s %q cannot be resolved: %s", cfg.File, key, host, reason),
		"check the name and the name servers of this host, or give an %v address", f)
}

// bindAddr returns where the socket is bound: at local_host, else at all addresses of
// both families, so that the host may move to another network.
func bindAddr(ctx context.Context, cfg *conf.Client) (netip.Addr, error) {
	if cfg.LocalHost == "" {
		return netip.IPv6Unspecified(), nil
	}
	ips, err := lookup(ctx, cfg, "local_host", cfg.LocalHost, anyFamily)
	if err != nil {
		return netip.Addr{}, err
	}
	return choose(ips, func(a netip.Addr) bool { return a.Is4() }), nil
}

// interfaceAddr returns the first address of an interface in the family of like.
func interfaceAddr(name string, like netip.Addr) (netip.Addr, error) {
	f := familyOf(like)
	ifc, err := net.InterfaceByName(name)
	if err != nil {
		return netip.Addr{}, cli.WithHint(fmt.Errorf("interface %q: there is none of this name", name),
			"\"ip address\" shows the interfaces of this host")
	}
	addrs, err := ifc.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("interface %q: %w", name, err)
	}
	if a, ok := firstOf(f, addrs); ok {
		return a, nil
	}
	return netip.Addr{}, cli.WithHint(fmt.Errorf("interface %q: it has no %v address", name, f),
		"give it one, or leave \"interface\" out")
}

// sourceAddr returns the address from which the kernel would send to server, or,
// when it knows no way there yet, that of the first interface that is up.
func sourceAddr(server netip.AddrPort) (netip.Addr, error) {
	if conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server)); err == nil {
		defer conn.Close() // nothing was sent
		if a := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(); !a.IsLoopback() || server.Addr().IsLoopback() {
			return a.WithZone(""), nil
		}
	}
	ifcs, err := net.Interfaces()
	if err != nil {
		return netip.Addr{}, err
	}
	f := familyOf(server.Addr())
	for _, ifc := range ifcs {
		if ifc.Flags&net.FlagUp == 0 || ifc.Flags&net.FlagRunning == 0 || ifc.Flags&net.FlagLoopback != 0 {
			continue
		}
		if addrs, err := ifc.Addrs(); err == nil {
			if a, ok := firstOf(f, addrs); ok {
				return a, nil
			}
		}
	}
	all := "0.0.0.0"
	if f == onlyIPv6 {
		all = "::"
	}
	return netip.Addr{}, cli.WithHint(fmt.Errorf("no interface of this host that is up has an %v address", f),
		"connect to a network first, or set local_host = %s and use_local_addr = no", all)
}

// firstOf returns the first address of a family that is good beyond its own link.
func firstOf(f family, addrs []net.Addr) (netip.Addr, bool) {
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		if ip = ip.Unmap(); ok && f.has(ip) && (ip.Is4() || !ip.IsLinkLocalUnicast()) {
			return ip, true
		}
	}
	return netip.Addr{}, false
}
