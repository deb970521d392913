package device

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"campagnol/tunnel/segment"
)

// addLAN gives the namespace an interface with an address, and routes over it: each
// is a network, or a network, "via" and a router.
func addLAN(t *testing.T, nl *netlink.Handle, name, addr string, routes ...string) netlink.Link {
	t.Helper()
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}
	a, err := netlink.ParseAddr(addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := nl.LinkAdd(link); err != nil {
		t.Fatal(err)
	}
	far, err := nl.LinkByName(link.PeerName)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(nl.AddrAdd(link, a), nl.LinkSetUp(link), nl.LinkSetUp(far)); err != nil {
		t.Fatal(err)
	}
	for _, text := range routes {
		network, router, _ := strings.Cut(text, " via ")
		r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(netip.MustParsePrefix(network)), Priority: 50}
		if router != "" {
			r.Gw = netip.MustParseAddr(router).AsSlice()
		} else {
			r.Scope = unix.RT_SCOPE_LINK
		}
		if err := nl.RouteAdd(r); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return link
}

// behind returns routes to networks, from the usual address.
func behind(metric int, networks ...string) (list []Route) {
	for _, n := range networks {
		list = append(list, Route{Network: netip.MustParsePrefix(n), Source: vpnAddr, Metric: metric})
	}
	return list
}

// mustRoute sets routes, and wants none to be left out.
func mustRoute(t *testing.T, k *Kernel, want []Route) {
	t.Helper()
	problems, err := k.SetRoutes(want)
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v: %v, %v", want, problems, err)
	}
}

const usualState = "mtu 1419 up true; 10.9.0.1/32 brd 10.9.0.255; route 10.9.0.0/24 src 10.9.0.1"

func TestSetRoutes(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	k := configured(t, usual)
	mustRoute(t, k, nil)
	for _, c := range []struct {
		want  []Route
		state string
	}{
		{behind(0, "172.20.1.0/24"), "; route 172.20.1.0/24 src 10.9.0.1"},
		{behind(0, "172.20.1.0/24", "172.20.0.0/16"), "; route 172.20.0.0/16 src 10.9.0.1; route 172.20.1.0/24 src 10.9.0.1"},
		{behind(7, "172.20.1.0/24"), "; route 172.20.1.0/24 src 10.9.0.1"},
		{nil, ""},
	} {
		for range 2 { // the second time changes nothing
			mustRoute(t, k, c.want)
			if got := state(t, nl, "tun0"); got != usualState+c.state {
				t.Errorf("%v: state %q, want %q", c.want, got, usualState+c.state)
			}
		}
		list, err := k.routesTo(ipNet(netip.MustParsePrefix("172.20.1.0/24")), netlink.FAMILY_V4)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.want) > 0 && (len(list) != 1 || list[0].Priority != c.want[0].Metric) {
			t.Errorf("routes %v, want one of metric %d", list, c.want[0].Metric)
		}
	}
}

// TestSetRoutesAgain: routes that somebody has removed, or that went while the
// interface was down, come back; and one that was set by hand stays when ours go.
func TestSetRoutesAgain(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	k := configured(t, usual)
	byHand := &netlink.Route{LinkIndex: k.index, Dst: ipNet(netip.MustParsePrefix("172.21.0.0/16")), Scope: unix.RT_SCOPE_LINK}
	if err := nl.RouteAdd(byHand); err != nil {
		t.Fatal(err)
	}
	want := behind(0, "172.20.0.0/16", "172.21.0.0/16")
	mustRoute(t, k, want)
	full := usualState + "; route 172.20.0.0/16 src 10.9.0.1; route 172.21.0.0/16 src <nil>"
	if got := state(t, nl, "tun0"); got != full {
		t.Errorf("state %q, want %q", got, full)
	}
	if err := nl.RouteDel(k.netlinkRoute(want[0])); err != nil {
		t.Fatal(err)
	}
	mustRoute(t, k, want)
	if got := state(t, nl, "tun0"); got != full {
		t.Errorf("somebody has removed a route: state %q, want %q", got, full)
	}
	mustRoute(t, k, nil)
	if got, want := state(t, nl, "tun0"), usualState+"; route 172.21.0.0/16 src <nil>"; got != want {
		t.Errorf("nothing is wanted: state %q, want %q", got, want)
	}
	mustRoute(t, k, want)
	if err := errors.Join(nl.LinkSetDown(k.ref()), nl.LinkSetUp(k.ref())); err != nil {
		t.Fatal(err)
	}
	mustRoute(t, k, want)
	if got, want := state(t, nl, "tun0"), "172.20.0.0/16 src 10.9.0.1"; !strings.Contains(got, want) {
		t.Errorf("the interface was down: state %q, want %q in it", got, want)
	}
}

