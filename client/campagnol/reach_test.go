package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/punch"
	"campagnol/punch/local"
)

func state(source4 string, list ...string) (s local.State) {
	if source4 != "" {
		s.Source4 = netip.MustParseAddr(source4)
	}
	for _, a := range list {
		s.Addrs = append(s.Addrs, netip.MustParseAddr(a))
	}
	return s
}

// TestHosts: which of this host's addresses peers are told.
func TestHosts(t *testing.T) {
	all := state("192.168.1.2", "192.168.1.2", "2001:db8::2", "172.16.0.2")
	for _, c := range []struct {
		name, bind, override string
		edit                 func(*conf.Client)
		want                 string
	}{
		{"IPv4 sockets", "0.0.0.0:0", "", nil, "192.168.1.2:5000 172.16.0.2:5000"},
		{"sockets of both families", "[::]:0", "", nil, "192.168.1.2:5000 [2001:db8::2]:5000 172.16.0.2:5000"},
		{"bound to an address", "172.16.0.2:0", "", nil, "172.16.0.2:5000"},
		{"bound to one that the host has not", "172.16.0.3:0", "", nil, ""},
		{"use_local_addr = no", "[::]:0", "", func(c *conf.Client) { c.UseLocalAddr = false }, ""},
		{"override_local_addr", "[::]:0", "198.51.100.7:4444", nil, "[2001:db8::2]:5000"},
		{"override_local_addr, IPv4 sockets", "0.0.0.0:0", "198.51.100.7:4444", nil, ""},
	} {
		a := &addresses{bind: netip.MustParseAddrPort(c.bind)}
		if c.override != "" {
			a.override = netip.MustParseAddrPort(c.override)
		}
		cfg := &conf.Client{UseLocalAddr: true}
		if c.edit != nil {
			c.edit(cfg)
		}
		var got []string
		for _, n := range a.hosts(cfg, all, 5000) {
			if n.Kind != punch.Host || n.Scope != "" {
				t.Errorf("%s: %+v", c.name, n)
			}
			got = append(got, n.Addr.String())
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
}

// TestConfigured: a port of 0 is that of the socket.
func TestConfigured(t *testing.T) {
	cfg := &conf.Client{ExternalAddrs: []conf.External{
		{Addr: netip.MustParseAddrPort("192.0.2.5:4444")},
		{Addr: netip.MustParseAddrPort("[2001:db8::5]:0"), Scope: "office"},
	}}
	want := []punch.Candidate{
		{Addr: netip.MustParseAddrPort("192.0.2.5:4444"), Kind: punch.Configured},
		{Addr: netip.MustParseAddrPort("[2001:db8::5]:5000"), Kind: punch.Configured, Scope: "office"},
	}
	if got := configured(cfg, 5000); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestMoved: when the address that the server is told is another one.
func TestMoved(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*conf.Client)
		now  local.State
		want string
	}{
		{"nothing", nil, state("192.168.1.2", "192.168.1.2"), ""},
		{"another address", nil, state("172.16.0.2", "172.16.0.2"), "172.16.0.2"},
		{"none any more", nil, state(""), ""},
		{"another beside it", nil, state("192.168.1.2", "192.168.1.2", "172.16.0.2"), ""},
		{"local_host", func(c *conf.Client) { c.LocalHost = "192.168.1.2" }, state("172.16.0.2", "172.16.0.2"), ""},
		{"of the interface", func(c *conf.Client) { c.Interface = "eth1" }, state("192.168.1.2", "2001:db8::2", "172.16.0.2"), "172.16.0.2"},
		{"of the interface, none", func(c *conf.Client) { c.Interface = "eth1" }, state("192.168.1.3"), ""},
	} {
		cfg := &conf.Client{UseLocalAddr: true}
		if c.edit != nil {
			c.edit(cfg)
		}
		before := &addresses{servers: client.At(netip.MustParseAddrPort("198.51.100.1:57888")), local: netip.MustParseAddr("192.168.1.2")}
		next, moved := before.moved(cfg, c.now)
		if got := fmt.Sprint(next.local); moved != (c.want != "") || moved && got != c.want || !moved && next != before {
			t.Errorf("%s: %v, %s, want %q", c.name, moved, got, c.want)
		}
		if before.local.String() != "192.168.1.2" {
			t.Errorf("%s: what was before is changed", c.name)
		}
	}
	six := &addresses{servers: client.At(netip.MustParseAddrPort("[2001:db8::1]:57888")), local: netip.MustParseAddr("2001:db8::2")}
	now := state("192.168.1.2", "192.168.1.2", "2001:db8::3")
	now.Source6 = netip.MustParseAddr("2001:db8::3")
	if next, moved := six.moved(&conf.Client{}, now); !moved || next.local != now.Source6 {
		t.Errorf("with an IPv6 server: %v, %v", next.local, moved)
	}
}
