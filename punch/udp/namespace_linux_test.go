package udp

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"campagnol/internal/testenv"
)

// A namespace is a network of its own, which vanishes with the test.
type namespace struct {
	handle netns.NsHandle
	nl     *netlink.Handle
}

// newNamespace makes a network with a loopback interface that is up.
func newNamespace(t *testing.T) *namespace {
	t.Helper()
	testenv.Root(t)
	n := &namespace{handle: netns.None()}
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
	n.up(t, "lo")
	return n
}

// onThread runs f on a thread of its own, which ends with f: it may be left in
// another namespace.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		done <- f()
	}()
	return <-done
}

// do runs f in n.
func (n *namespace) do(t *testing.T, f func() error) {
	t.Helper()
	err := onThread(func() error {
		if err := netns.Set(n.handle); err != nil {
			return err
		}
		return f()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// open returns an opener of sockets in n.
func (n *namespace) open(t *testing.T) opener {
	return func(cfg Config) (c testConn, err error) {
		n.do(t, func() error {
			c, err = openListen(cfg)
			return nil
		})
		return c, err
	}
}

func (n *namespace) link(t *testing.T, name string) netlink.Link {
	t.Helper()
	link, err := n.nl.LinkByName(name)
	if err != nil {
		t.Fatalf("interface %s: %v", name, err)
	}
	return link
}

func (n *namespace) up(t *testing.T, name string) {
	t.Helper()
	if err := n.nl.LinkSetUp(n.link(t, name)); err != nil {
		t.Fatalf("interface %s: %v", name, err)
	}
}

// join connects a and b by a cable with the given MTU between interfaces of
// the given names, which get the addresses addrA and addrB.
func join(t *testing.T, a *namespace, nameA, addrA string, b *namespace, nameB, addrB string, mtu int) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = nameA, mtu
	err := a.nl.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: nameB, PeerMTU: uint32(mtu), PeerNamespace: netlink.NsFd(b.handle),
	})
	if err != nil {
		t.Fatalf("make a cable: %v", err)
	}
	a.assign(t, nameA, addrA)
	b.assign(t, nameB, addrB)
	a.introduce(t, nameA, addrB, b.link(t, nameB))
	b.introduce(t, nameB, addrA, a.link(t, nameA))
	a.await(t, nameA, addrA)
	b.await(t, nameB, addrB)
}

// await waits for the kernel to notice that the cable is plugged in and to
// take the address for its own. It does so at its leisure, and drops what comes
// before.
func (n *namespace) await(t *testing.T, name, cidr string) {
	t.Helper()
	addr := netip.MustParsePrefix(cidr).Addr()
	family := netlink.FAMILY_V6
	if addr.Is4() {
		family = netlink.FAMILY_V4
	}
	own := &netlink.Route{
		Table: unix.RT_TABLE_LOCAL,
		Dst:   &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(addr.BitLen(), addr.BitLen())},
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		routes, err := n.nl.RouteListFiltered(family, own, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_DST)
		if err == nil && len(routes) > 0 && n.link(t, name).Attrs().OperState == netlink.OperUp {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("interface %s with %s does not come up (%v)", name, cidr, err)
		}
	}
}

// assign gives an interface its address and switches it on.
func (n *namespace) assign(t *testing.T, name, cidr string) {
	t.Helper()
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		t.Fatal(err)
	}
	addr.Flags = unix.IFA_F_NODAD // use it at once
	if err := n.nl.AddrAdd(n.link(t, name), addr); err != nil {
		t.Fatalf("address %s: %v", cidr, err)
	}
	n.up(t, name)
}

// introduce tells n that address cidr is at the other end of its cable. The
// kernel keeps few packets for neighbours that it has to ask for.
func (n *namespace) introduce(t *testing.T, name, cidr string, other netlink.Link) {
	t.Helper()
	err := n.nl.NeighSet(&netlink.Neigh{
		LinkIndex:    n.link(t, name).Attrs().Index,
		State:        netlink.NUD_PERMANENT,
		IP:           netip.MustParsePrefix(cidr).Addr().AsSlice(),
		HardwareAddr: other.Attrs().HardwareAddr,
	})
	if err != nil {
		t.Fatalf("neighbour %s: %v", cidr, err)
	}
}

// route sends what goes to dst to via.
func (n *namespace) route(t *testing.T, dst, via string) {
	t.Helper()
	_, d, err := net.ParseCIDR(dst)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.nl.RouteAdd(&netlink.Route{Dst: d, Gw: net.ParseIP(via)}); err != nil {
		t.Fatalf("route to %s: %v", dst, err)
	}
}

// slow lets little pass through n's cable. The test cannot go on in a kernel
// without that queueing discipline.
func slow(t *testing.T, n *namespace, rate uint64, limit, buffer uint32) {
	t.Helper()
	err := n.nl.QdiscAdd(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: n.link(t, "eth0").Attrs().Index,
			Handle:    netlink.MakeHandle(1, 0),
			Parent:    netlink.HANDLE_ROOT,
		},
		Rate:   rate,   // bytes per second
		Limit:  limit,  // bytes that may wait
		Buffer: buffer, // how long a burst may be, in the kernel's ticks
	})
	testenv.Require(t, err == nil, fmt.Sprintf("the kernel's token bucket filter (module sch_tbf): %v", err))
}
