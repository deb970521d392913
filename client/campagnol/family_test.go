package main

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"campagnol/conf"
)

// TestFindAddressesIPv6: everything of one family, and what does not fit together.
func TestFindAddressesIPv6(t *testing.T) {
	for _, c := range []struct {
		name                string
		server, local       string
		auth                conf.Auto
		wantServer, wantIP  string // or
		wantBind, wantError string
	}{
		{"the kernel's choice", "::1", "", conf.AutoAuto, "[::1]:57888", "::1", "[::]:0", ""},
		{"local_host", "::1", "::1", conf.AutoYes, "[::1]:57888", "::1", "[::1]:0", ""},
		{"all addresses", "::1", "::", conf.AutoYes, "[::1]:57888", "::", "[::]:0", ""},
		{"all addresses, and IPv4", "127.0.0.1", "::", conf.AutoNo, "127.0.0.1:57888", "::", "[::]:0", ""},
		{"mapped", "::ffff:127.0.0.1", "", conf.AutoNo, "127.0.0.1:57888", "127.0.0.1", "[::]:0", ""},
		{"IPv4 socket", "::1", "127.0.0.1", conf.AutoAuto, "", "", "", `server_host "::1" is not an IPv4 address`},
		{"all of IPv4", "::1", "0.0.0.0", conf.AutoAuto, "", "", "", `server_host "::1" is not an IPv4 address`},
		{"IPv6 socket", "127.0.0.1", "::1", conf.AutoAuto, "", "", "", `server_host "127.0.0.1" is not an IPv6 address`},
		{"in clear", "::1", "", conf.AutoNo, "", "", "", `server_host "::1" is not an IPv4 address`},
	} {
		cfg := &conf.Client{File: "x.conf", ServerHost: c.server, ServerPort: 57888, LocalHost: c.local, RDVAuth: c.auth}
		a, err := findAddresses(t.Context(), cfg)
		if c.wantError != "" {
			var h interface{ Hint() string }
			if err == nil || err.Error() != "x.conf: "+c.wantError || !errors.As(err, &h) {
				t.Errorf("%s: %v, want %s, with a hint", c.name, err, c.wantError)
				continue
			}
			why := "local_host is of IPv"
			if c.local == "" {
				why = "rdv_auth = no"
			}
			if !strings.Contains(h.Hint(), why) {
				t.Errorf("%s: hint %q does not say %q", c.name, h.Hint(), why)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if a.last().String() != c.wantServer || a.local.String() != c.wantIP || a.bind.String() != c.wantBind {
			t.Errorf("%s: server %v, local %v, bound to %v; want %s, %s, %s", c.name, a.last(), a.local, a.bind, c.wantServer, c.wantIP, c.wantBind)
		}
	}
}

// TestChoose: which of a server's addresses is used.
func TestChoose(t *testing.T) {
	four, other, mapped := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("::ffff:192.0.2.1")
	six := netip.MustParseAddr("2001:db8::1")
	for _, c := range []struct {
		name   string
		ips    []netip.Addr
		routed []netip.Addr
		want   netip.Addr
	}{
		{"both ways", []netip.Addr{six, four}, []netip.Addr{six, four}, four},
		{"mapped is IPv4", []netip.Addr{six, mapped}, []netip.Addr{six, four}, four},
		{"IPv6 alone is connected", []netip.Addr{four, other, six}, []netip.Addr{six}, six},
		{"the order of the resolver within a family", []netip.Addr{six, other, four}, []netip.Addr{four, other}, other},
		{"not connected yet", []netip.Addr{six, four}, nil, four},
		{"IPv6 alone", []netip.Addr{six}, nil, six},
	} {
		routed := func(a netip.Addr) bool {
			for _, r := range c.routed {
				if r == a {
					return true
				}
			}
			return false
		}
		if got := choose(c.ips, routed); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestFirstOf picks among addresses of both families.
func TestFirstOf(t *testing.T) {
	ipnet := func(s string) net.Addr {
		ip, n, err := net.ParseCIDR(s)
		if err != nil {
			t.Fatal(err)
		}
		n.IP = ip
		return n
	}
	all := []net.Addr{&net.UnixAddr{}, ipnet("fe80::1/64"), ipnet("192.0.2.7/24"), ipnet("192.0.2.8/24"), ipnet("2001:db8::1/64")}
	for f, want := range map[family]string{onlyIPv4: "192.0.2.7", onlyIPv6: "2001:db8::1"} {
		if a, ok := firstOf(f, all); !ok || a.String() != want {
			t.Errorf("%v: %v, %v, want %s", f, a, ok, want)
		}
		if a, ok := firstOf(f, all[:2]); ok {
			t.Errorf("%v: %v from none that is good beyond its link", f, a)
		}
	}
}
