package lab

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestNth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		prefix string
		n      int
		want   string
	}{
		{"203.0.113.0/24", 0, "203.0.113.0"},
		{"203.0.113.77/24", 10, "203.0.113.10"},
		{"192.168.178.128/25", 2, "192.168.178.130"},
		{"2001:db8::/64", 255, "2001:db8::ff"},
	} {
		if got := nth(netip.MustParsePrefix(c.prefix), c.n); got.String() != c.want {
			t.Errorf("address %d of %s is %v, want %s", c.n, c.prefix, got, c.want)
		}
	}
}

func TestAllocate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		prefix      string
		first       int
		count       int // of addresses
		from, until string
	}{
		{"203.0.113.0/24", 10, 245, "203.0.113.10", "203.0.113.254"},
		{"192.168.1.0/24", 2, 253, "192.168.1.2", "192.168.1.254"},
		{"192.168.178.128/28", 2, 13, "192.168.178.130", "192.168.178.142"},
		{"10.0.0.0/30", 2, 1, "10.0.0.2", "10.0.0.2"},
		{"10.0.0.0/16", 2, 254, "10.0.0.2", "10.0.0.255"},
	} {
		s := &segment{prefix4: netip.MustParsePrefix(c.prefix), prefix6: internet6, next: c.first}
		var all []netip.Addr
		for {
			a4, a6, err := s.allocate()
			if err != nil {
				if !strings.Contains(err.Error(), "is full") {
					t.Errorf("%s: %v", c.prefix, err)
				}
				break
			}
			if !internet6.Contains(a6) || a6.As16()[15] != byte(c.first+len(all)) {
				t.Errorf("%s: %v comes with %v", c.prefix, a4, a6)
			}
			all = append(all, a4)
		}
		if len(all) != c.count {
			t.Errorf("%s has %d addresses, want %d", c.prefix, len(all), c.count)
			continue
		}
		if first, last := all[0].String(), all[len(all)-1].String(); first != c.from || last != c.until {
			t.Errorf("%s: the addresses are %s to %s, want %s to %s", c.prefix, first, last, c.from, c.until)
		}
	}
}

// TestBridgeKeepsItsAddress adds hosts and checks that the gateway's link
// address stays: neighbours that know it would send into the void otherwise.
func TestBridgeKeepsItsAddress(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	bridge := end{l.internet.ns, l.internet.bridge}
	for _, name := range []string{"a", "b", "c", "d"} {
		addHost(t, l, name, nil)
		err := bridge.with(func(_ *netlink.Handle, link netlink.Link) error {
			if got, want := link.Attrs().HardwareAddr.String(), "02:00:cb:00:71:01"; got != want {
				t.Errorf("with host %s the gateway is %s, want %s", name, got, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestDefaultRoutes(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{IPv6: true})
	nat := addNAT(t, l, "nat", NATOptions{Kind: Restricted})
	h := addHost(t, l, "h", nat)
	for _, c := range []struct {
		node   *Node
		family int
		want   string
	}{
		{h.Node, unix.AF_INET, "192.168.1.1"},
		{h.Node, unix.AF_INET6, "2001:db8:1:1::1"},
		{nat.Node, unix.AF_INET, "203.0.113.1"},
		{nat.Node, unix.AF_INET6, "2001:db8::1"},
	} {
		var gateways []string
		err := c.node.ns.netlink(func(h *netlink.Handle) error {
			routes, err := h.RouteList(nil, c.family)
			for _, r := range routes {
				if ones, _ := r.Dst.Mask.Size(); ones == 0 {
					gateways = append(gateways, r.Gw.String())
				}
			}
			return err
		})
		if got := strings.Join(gateways, " "); err != nil || got != c.want {
			t.Errorf("%s: the default gateways are %q (%v), want %s", c.node.Name(), got, err, c.want)
		}
	}
}

// TestNodesAreAlike checks what every namespace starts with, whatever the
// machine is set to.
func TestNodesAreAlike(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	nat := addNAT(t, l, "nat", NATOptions{Kind: Symmetric})
	h := addHost(t, l, "h", nat)
	for _, c := range []struct {
		node      *Node
		key, want string
	}{
		{h.Node, "net/ipv4/ip_forward", "0"},
		{nat.Node, "net/ipv4/ip_forward", "1"},
		{l.world, "net/ipv4/ip_forward", "0"},
		{h.Node, "net/ipv4/conf/eth0/rp_filter", "0"},
		{h.Node, "net/ipv6/conf/eth0/accept_dad", "0"},
		{h.Node, "net/ipv6/conf/default/accept_dad", "0"},
	} {
		err := c.node.Do(func() error {
			b, err := os.ReadFile("/proc/sys/" + c.key)
			if errors.Is(err, os.ErrNotExist) && strings.Contains(c.key, "ipv6") {
				return nil // a kernel without IPv6
			}
			if got := strings.TrimSpace(string(b)); got != c.want {
				t.Errorf("%s: %s is %q (%v), want %s", c.node.Name(), c.key, got, err, c.want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestTwoAddressFamilies sends UDP both ways over IPv6, through the firewall of
// a NAT.
func TestTwoAddressFamilies(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{IPv6: true})
	server := addHost(t, l, "server", nil)
	nat := addNAT(t, l, "nat", NATOptions{Kind: FullCone})
	h := addHost(t, l, "h", nat)
	f := &flow{t: t}
	var err error
	if f.server, err = server.ListenUDP(netip.AddrPortFrom(server.Addr6(), 0)); err != nil {
		t.Fatal(err)
	}
	defer f.server.Close()
	if f.inner, err = h.ListenUDP(netip.AddrPortFrom(h.Addr6(), 0)); err != nil {
		t.Fatal(err)
	}
	defer f.inner.Close()
	f.serverAddr = netip.AddrPortFrom(server.Addr6(), portOf(f.server))
	own := netip.AddrPortFrom(h.Addr6(), portOf(f.inner))
	f.wantBack(own, false) // uninvited
	if got := f.outer(); got != own {
		t.Errorf("the server sees %v, want %v: nothing is translated", got, own)
	}
	f.wantBack(own, true)
	// A new IPv4 address does not touch the flow.
	if _, err := nat.Renumber(); err != nil {
		t.Fatal(err)
	}
	if got := f.outer(); got != own {
		t.Errorf("after the change of the IPv4 address the server sees %v, want %v", got, own)
	}
}
