package main

import (
	"fmt"
	"net/netip"
	"slices"

	"campagnol/conf"
	"campagnol/internal/cli"
	"campagnol/pki"
	"campagnol/pki/enroll"
	"campagnol/tunnel/device"
)

// settings6 returns how the virtual interface gets its IPv6 address, if it is to have
// one.
func settings6(cfg *conf.Client) []device.Settings {
	if !cfg.VPNIP6.IsValid() {
		return nil
	}
	return []device.Settings{{Addr: cfg.VPNIP6, Network: cfg.Network6}}
}

// routed6 returns our IPv6 address and network as far as tunnels care: a switch looks
// at no addresses of hosts.
func routed6(cfg *conf.Client) device.Settings {
	if all := settings6(cfg); len(all) > 0 && cfg.Mode == conf.ModeTUN {
		return all[0]
	}
	return device.Settings{}
}

// checkIPv6 returns why our certificate does not do for our IPv6 address: peers take
// what comes from there only if it names that, and vpn_ip, by which they know us.
func checkIPv6(cfg *conf.Client, id *pki.Identity) error {
	if !routed6(cfg).Addr.IsValid() {
		return nil
	}
	leaf := pki.PeerOf(id.Chain[0])
	for _, a := range []struct {
		key  string
		addr netip.Addr
	}{{"vpn_ip6", cfg.VPNIP6}, {"vpn_ip", cfg.VPNIP}} {
		if slices.Contains(leaf.Addrs, a.addr) {
			continue
		}
		return cli.WithHint(fmt.Errorf("%s:%d: vpn_ip6 %v needs a certificate that names it and vpn_ip, and %s does not name %s %v; it names %s",
			cfg.File, cfg.VPNIP6Pos.Line, cfg.VPNIP6, cfg.Certificate, a.key, a.addr, caAddrs(leaf.Addrs)),
			"issue another one: campagnol ca issue %s --renew --ip %v --ip %v", leaf.Name, cfg.VPNIP, cfg.VPNIP6)
	}
	return nil
}

// joinIPv6 returns the lines of a configuration for an IPv6 network, if the VPN has
// one.
func joinIPv6(r *enroll.Result) string {
	for _, a := range r.Addrs {
		if r.Network6.Contains(a) {
			return fmt.Sprintf("\n# The same for IPv6.\nvpn_ip6 = %v\nnetwork6 = %v\n", a, r.Network6)
		}
	}
	return ""
}

// networksText returns the networks of a VPN, for people.
func networksText(r *enroll.Result) string {
	if r.Network6.IsValid() {
		return fmt.Sprintf("%v and %v", r.Network, r.Network6)
	}
	return r.Network.String()
}
