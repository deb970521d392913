// Package device is the virtual network interface: a TUN or TAP device of the
// kernel, its configuration (address, MTU, route), and a twin in memory for tests.
//
// A TUN device carries IP packets; its neighbours are not on a link. A TAP device
// carries Ethernet frames: it has an address of its own on a link that it shares
// with its neighbours, can have VLANs on top of it, and be the port of a bridge.
// Both are one type here, with the same queues and offloads.
//
// A [Device] is one of the two seams at which the program touches the outside;
// the other is punch.Conn. [Open] makes one of the kernel's, [NewMemory] one
// that exists in the program only.
package device

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"campagnol/tunnel/packet"
	"campagnol/tunnel/segment"
)

// A Packet is what a Device carries: an IP packet, without link header, or a whole
// Ethernet frame, without checksum; or a large one, which is to be cut into those
// that travel.
type Packet = segment.Packet

// Offloads are what the operating system does for us, beside exchanging single
// packets.
type Offloads struct {
	Large bool // Read and Write have large packets of TCP
	UDP   bool // and of UDP
}

// A Queue is where packets come from the operating system and go to it.
type Queue interface {
	// Read waits for packets that the operating system sends into the VPN and
	// returns at least one. The caller borrows them: they are valid, and may
	// be changed in place, until the next Read. After Close it returns
	// os.ErrClosed; any other error, of which ErrGone is the likely one, means
	// that nothing will ever come again. Only one goroutine may call Read.
	Read() ([]Packet, error)

	// Write hands packets to the operating system, in order. It does not keep
	// them, and may change them. It is safe for concurrent use. A packet that
	// the operating system refuses does not hold up those after it; Write
	// returns ErrRefused then. ErrDown and ErrGone concern all packets, the
	// former until the interface is up again; os.ErrClosed comes after Close.
	Write(ps []Packet) error
}

// A Device exchanges packets with the operating system.
type Device interface {
	Queue // the first, often the only one

	// More returns the further queues, each for a goroutine of its own.
	// Packets of one flow come from one queue, in order. Close ends them too.
	More() []Queue

	// Link returns what packets begin with: an IP header, or that of a frame. It
	// does not change.
	Link() segment.Link

	// Offloads returns what Write may be given. It does not change.
	Offloads() Offloads

	// Name returns the name of the interface.
	Name() string

	// Close removes the interface and unblocks Read. Further calls do nothing.
	Close() error
}

// What Write and Read return when the operating system does not cooperate.
// They are returned bare.
var (
	// ErrRefused is for a packet that the operating system does not take: one
	// that is not IP, or less than the header of a frame.
	ErrRefused = errors.New("device: the operating system refuses a packet")

	// ErrDown is for an interface that somebody has switched off.
	ErrDown = errors.New("device: the interface is down")

	// ErrGone is for an interface that somebody has deleted.
	ErrGone = errors.New("device: the interface is gone")
)

// errNoHardwareAddr is for the hardware address of an IP device.
var errNoHardwareAddr = errors.New("device: a TUN device has no hardware address")

// Config says how to open a device.
type Config struct {
	// Name is the name of the interface, cut to 15 characters as in Campagnol
	// 0.3.5. "%d" in it stands for the first number that is free. Empty means
	// "tun%d" or "tap%d", or what the system is used to.
	Name string

	// Link says what the device carries: IP packets, if it is left out, or
	// Ethernet frames.
	Link segment.Link

	// HardwareAddr is the address of an Ethernet device, which must be one that
	// is given out locally and to one device: see CheckHardwareAddr. Without it,
	// the system makes one up, or leaves that of a device that exists. Such a
	// device keeps the one that it is given here. Only Linux can set it.
	HardwareAddr net.HardwareAddr

	// TxQueue is how many packets wait in the interface for a slow reader; 0
	// leaves it to the kernel (500). Only Linux can do it.
	TxQueue int

	// Address is the VPN address with the length of its network. Only
	// Windows' driver wants it at this point.
	Address netip.Prefix

	// Queues is how many queues the device has; 0 means one. One that exists
	// and was not made for several has one; so has one without offloads.
	Queues int

	// Plain does without offloads, where there would be any.
	Plain bool
}

// check returns why cfg makes no sense.
func (cfg Config) check() error {
	switch {
	case cfg.Link != segment.IP && cfg.Link != segment.Ethernet:
		return fmt.Errorf("device: open a device: there is no link number %d", cfg.Link)
	case cfg.HardwareAddr == nil:
		return nil
	case cfg.Link != segment.Ethernet:
		return errors.New("device: open a TUN device: it has no hardware address; one of Ethernet frames (TAP) has")
	}
	return CheckHardwareAddr(cfg.HardwareAddr)
}

