package device

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestConfigureBoth goes through settings of both families, each of which has to leave
// nothing of the one before.
func TestConfigureBoth(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	k := mustOpen(t, Config{})
	six := func(addr, network string) Settings {
		return Settings{Addr: netip.MustParseAddr(addr), Network: netip.MustParsePrefix(network)}
	}
	const four = "10.9.0.1/32 brd 10.9.0.255; "
	const route4 = "route 10.9.0.0/24 src 10.9.0.1"
	for _, c := range []struct {
		name string
		more []Settings
		want string
	}{
		{"IPv4 alone", nil, four + route4},
		{"both", []Settings{six("fd09::1", "fd09::/64")}, four + "fd09::1/128 brd <nil>; " + route4 + "; route fd09::/64 src fd09::1"},
		{"both again", []Settings{six("fd09::1", "fd09::/64")}, four + "fd09::1/128 brd <nil>; " + route4 + "; route fd09::/64 src fd09::1"},
		{"another network", []Settings{six("fd09::1", "fd09::/48")}, four + "fd09::1/128 brd <nil>; " + route4 + "; route fd09::/48 src fd09::1"},
		{"another address", []Settings{six("fd09::7", "fd09::/48")}, four + "fd09::7/128 brd <nil>; " + route4 + "; route fd09::/48 src fd09::7"},
		{"a network of one", []Settings{six("fd09::7", "fd09::7/128")}, four + "fd09::7/128 brd <nil>; " + route4},
		{"two of IPv6", []Settings{six("fd09::7", "fd09::/64"), six("fd08::7", "fd08::/64")},
			four + "fd08::7/128 brd <nil>; fd09::7/128 brd <nil>; " + route4 + "; route fd08::/64 src fd08::7; route fd09::/64 src fd09::7"},
		{"IPv4 alone again", nil, four + route4},
	} {
		if err := k.Configure(usual, c.more...); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got := state(t, nl, "tun0")
		for _, own := range []string{"fd09::1", "fd09::7", "fd08::7"} { // routes of the kernel's
			got = strings.ReplaceAll(got, "; route "+own+"/128 src <nil>", "")
		}
		if want := "mtu 1419 up true; " + c.want; got != want {
			t.Errorf("%s: state %q, want %q", c.name, got, want)
		}
	}
	link, err := nl.LinkByName("tun0")
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Configure(usual, six("fd09::1", "fd09::/64")); err != nil {
		t.Fatal(err)
	}
	addrs, err := nl.AddrList(link, netlink.FAMILY_V6)
	if err != nil || len(addrs) != 1 || addrs[0].Flags&unix.IFA_F_TENTATIVE != 0 {
		t.Errorf("addresses %v, %v, want one that is not asked about", addrs, err)
	}
	err = k.Configure(usual, Settings{})
	if err == nil || !strings.Contains(err.Error(), "no VPN address") {
		t.Errorf("a second address that is none: %v", err)
	}
}

// TestConfigureWithoutIPv6: where IPv6 is switched off, it is said, and IPv4 works.
func TestConfigureWithoutIPv6(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	k := mustOpen(t, Config{})
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/tun0/disable_ipv6", []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := k.Configure(usual, Settings{Addr: netip.MustParseAddr("fd09::1"), Network: netip.MustParsePrefix("fd09::/64")})
	if !errors.Is(err, unix.EOPNOTSUPP) || !strings.Contains(err.Error(), "IPv6 is switched off") || strings.Contains(err.Error(), "root") {
		t.Errorf("error %v, want that IPv6 is switched off", err)
	}
	if err := k.Configure(usual); err != nil {
		t.Error(err)
	}
	if got, want := state(t, nl, "tun0"), "mtu 1419 up true; 10.9.0.1/32 brd 10.9.0.255; route 10.9.0.0/24 src 10.9.0.1"; got != want {
		t.Errorf("state %q, want %q", got, want)
	}
}
