package local

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"campagnol/internal/testenv"
)

// A namespace is a network of its own, which vanishes with the test.
type namespace struct {
	t      *testing.T
	handle netns.NsHandle
	nl     *netlink.Handle
}

func newNamespace(t *testing.T) *namespace {
	t.Helper()
	testenv.Root(t)
	n := &namespace{t: t, handle: netns.None()}
	err := onThread(func() (err error) {
		if n.handle, err = netns.New(); err != nil {
			return err
		}
		n.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() {
		n.nl.Close()
		n.handle.Close()
	})
	n.up("lo")
	return n
}

// onThread runs f on a thread of its own, which ends with f: it may be left in another
// namespace.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		done <- f()
	}()
	return <-done
}

// in runs f in n.
func (n *namespace) in(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(n.handle); err != nil {
			return err
		}
		return f()
	})
}

func (n *namespace) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// cable makes an interface whose other end is in n, too, and is up.
func (n *namespace) cable(name string) {
	n.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	n.must(n.nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "x" + name}))
	n.up("x" + name)
	n.up(name)
}

func (n *namespace) link(name string) netlink.Link {
	n.t.Helper()
	l, err := n.nl.LinkByName(name)
	n.must(err)
	return l
}

func (n *namespace) up(name string) {
	n.t.Helper()
	n.must(n.nl.LinkSetUp(n.link(name)))
}

// assign gives an interface an address, with flags; lifetime 0 makes it deprecated.
func (n *namespace) assign(name, cidr string, flags int, deprecated bool) {
	n.t.Helper()
	addr, err := netlink.ParseAddr(cidr)
	n.must(err)
	addr.Flags = unix.IFA_F_NODAD | flags
	if deprecated {
		addr.ValidLft, addr.PreferedLft = 3600, 0
	}
	n.must(n.nl.AddrAdd(n.link(name), addr))
}

func (n *namespace) unassign(name, cidr string) {
	n.t.Helper()
	addr, err := netlink.ParseAddr(cidr)
	n.must(err)
	n.must(n.nl.AddrDel(n.link(name), addr))
}

// route makes an interface that with the default route, by way of a neighbour.
func (n *namespace) route(name, via string) {
	n.t.Helper()
	r := &netlink.Route{LinkIndex: n.link(name).Attrs().Index, Gw: net.ParseIP(via)}
	n.must(n.nl.RouteReplace(r))
}

// await looks, in n, until the state has these addresses.
func (n *namespace) await(f Filter, want ...string) State {
	n.t.Helper()
	var list []netip.Addr
	for _, w := range want {
		list = append(list, netip.MustParseAddr(w))
	}
	var s State
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		n.must(n.in(func() (err error) { s, err = Look(f); return err }))
		if slices.Equal(s.Addrs, list) {
			return s
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("addresses %s, want %s", join(s.Addrs), join(list))
		}
	}
}