// CheckHardwareAddr returns why a cannot be the address of an Ethernet device of
// ours, or nil. The lowest bits of the first byte tell (IEEE 802 section 8.2.2):
// the first is set in the addresses of groups, from which nobody sends, and the
// second in those which whoever runs a network gives out; the others are those of
// manufacturers.
func CheckHardwareAddr(a net.HardwareAddr) error {
	const group, local = 1, 2
	switch {
	case len(a) != 6:
		return fmt.Errorf("device: hardware address %v has %d bytes; those of Ethernet have 6, such as 02:00:00:00:00:01", a, len(a))
	case a[0]&group != 0:
		return fmt.Errorf("device: hardware address %v is that of a group: the first byte of a device's is even, such as 02", a)
	case a[0]&local == 0:
		return fmt.Errorf("device: hardware address %v belongs to a manufacturer: take one whose second digit is 2, 6, a or e, such as 02:00:00:00:00:01", a)
	}
	return nil
}

// Settings are what makes an interface a part of the VPN.
type Settings struct {
	// Addr is the VPN address. An IP device gets it without a network around it,
	// for its neighbours are not on a link. An Ethernet device gets it with the
	// length of Network, which is on its link; without Addr it has no address,
	// as is usual for the port of a bridge, and Network does not count.
	Addr netip.Addr

	// Network is where the VPN's other addresses are. Packets to it are routed
	// to the interface, unless Addr is its only address. The zero Prefix means
	// no route.
	Network netip.Prefix

	// MTU is the size of the largest IP packet, in bytes; 0 leaves it as it is.
	// A frame is longer, by the 14 bytes of its link header and 4 for a VLAN tag.
	MTU int
}

// Broadcast returns the address of everybody in a network of s.Addr that has
// the size of s.Network, as the original computes it: the address part of
// Network does not count. It returns the zero Addr where there is no broadcast
// (IPv6; networks of one or two addresses, RFC 3021).
func (s Settings) Broadcast() netip.Addr {
	bits := s.Network.Bits()
	if !s.Addr.Is4() || !s.Network.Addr().Is4() || bits > 30 {
		return netip.Addr{}
	}
	return packet.Broadcast(netip.PrefixFrom(s.Addr, bits))
}

// normal returns s with addresses in their usual form.
func (s Settings) normal() Settings {
	s.Addr = s.Addr.Unmap().WithZone("")
	s.Network = s.Network.Masked()
	return s
}

// check returns why s makes no sense for a device of link.
func (s Settings) check(link segment.Link) error {
	switch {
	case s.MTU < 0:
		return errors.New("a negative MTU is given")
	case !s.Addr.IsValid() && link == segment.Ethernet:
		return nil
	case !s.Addr.IsValid():
		return errors.New("no VPN address is given")
	case s.Network.IsValid() && s.Network.Addr().Is4() != s.Addr.Is4():
		return errors.New("the VPN's network " + s.Network.String() + " and the address " + s.Addr.String() + " are of different families")
	case s.Network.IsValid() && link == segment.Ethernet && !s.Network.Contains(s.Addr):
		return errors.New("the address " + s.Addr.String() + " is not in the VPN's network " + s.Network.String() + ", which an Ethernet interface has around its address")
	}
	return nil
}

// prefix returns the address of an interface of link, with what is on that link.
// It is not valid if there is no address.
func (s Settings) prefix(link segment.Link) netip.Prefix {
	switch {
	case !s.Addr.IsValid():
		return netip.Prefix{}
	case link == segment.Ethernet && s.Network.IsValid():
		return netip.PrefixFrom(s.Addr, s.Network.Bits())
	}
	return netip.PrefixFrom(s.Addr, s.Addr.BitLen())
}

// Stats counts what went through a device since it was opened.
type Stats struct {
	Read    uint64 // packets from the operating system
	Reads   uint64 // calls of Read that returned packets
	Written uint64 // packets that the operating system took
	Refused uint64 // packets that it did not take: ErrRefused
	Down    uint64 // packets lost because the interface was down or gone

	Malformed uint64 // packets from the operating system that make no sense
}

// minFrame is the length of the shortest frame that Linux takes: a link header, with
// nothing behind it.
const minFrame = 14

// valid reports whether p looks like what a device of link carries, as far as Linux
// looks at what is written to it: an IP packet, or any frame.
func valid(link segment.Link, p []byte) bool {
	if link == segment.Ethernet {
		return len(p) >= minFrame
	}
	return len(p) > 0 && (p[0]>>4 == 4 || p[0]>>4 == 6)
}

var (
	_ Device = (*Kernel)(nil)
	_ Device = (*Memory)(nil)
)
