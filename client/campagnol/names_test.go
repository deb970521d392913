package main

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/client"
	"campagnol/conf"
)

func addrsIn(texts string) (list []netip.Addr) {
	for _, s := range strings.Fields(texts) {
		list = append(list, netip.MustParseAddr(s))
	}
	return list
}

func waysIn(texts string) (list []netip.AddrPort) {
	for _, s := range strings.Fields(texts) {
		list = append(list, netip.MustParseAddrPort(s))
	}
	return list
}

// TestWaysOf: of what a name has, the families are tried in turn, as far as the socket
// reaches them.
func TestWaysOf(t *testing.T) {
	for _, c := range []struct{ name, ips, bind, want string }{
		{"one", "192.0.2.1", "0.0.0.0", "192.0.2.1:7"},
		{"in turn", "2001:db8::1 2001:db8::2 2001:db8::3 192.0.2.1", "::", "192.0.2.1:7 [2001:db8::1]:7 [2001:db8::2]:7 [2001:db8::3]:7"},
		{"IPv4 first", "192.0.2.1 192.0.2.2 2001:db8::1", "::", "192.0.2.1:7 [2001:db8::1]:7 192.0.2.2:7"},
		{"an IPv4 socket", "2001:db8::1 192.0.2.1", "0.0.0.0", "192.0.2.1:7"},
		{"bound to an IPv6 address", "2001:db8::1 192.0.2.1", "2001:db8::9", "[2001:db8::1]:7"},
		{"mapped, and twice", "::ffff:192.0.2.1 192.0.2.1", "::", "192.0.2.1:7"},
		{"nothing of use", "2001:db8::1", "192.0.2.9", ""},
		{"nothing", "", "::", ""},
	} {
		cfg := &conf.Client{ServerHost: "a", ServerPort: 7}
		got, err := resolveServers(t.Context(), cfg, netip.MustParseAddr(c.bind), book(map[string]string{"a": c.ips}), always)
		var ways []netip.AddrPort
		if err == nil {
			ways = got[0].Addrs
		}
		if want := waysIn(c.want); !slices.Equal(ways, want) {
			t.Errorf("%s: %v, %v, want %v", c.name, ways, err, want)
		}
	}
}

// always is a host that has a way to every address.
func always(netip.Addr) bool { return true }

// book is a name server.
func book(names map[string]string) finder {
	return func(_ context.Context, _, host string) ([]netip.Addr, error) {
		if text, ok := names[host]; ok {
			return addrsIn(text), nil
		}
		return nil, errors.New("no such host")
	}
}

// TestResolveServers: servers whose names cannot be resolved are left out, unless none
// can.
func TestResolveServers(t *testing.T) {
	cfg := &conf.Client{File: "x.conf", ServerHost: "a", ServerPort: 1, MoreServers: []conf.Server{{Host: "B", Port: 2}, {Host: "c", Port: 3}}}
	find := book(map[string]string{"a": "192.0.2.1", "c": "192.0.2.3 192.0.2.4"})
	got, err := resolveServers(t.Context(), cfg, netip.IPv4Unspecified(), find, always)
	if err != nil || len(got) != 2 || got[0].Name != "a:1" || got[1].Name != "c:3" || !slices.Equal(got[1].Addrs, waysIn("192.0.2.3:3 192.0.2.4:3")) {
		t.Errorf("%v, %v", got, err)
	}
	_, err = resolveServers(t.Context(), cfg, netip.IPv4Unspecified(), book(nil), always)
	if want := `x.conf: server_host "a" cannot be resolved`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
	if _, err := resolveServers(t.Context(), cfg, netip.IPv4Unspecified(), book(map[string]string{"a": "2001:db8::1"}), always); err == nil {
		t.Error("servers that the socket does not reach were taken")
	}
}