// TestLookInNamespace: what the kernel says of addresses.
func TestLookInNamespace(t *testing.T) {
	n := newNamespace(t)
	n.await(Filter{})
	n.cable("eth0")
	n.cable("eth1")
	n.cable("vpn0")
	n.assign("eth0", "192.168.1.2/24", 0, false)
	n.assign("eth1", "172.16.0.2/24", 0, false)
	n.assign("eth1", "2001:db8::2/64", 0, true)
	n.assign("vpn0", "10.9.0.1/24", 0, false)
	vpn := Filter{Device: "vpn0", Networks: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24")}}
	// A deprecated address counts as long as there is no other. Without a way to the
	// Internet, the interfaces are in their order.
	n.await(vpn, "2001:db8::2", "192.168.1.2", "172.16.0.2")
	n.assign("eth1", "2001:db8::3/64", 0, false)
	n.await(vpn, "2001:db8::3", "192.168.1.2", "172.16.0.2")

	n.route("eth1", "172.16.0.1")
	s := n.await(vpn, "172.16.0.2", "2001:db8::3", "192.168.1.2")
	if got := s.Source4.String(); got != "172.16.0.2" {
		t.Errorf("the kernel sends from %v", got)
	}
	n.route("eth0", "192.168.1.1")
	n.await(vpn, "192.168.1.2", "2001:db8::3", "172.16.0.2")
	n.await(Filter{Device: "vpn0", OnlyIPv4: true}, "192.168.1.2", "172.16.0.2")
	n.await(Filter{Interface: "eth1"}, "2001:db8::3", "172.16.0.2")
	n.await(Filter{}, "192.168.1.2", "2001:db8::3", "172.16.0.2", "10.9.0.1")

	n.must(n.nl.LinkSetDown(n.link("xeth0"))) // the cable is pulled
	n.await(vpn, "2001:db8::3", "172.16.0.2")
	n.must(n.nl.LinkSetDown(n.link("eth1")))
	n.await(vpn)
}

// TestWatcherInNamespace: the kernel's word about addresses, routes and links reaches
// the Watcher, and what does not concern it is not reported.
func TestWatcherInNamespace(t *testing.T) {
	n := newNamespace(t)
	n.cable("eth0")
	n.cable("vpn0")
	n.assign("eth0", "192.168.1.2/24", 0, false)
	filter := Filter{Device: "vpn0", Networks: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24")}}
	n.await(filter, "192.168.1.2")

	reports := make(chan Change, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	w := Watcher{Filter: func() Filter { return filter }, Report: func(c Change) { reports <- c }}
	go func() { done <- n.in(func() error { return w.Run(ctx) }) }()
	// sees waits for a report with these addresses, and of a way that begins like this.
	sees := func(what, source string, want ...string) {
		t.Helper()
		timeout := time.After(20 * time.Second)
		for {
			select {
			case c := <-reports:
				if got := join(c.Addrs); got == joined(want) && strings.HasPrefix(fmt.Sprintf("%v by %v", c.Source4, c.Way4.Gateway), source) {
					return
				}
			case <-timeout:
				t.Fatalf("%s: no report of %s from %s", what, joined(want), source)
			}
		}
	}
	sees("at first", "", "192.168.1.2")
	n.assign("vpn0", "10.9.0.1/24", 0, false)
	n.assign("eth0", "2001:db8::2/64", 0, false)
	sees("a new address", "", "2001:db8::2", "192.168.1.2")
	n.route("eth0", "192.168.1.1")
	sees("a default route", "192.168.1.2 by 192.168.1.1", "192.168.1.2", "2001:db8::2")
	n.must(n.nl.NeighSet(&netlink.Neigh{LinkIndex: n.link("eth0").Attrs().Index, State: netlink.NUD_PERMANENT,
		IP: net.ParseIP("192.168.1.9"), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9}}))
	n.route("eth0", "192.168.1.9")
	sees("another router", "192.168.1.2 by 192.168.1.9", "192.168.1.2", "2001:db8::2")
	n.assign("eth0", "192.168.7.2/24", 0, false)
	sees("another network", "", "192.168.1.2", "2001:db8::2", "192.168.7.2")
	n.unassign("eth0", "192.168.1.2/24")
	sees("the old network is gone", "192.168.7.2", "192.168.7.2", "2001:db8::2")
	n.must(n.nl.LinkSetDown(n.link("xeth0")))
	sees("the cable is pulled", "")
	n.up("xeth0")
	sees("the cable is back", "192.168.7.2", "192.168.7.2", "2001:db8::2")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for len(reports) > 0 {
		if c := <-reports; slices.Contains(c.Addrs, netip.MustParseAddr("10.9.0.1")) {
			t.Errorf("the VPN's own address was reported: %+v", c)
		}
	}
}

func joined(list []string) string {
	var addrs []netip.Addr
	for _, s := range list {
		addrs = append(addrs, netip.MustParseAddr(s))
	}
	return join(addrs)
}
