package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
)

// A Node is a network namespace with a place in the lab: a host or a NAT. It is
// safe for concurrent use.
type Node struct {
	lab  *Lab
	name string
	ns   *namespace
	link *Link // towards the Internet; nil for the Internet itself
}

// A Host is an end system: it has one interface, eth0.
type Host struct{ *Node }

// Name returns the name that the node was added with.
func (n *Node) Name() string { return n.name }

// Namespace returns the file of the node's network namespace, for nsenter
// --net=FILE.
func (n *Node) Namespace() string { return n.ns.path() }

// Link returns the node's cable towards the Internet.
func (n *Node) Link() *Link { return n.link }

// Addr returns the node's IPv4 address on the side of the Internet.
func (n *Node) Addr() netip.Addr { return n.link.Addr() }

// Addr6 returns the node's global IPv6 address on the side of the Internet, and
// the zero Addr in a lab without IPv6.
func (n *Node) Addr6() netip.Addr { return n.link.addr6 }

// Do runs fn inside the node's namespace, on an operating system thread of its
// own, and waits for it. Sockets that fn makes stay in the namespace when they
// are used elsewhere; goroutines that fn starts are outside.
func (n *Node) Do(fn func() error) error { return n.ns.do(fn) }

// AddAddress gives an interface of the node an address with the network that is
// reached through it, and brings the interface up. It is for interfaces that a
// program on the node has made and leaves to others to configure.
func (n *Node) AddAddress(ifname string, p netip.Prefix) error {
	return end{n.ns, ifname}.with(func(h *netlink.Handle, link netlink.Link) error {
		if err := h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(p)}); err != nil {
			return fmt.Errorf("add %v: %w", p, err)
		}
		return h.LinkSetUp(link)
	})
}

// SetSysctl sets a kernel parameter of the node's network; key is its path
// below /proc/sys, such as net/ipv4/tcp_congestion_control. What does not begin
// with net belongs to the whole machine and is refused.
func (n *Node) SetSysctl(key, value string) error {
	if !filepath.IsLocal(key) || !strings.HasPrefix(filepath.Clean(key), "net/") {
		return fmt.Errorf("lab: kernel parameter %q is not one of a network", key)
	}
	return n.ns.sysctl(key, value)
}

// ListenUDP makes a UDP socket inside the namespace. Port 0 takes any.
func (n *Node) ListenUDP(addr netip.AddrPort) (conn *net.UDPConn, err error) {
	err = n.Do(func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		return err
	})
	return conn, n.wrap("listen", err)
}

// ListenTCP makes a TCP listener inside the namespace. Port 0 takes any.
func (n *Node) ListenTCP(addr netip.AddrPort) (*net.TCPListener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // which costs time on every packet, even of a plain connection
	var ln net.Listener
	err := n.Do(func() (err error) {
		ln, err = config.Listen(context.Background(), "tcp", addr.String())
		return err
	})
	if err != nil {
		return nil, n.wrap("listen", err)
	}
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("lab: a TCP listener is a %T", ln), ln.Close())
	}
	return tcp, nil
}

// DialTCP opens a TCP connection from inside the namespace.
func (n *Node) DialTCP(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error) {
	var conn net.Conn
	err := n.Do(func() (err error) {
		// The address needs no resolving, so that the dialer makes its socket
		// on the goroutine that calls it.
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", to.String())
		return err
	})
	if err != nil {
		return nil, n.wrap("connect", err)
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("lab: a TCP dial gave a %T", conn), conn.Close())
	}
	return tcp, nil
}

// wrap says where an error happened.
func (n *Node) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("lab: %s: %s: %w", n.name, what, err)
}