// TestServerPorts: one host at two ports is one server with two ways.
func TestServerPorts(t *testing.T) {
	cfg := &conf.Client{ServerHost: "a", ServerPort: 1, MoreServers: []conf.Server{{Host: "b", Port: 2}, {Host: "A", Port: 443}}}
	find := book(map[string]string{"a": "192.0.2.1 2001:db8::1", "b": "192.0.2.2"})
	got, err := resolveServers(t.Context(), cfg, netip.IPv6Unspecified(), find, always)
	want := []client.Server{
		{Name: "a:1", Addrs: waysIn("192.0.2.1:1 [2001:db8::1]:1 192.0.2.1:443 [2001:db8::1]:443")},
		{Name: "b:2", Addrs: waysIn("192.0.2.2:2")},
	}
	if err != nil || !sameServers(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}

// TestNameWatch: names are resolved again for an RDV that is away for a while, then
// less and less often, and every few minutes in any case.
func TestNameWatch(t *testing.T) {
	used := func(name string, registered bool) client.RDVStatus {
		return client.RDVStatus{Name: name, Used: true, Registered: registered}
	}
	good := []client.RDVStatus{used("a", true), used("b", true), {Name: "spare"}}
	bad := []client.RDVStatus{used("a", true), used("b", false), {Name: "spare"}}
	silent := []client.RDVStatus{{Name: "a", Used: true, Registered: true, Silent: true}}
	for _, c := range []struct {
		name    string
		state   func(s int) []client.RDVStatus
		missing bool
		want    []int // seconds
	}{
		{"all is well", func(int) []client.RDVStatus { return good }, false, []int{300, 600, 900}},
		{"one is away", func(int) []client.RDVStatus { return bad }, false, []int{10, 30, 70, 150, 310, 610}},
		{"one is silent", func(int) []client.RDVStatus { return silent }, false, []int{10, 30, 70, 150, 310, 610}},
		{"a name had no address", func(int) []client.RDVStatus { return good }, true, []int{10, 30, 70, 150, 310, 610}},
		{"away for a moment", func(s int) []client.RDVStatus {
			if s%20 < 10 {
				return bad
			}
			return good
		}, false, []int{300, 600, 900}},
		{"back again", func(s int) []client.RDVStatus {
			if s < 40 || s >= 100 {
				return bad
			}
			return good
		}, false, []int{10, 30, 110, 130, 170, 250, 410, 710}},
	} {
		var w nameWatch
		var got []int
		for s := 0; s <= 900; s += 5 {
			if w.due(noon.Add(time.Duration(s)*time.Second), c.state(s), c.missing) {
				got = append(got, s)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: at %v, want %v", c.name, got, c.want)
		}
	}
}

// TestMergeServers: what name servers say now, without what only their order changes,
// and without a loss of what works.
func TestMergeServers(t *testing.T) {
	cfg := &conf.Client{ServerHost: "a", ServerPort: 1, MoreServers: []conf.Server{{Host: "b", Port: 1}}}
	server := func(name, ways string) client.Server { return client.Server{Name: name, Addrs: waysIn(ways)} }
	at := netip.MustParseAddrPort("192.0.2.1:1")
	for _, c := range []struct {
		name          string
		before, found []client.Server
		state         []client.RDVStatus
		want          []client.Server
	}{
		{"another order", []client.Server{server("a:1", "192.0.2.1:1 192.0.2.2:1")}, []client.Server{server("a:1", "192.0.2.2:1 192.0.2.1:1")}, nil,
			[]client.Server{server("a:1", "192.0.2.1:1 192.0.2.2:1")}},
		{"moved", []client.Server{server("a:1", "192.0.2.1:1")}, []client.Server{server("a:1", "192.0.2.3:1")}, nil,
			[]client.Server{server("a:1", "192.0.2.3:1")}},
		{"moved while it answers", []client.Server{server("a:1", "192.0.2.1:1")}, []client.Server{server("a:1", "192.0.2.3:1")},
			[]client.RDVStatus{{Name: "a:1", Addr: at, Registered: true}}, []client.Server{server("a:1", "192.0.2.1:1 192.0.2.3:1")}},
		{"moved, and silent", []client.Server{server("a:1", "192.0.2.1:1")}, []client.Server{server("a:1", "192.0.2.3:1")},
			[]client.RDVStatus{{Name: "a:1", Addr: at, Registered: true, Silent: true}}, []client.Server{server("a:1", "192.0.2.3:1")}},
		{"not found any more", []client.Server{server("a:1", "192.0.2.1:1")}, []client.Server{server("b:1", "192.0.2.9:1")}, nil,
			[]client.Server{server("a:1", "192.0.2.1:1"), server("b:1", "192.0.2.9:1")}},
		{"found for the first time", []client.Server{server("b:1", "192.0.2.9:1")}, []client.Server{server("a:1", "192.0.2.1:1")}, nil,
			[]client.Server{server("a:1", "192.0.2.1:1"), server("b:1", "192.0.2.9:1")}},
	} {
		if got := merge(cfg, c.before, c.found, c.state); !sameServers(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestFamilyOf: what a socket cannot reach is not asked for.
func TestFamilyOf(t *testing.T) {
	for bind, want := range map[string]family{"0.0.0.0": onlyIPv4, "192.0.2.1": onlyIPv4, "::": anyFamily, "2001:db8::1": onlyIPv6} {
		if got := familyOf(netip.MustParseAddr(bind)); got != want {
			t.Errorf("bound to %s: %s, want %s", bind, got, want)
		}
	}
}

// TestHasNames: what is given by addresses alone is never resolved.
func TestHasNames(t *testing.T) {
	for host, want := range map[string]bool{"192.0.2.1": false, "2001:db8::1": false, "rdv.example.org": true} {
		cfg := &conf.Client{ServerHost: "192.0.2.9", MoreServers: []conf.Server{{Host: host}}}
		if got := hasNames(cfg); got != want {
			t.Errorf("%s: %v, want %v", host, got, want)
		}
	}
	if ips, err := lookupHost(t.Context(), "ip", "::ffff:192.0.2.1"); err != nil || !slices.Equal(ips, addrsIn("192.0.2.1")) {
		t.Errorf("an address has the addresses %v, %v", ips, err)
	}
}