// TestRouteConflicts: nothing is taken away that this host reaches by others.
func TestRouteConflicts(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	addLAN(t, nl, "lan0", "192.168.1.5/24", "0.0.0.0/0 via 192.168.1.1", "10.50.0.0/16 via 192.168.1.2", "172.16.5.0/24", "172.16.6.0/24 via 172.16.5.1")
	k := configured(t, usual)
	for _, c := range []struct {
		network string
		metric  int
		why     string // "": there is a route
	}{
		{"10.60.0.0/16", 0, ""},
		{"10.50.0.0/16", 0, "interface lan0 has a route there already"},
		{"10.50.0.0/16", 49, "interface lan0 has a route there already"},
		{"10.50.0.0/16", 51, ""}, // behind the other one
		{"10.0.0.0/8", 0, ""},    // the more specific one goes before it
		{"10.50.7.0/24", 0, ""},  // over a router: a part of it may be elsewhere
		{"192.168.1.0/24", 0, "192.168.1.1 in it is a router of this host"},
		{"192.168.1.0/24", 1, ""}, // that of the link goes before it
		{"192.168.1.128/25", 0, "it is a part of 192.168.1.0/24, which is on the link of interface lan0"},
		{"192.168.1.5/32", 0, "it is a part of 192.168.1.0/24"},
		{"192.168.0.0/16", 0, ""}, // 192.168.1.0/24 goes before it, and the router is there
		{"172.16.5.0/30", 0, "it is a part of 172.16.5.0/24"},
		{"172.16.0.0/12", 0, ""},
		{"0.0.0.0/1", 0, ""}, // what is as wide as that the client does not take
	} {
		problems, err := k.SetRoutes(behind(c.metric, c.network))
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(problems)
		if c.why == "" && len(problems) > 0 || c.why != "" && !strings.Contains(got, c.why) {
			t.Errorf("%s, metric %d: %s, want %q", c.network, c.metric, got, c.why)
		}
		has := strings.Contains(state(t, nl, "tun0"), "route "+c.network+" ")
		if want := c.why == ""; has != want {
			t.Errorf("%s: there is a route: %v, want %v", c.network, has, want)
		}
	}
}

