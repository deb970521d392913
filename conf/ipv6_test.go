package conf

import (
	"strings"
	"testing"
)

// withVPN returns a good file with more lines in [VPN].
func withVPN(lines string) string { return minimal + "\n[VPN]\n" + lines + "\n" }

func TestIPv6Values(t *testing.T) {
	for _, c := range []struct{ lines, addr, network string }{
		{"vpn_ip6 = fd09::1\nnetwork6 = fd09::/64", "fd09::1", "fd09::/64"},
		{"network6 = FD09:0::/48\nvpn_ip6 = fd09:0:0:5::1", "fd09:0:0:5::1", "fd09::/48"},
		{"vpn_ip6 = 2001:db8::1\nnetwork6 = 2001:db8::/127", "2001:db8::1", "2001:db8::/127"},
		{"vpn_ip6 = fd09::\nnetwork6 = fd09::/127", "fd09::", "fd09::/127"},
		{"vpn_ip6 = fd09::1\nnetwork6 = fd09::1/128\n[NETWORK]\ntun_mtu = 1280", "fd09::1", "fd09::1/128"},
		{"", "invalid IP", "invalid Prefix"},
	} {
		cfg, problems, err := ParseClient("f", []byte(withVPN(c.lines)))
		if err != nil || len(problems) > 0 {
			t.Errorf("%q: %v, problems:\n%s", c.lines, err, list(problems))
			continue
		}
		if cfg.VPNIP6.String() != c.addr || cfg.Network6.String() != c.network || (cfg.VPNIP6Pos != Pos{}) != cfg.VPNIP6.IsValid() {
			t.Errorf("%q: %v in %v at %v", c.lines, cfg.VPNIP6, cfg.Network6, cfg.VPNIP6Pos)
		}
	}
}

func TestIPv6Refused(t *testing.T) {
	const network = "\nnetwork6 = fd09::/64"
	for _, c := range []struct{ lines, want string }{
		{"vpn_ip6 = 10.9.0.1" + network, "is not an IPv6 address"},
		{"vpn_ip6 = ::ffff:10.9.0.1" + network, "is not an IPv6 address"},
		{"vpn_ip6 = fd09::1/64" + network, "is not an IPv6 address"},
		{"vpn_ip6 = fd09::1%eth0" + network, "is not an address that hosts of a VPN have"},
		{"vpn_ip6 = fe80::1" + network, "is not an address that hosts of a VPN have"},
		{"vpn_ip6 = ::1" + network, "is not an address that hosts of a VPN have"},
		{"vpn_ip6 = ff02::1" + network, "is not an address that hosts of a VPN have"},
		{"vpn_ip6 = fd09::1\nnetwork6 = fd08::/64", "does not contain vpn_ip6 fd09::1"},
		{"vpn_ip6 = fd09::1\nnetwork6 = 10.9.0.0/24", "is not an IPv6 network"},
		{"vpn_ip6 = fd09::1\nnetwork6 = fd09::", "has no length"},
		{"vpn_ip6 = fd09::1\nnetwork6 = fd09::/129", "is not an IPv6 network"},
		{"vpn_ip6 = fd09::1\nnetwork6 = ::/0", "is not a network in which hosts of a VPN have addresses"},
		{"vpn_ip6 = fd09::1\nnetwork6 = f800::/5", "is not a network in which hosts of a VPN have addresses"},
		{"vpn_ip6 = fd09::1\nnetwork6 = fe80::/64", "is not a network in which hosts of a VPN have addresses"},
		{"vpn_ip6 = fd09::" + network, "the address of all its routers"},
		{"vpn_ip6 = fd09::1", "vpn_ip6 is set, and network6 is not"},
		{"network6 = fd09::/64", "network6 is set, and vpn_ip6 is not"},
		{"vpn_ip6 = fd09::1" + network + "\n[NETWORK]\ntun_mtu = 1279", "tun_mtu = 1279: IPv6 needs at least 1280 bytes"},
	} {
		_, _, err := ParseClient("f", []byte(withVPN(c.lines)))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "hint: ") || !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("%q: %v, want %q, with its place and a hint", c.lines, err, c.want)
		}
	}
}

// TestIPv6Odd: a network with an address in it is taken, and it is said which.
func TestIPv6Odd(t *testing.T) {
	cfg, problems, err := ParseClient("f", []byte(withVPN("vpn_ip6 = fd09::1\nnetwork6 = fd09::1/64")))
	if err != nil || len(problems) != 1 || !strings.Contains(list(problems), "the network in use is fd09::/64") || cfg.Network6.String() != "fd09::/64" {
		t.Errorf("%v, problems:\n%s", err, list(problems))
	}
}
