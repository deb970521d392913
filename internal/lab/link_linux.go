package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An end is one of the two interfaces of a cable.
type end struct {
	ns   *namespace
	name string
}

// A Link is the cable between a node and the network that it is on, or another
// node. It is safe for concurrent use.
type Link struct {
	near, far end      // the node's interface; the port of the bridge, or the other node's interface
	segment   *segment // nil if the cable joins two nodes
	addr6     netip.Addr

	mu    sync.Mutex // protects the following, and the rules of the cable
	addr4 netip.Addr
	rules int // rules made so far
}

// make makes the veth pair, both ends in their places: it is never visible
// anywhere else.
func (k *Link) make() error {
	return k.near.ns.netlink(func(h *netlink.Handle) error {
		veth := netlink.NewVeth(netlink.NewLinkAttrs())
		veth.Name = k.near.name
		veth.PeerName = k.far.name
		return k.far.ns.withFD(func(fd int) error {
			veth.PeerNamespace = netlink.NsFd(fd)
			return h.LinkAdd(veth)
		})
	})
}

// Addr returns the IPv4 address of the near end.
func (k *Link) Addr() netip.Addr {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.addr4
}

// SetMTU sets the MTU of both ends, in bytes. Towards the node, packets that
// are too large by more than the four bytes of a VLAN tag vanish, as a bridge
// does not answer; what the node itself has to forward and may not cut is
// answered with an ICMP error (RFC 1191).
func (k *Link) SetMTU(mtu int) error {
	return k.each(func(h *netlink.Handle, link netlink.Link) error { return h.LinkSetMTU(link, mtu) })
}

// Renumber gives the near end another IPv4 address in the same network in place of the
// one that it has, as DHCP may do, and returns it.
func (k *Link) Renumber() (netip.Addr, error) {
	a4, _, err := k.segment.allocate()
	if err != nil {
		return netip.Addr{}, err
	}
	k.mu.Lock()
	old := k.addr4
	k.addr4 = a4
	k.mu.Unlock()
	return a4, k.near.with(func(h *netlink.Handle, link netlink.Link) error {
		// The old address goes first: as the second in its network, the new
		// one would go with it. Its routes go with it, too.
		if err := h.AddrDel(link, k.segment.address(old)); err != nil {
			return err
		}
		if err := h.AddrAdd(link, k.segment.address(a4)); err != nil {
			return err
		}
		return k.defaultRoutes(h, link)
	})
}

// SetUp plugs the cable in or pulls it out, as seen by the node: the interface
// keeps its addresses and loses its carrier. A cable that is plugged in carries
// packets when SetUp returns.
func (k *Link) SetUp(up bool) error {
	err := k.far.with(func(h *netlink.Handle, link netlink.Link) error {
		if up {
			return h.LinkSetUp(link)
		}
		return h.LinkSetDown(link)
	})
	if err != nil || !up {
		return err
	}
	return k.awaitUp()
}

// How long the kernel may take to notice that a cable is plugged in, and how
// often we look. It does so in the background, and loses every packet until
// then.
const (
	upPatience = 10 * time.Second
	upPoll     = 2 * time.Millisecond
)

// awaitUp waits until the cable and the bridge carry packets.
func (k *Link) awaitUp() error {
	ends := []end{k.near, k.far}
	if k.segment != nil {
		ends = append(ends, end{k.segment.ns, k.segment.bridge})
	}
	for _, e := range ends {
		if err := e.awaitUp(); err != nil {
			return err
		}
	}
	return nil
}

func (e end) awaitUp() error {
	return e.ns.netlink(func(h *netlink.Handle) error {
		ticker := time.NewTicker(upPoll)
		defer ticker.Stop()
		for start := time.Now(); ; <-ticker.C {
			up, err := e.isUp(h)
			if err != nil {
				return fmt.Errorf("lab: interface %s in namespace %s: %w", e.name, e.ns.name, err)
			}
			if up {
				return nil
			}
			if time.Since(start) > upPatience {
				return fmt.Errorf("lab: interface %s in namespace %s is not up after %v", e.name, e.ns.name, upPatience)
			}
		}
	})
}

// isUp reports whether the interface carries packets and all its addresses are
// in use. Even without duplicate address detection, the kernel takes IPv6
// addresses into use in the background.
func (e end) isUp(h *netlink.Handle) (bool, error) {
	link, err := h.LinkByName(e.name)
	if err != nil || !carries(link) {
		return false, err
	}
	addrs, err := h.AddrList(link, netlink.FAMILY_V6)
	tentative := slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.Flags&unix.IFA_F_TENTATIVE != 0 })
	return !tentative, err
}

// carries reports whether a link carries packets. The driver of virtual interfaces
// never says that one does (RFC 2863 calls the state unknown); it has a carrier while
// a program holds it.
func carries(link netlink.Link) bool {
	a := link.Attrs()
	if link.Type() == "tuntap" && a.OperState == netlink.OperUnknown {
		return a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_LOWER_UP != 0
	}
	return a.OperState == netlink.OperUp
}

// Traffic returns what went through the near end: Rx is what the node received.
func (k *Link) Traffic() (t Traffic, err error) {
	err = k.near.with(func(_ *netlink.Handle, link netlink.Link) error {
		s := link.Attrs().Statistics
		if s == nil {
			return fmt.Errorf("the kernel reports no counters")
		}
		t = Traffic{RxPackets: s.RxPackets, TxPackets: s.TxPackets, RxBytes: s.RxBytes, TxBytes: s.TxBytes}
		return nil
	})
	return t, err
}

// each calls fn with both ends.
func (k *Link) each(fn func(*netlink.Handle, netlink.Link) error) error {
	for _, e := range []end{k.near, k.far} {
		if err := e.with(fn); err != nil {
			return err
		}
	}
	return nil
}

// with calls fn with the interface and a handle of its namespace.
func (e end) with(fn func(*netlink.Handle, netlink.Link) error) error {
	err := e.ns.netlink(func(h *netlink.Handle) error {
		link, err := h.LinkByName(e.name)
		if err != nil {
			return err
		}
		return fn(h, link)
	})
	if err != nil {
		return fmt.Errorf("lab: interface %s in namespace %s: %w", e.name, e.ns.name, err)
	}
	return nil
}
