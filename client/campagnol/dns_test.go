package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/names"
)

// dnsConf is a configuration with names.
func dnsConf() *conf.Client {
	return &conf.Client{DNSDomain: "vpn.example", VPNIP: netip.MustParseAddr("10.9.0.1"), Network: netip.MustParsePrefix("10.9.0.0/24"),
		VPNIP6: netip.MustParseAddr("fd09::1"), Network6: netip.MustParsePrefix("fd09::/64")}
}

// TestDNSAllowed: this host may ask, peers if they are served, and others never.
func TestDNSAllowed(t *testing.T) {
	for _, c := range []struct {
		from         string
		alone, peers bool
	}{
		{"10.9.0.1", true, true},
		{"fd09::1", true, true},
		{"127.0.0.1", true, true},
		{"::1", true, true},
		{"10.9.0.2", false, true},
		{"fd09::2", false, true},
		{"192.168.1.5", false, false},
		{"10.9.1.1", false, false},
		{"fd0a::1", false, false},
	} {
		for _, serve := range []bool{false, true} {
			cfg := dnsConf()
			cfg.DNSServe = serve
			want := c.alone
			if serve {
				want = c.peers
			}
			if got := allowed(cfg)(netip.MustParseAddr(c.from)); got != want {
				t.Errorf("%s may ask: %v, with dns_serve = %v; want %v", c.from, got, serve, want)
			}
		}
	}
	if allowed(dnsConf())(netip.Addr{}) {
		t.Error("nobody may ask")
	}
}

func TestDNSAddrs(t *testing.T) {
	cfg := dnsConf()
	if got := fmt.Sprint(dnsAddrs(cfg)); got != "[10.9.0.1:53 [fd09::1]:53]" {
		t.Errorf("with IPv6: %s", got)
	}
	cfg.VPNIP6, cfg.Network6 = netip.Addr{}, netip.Prefix{}
	if got := fmt.Sprint(dnsAddrs(cfg), vpnNetworks(cfg)); got != "[10.9.0.1:53] [10.9.0.0/24]" {
		t.Errorf("without: %s", got)
	}
}

// TestListenHint: what to do depends on why the port cannot be had.
func TestListenHint(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("names: %w", syscall.EACCES), "CAP_NET_BIND_SERVICE"},
		{fmt.Errorf("names: %w", syscall.EADDRINUSE), "bind-interfaces"},
		{errors.New("something"), "tried again"},
	} {
		if got := listenHint(c.err); !strings.Contains(got, c.want) {
			t.Errorf("%v: %q, want %q in it", c.err, got, c.want)
		}
	}
}

// TestNamerZone: this host has its name, whatever others say, also by the name of a
// configuration that was read again.
func TestNamerZone(t *testing.T) {
	var log bytes.Buffer
	s := newNamer("tun0", dnsConf(), "north", slog.New(slog.NewTextHandler(&log, nil)))
	told := []names.Entry{{Name: "north", Addrs: []netip.Addr{netip.MustParseAddr("10.9.0.7")}}, {Name: "bad name", Addrs: []netip.Addr{netip.MustParseAddr("10.9.0.8")}}}
	z := s.zone(told)
	if got := fmt.Sprint(z.Resolve("north.vpn.example")); got != "[10.9.0.1 fd09::1]" {
		t.Errorf("got %s", got)
	}
	for range 3 {
		for _, p := range z.Problems() {
			s.once("A member has no name", p, "")
		}
	}
	if n := strings.Count(log.String(), "A member has no name"); n != 2 {
		t.Errorf("%d lines for two problems:\n%s", n, &log)
	}
	for i := range 5000 {
		s.once("More", fmt.Sprint(i), "")
	}
	if n := strings.Count(log.String(), "More"); n > 1000 {
		t.Errorf("%d lines of the log are others' to fill", n)
	}
	next := dnsConf()
	next.DNSDomain = "other.example"
	s.set(next, "south")
	if got := fmt.Sprint(s.zone(nil).Resolve("south.other.example")); got != "[10.9.0.1 fd09::1]" {
		t.Errorf("after a reload: %s", got)
	}
}

// TestStrangers: gateways that a server names are met once in a while, if nothing is
// known of them, and a server that invents some does not make us meet all.
func TestStrangers(t *testing.T) {
	k, _, _, _ := keeping(t)
	k.take([]client.Gateway{gatewayTo("10.9.0.2", "172.20.0.0/16")})
	member := func(gateway bool, list ...string) (m client.ListedMember) {
		m.Gateway = gateway
		for _, a := range list {
			m.Addrs = append(m.Addrs, netip.MustParseAddr(a))
		}
		return m
	}
	members := []client.ListedMember{member(true, "10.9.0.2"), member(true, "10.9.0.3", "fd09::3"), member(false, "10.9.0.4"), member(true, "fd09::5"), member(true)}
	now := time.Unix(1e9, 0)
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{0, "[10.9.0.3]"}, {time.Minute, "[]"}, {meetAgain, "[10.9.0.3]"}} {
		now = now.Add(c.after)
		if got := fmt.Sprint(k.strangers(now, members)); got != c.want {
			t.Errorf("after %v: %s, want %s", c.after, got, c.want)
		}
	}
	for i := range 1000 {
		members = append(members, member(true, netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}).String()))
	}
	if n := len(k.strangers(now, members)); n > 64 || len(k.met) > 64 {
		t.Errorf("%d are met, %d remembered", n, len(k.met))
	}
}

// TestLookupMember: "lookup" finds members by name, also without a domain.
func TestLookupMember(t *testing.T) {
	for _, domain := range []string{"", "vpn.example"} {
		cfg := dnsConf()
		cfg.DNSDomain = domain
		s := newNamer("tun0", cfg, "north", nil)
		if got := fmt.Sprint(s.zone(nil).Resolve("north")); got != "[10.9.0.1 fd09::1]" {
			t.Errorf("domain %q: %s", domain, got)
		}
		if a, err := s.lookup(t.Context(), nil, "10.9.0.9"); err != nil || fmt.Sprint(a) != "[10.9.0.9]" {
			t.Errorf("an address: %v, %v", a, err)
		}
	}
}