// TestRouterNotSwallowed: a router that is reached by a host route of this host, as
// some providers have it, stays.
func TestRouterNotSwallowed(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	link := addLAN(t, nl, "wan0", "203.0.113.9/32")
	// A router on the link that no route leads to: the kernel is told so.
	err := nl.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: netip.MustParseAddr("198.18.0.1").AsSlice(), Flags: int(netlink.FLAG_ONLINK),
		Dst: ipNet(netip.MustParsePrefix("0.0.0.0/0"))})
	if err != nil {
		t.Fatal(err)
	}
	k := configured(t, usual)
	problems, err := k.SetRoutes(behind(0, "198.18.0.0/15"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(problems), "198.18.0.1 in it is a router of this host"; !strings.Contains(got, want) {
		t.Errorf("got %s, want %q", got, want)
	}
}

// TestConflictLater: a route that was made gives way to one that another interface
// gets later.
func TestConflictLater(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	k := configured(t, usual)
	want := behind(0, "192.168.1.0/24")
	mustRoute(t, k, want)
	addLAN(t, nl, "lan0", "192.168.1.5/24")
	problems, err := k.SetRoutes(want)
	if err != nil || len(problems) != 1 {
		t.Fatalf("%v, %v; want one problem", problems, err)
	}
	if !errors.Is(problems[0], unix.EEXIST) {
		t.Errorf("%v is not EEXIST", problems[0])
	}
	if got := state(t, nl, "tun0"); got != usualState {
		t.Errorf("state %q, want %q", got, usualState)
	}
}

func TestSetRoutesIPv6(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	k := mustOpen(t, Config{})
	ip6 := Settings{Addr: netip.MustParseAddr("fd09::1"), Network: netip.MustParsePrefix("fd09::/64")}
	if err := k.Configure(usual, ip6); err != nil {
		t.Fatal(err)
	}
	r := Route{Network: netip.MustParsePrefix("fd00:7::/48"), Source: ip6.Addr}
	mustRoute(t, k, []Route{r})
	mustRoute(t, k, []Route{r})
	if got, want := state(t, nl, "tun0"), "route fd00:7::/48 src fd09::1"; !strings.Contains(got, want) {
		t.Errorf("state %q, want %q in it", got, want)
	}
	addLAN(t, nl, "lan0", "fd00:8::5/64")
	r.Network = netip.MustParsePrefix("fd00:8::/64")
	problems, err := k.SetRoutes([]Route{r})
	if err != nil || len(problems) != 0 { // that of the kernel for an address goes before ours
		t.Errorf("%v, %v", problems, err)
	}
	r.Metric = 1
	if problems, err = k.SetRoutes([]Route{r}); err != nil || len(problems) != 1 {
		t.Errorf("a better metric than that of the link: %v, %v", problems, err)
	}
}

// TestRoutesOfPersistent: an interface that stays loses what was added to it.
func TestRoutesOfPersistent(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	if err := nl.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tun7"}, Mode: netlink.TUNTAP_MODE_TUN}); err != nil {
		t.Fatal(err)
	}
	k := mustOpen(t, Config{Name: "tun7"})
	if err := k.Configure(usual); err != nil {
		t.Fatal(err)
	}
	mustRoute(t, k, behind(0, "172.20.0.0/16"))
	before := sysctl("ipv4/conf/tun7/forwarding")
	if _, err := k.SetForwarding(false); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if got := state(t, nl, "tun7"); strings.Contains(got, "172.20") {
		t.Errorf("state %q after Close", got)
	}
	if got := sysctl("ipv4/conf/tun7/forwarding"); got != before {
		t.Errorf("forwarding is %q after Close, was %q", got, before)
	}
	if _, err := k.SetRoutes(behind(0, "172.20.0.0/16")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := k.SetForwarding(false); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestNoRoutesOfEthernet(t *testing.T) {
	t.Parallel()
	enter(t)
	k := mustOpen(t, Config{Link: segment.Ethernet})
	if _, err := k.SetRoutes(behind(0, "172.20.0.0/16")); !errors.Is(err, errNoRoutes) {
		t.Errorf("got %v, want %v", err, errNoRoutes)
	}
}

// TestForwarding: forwarding is switched on for the interface alone, and it is said
// what else is missing.
func TestForwarding(t *testing.T) {
	t.Parallel()
	enter(t)
	k := configured(t, usual)
	set := func(key, value string) {
		t.Helper()
		if err := os.WriteFile(sysctls+key, []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		all, all6, filter string
		ip6               bool
		want              []string
	}{
		{"1", "1", "0", true, nil},
		{"0", "1", "0", true, []string{"IPv4 packets of hosts behind this one"}},
		{"1", "0", "0", false, nil},
		{"1", "0", "0", true, []string{"IPv6 packets are not forwarded"}},
		{"1", "1", "1", false, []string{"rp_filter is 1"}},
		{"1", "1", "2", false, nil},
	} {
		set("ipv4/conf/all/forwarding", c.all)
		set("ipv6/conf/all/forwarding", c.all6)
		set("ipv4/conf/all/rp_filter", c.filter)
		set("ipv4/conf/tun0/rp_filter", "0")
		set("ipv4/conf/tun0/forwarding", "0")
		odd, err := k.SetForwarding(c.ip6)
		if err != nil {
			t.Fatal(err)
		}
		if len(odd) != len(c.want) || !slices.EqualFunc(odd, c.want, func(e error, want string) bool { return strings.Contains(e.Error(), want) }) {
			t.Errorf("%+v: %v", c, odd)
		}
		if got := sysctl("ipv4/conf/tun0/forwarding"); got != "1" {
			t.Errorf("%+v: forwarding of the interface is %q", c, got)
		}
		if got := sysctl("ipv4/conf/all/forwarding"); got != c.all {
			t.Errorf("%+v: forwarding of all is %q", c, got)
		}
		if err := k.ClearForwarding(); err != nil {
			t.Fatal(err)
		}
		if got := sysctl("ipv4/conf/tun0/forwarding"); got != "0" {
			t.Errorf("%+v: forwarding of the interface is %q afterwards", c, got)
		}
	}
}
