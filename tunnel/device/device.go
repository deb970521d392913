// Package device is the virtual network interface: a TUN device of the kernel,
// its configuration (address, MTU, route), and a twin in memory for tests.
//
// A [Device] is one of the two seams at which the program touches the outside;
// the other is punch.Conn. [Open] makes one of the kernel's, [NewMemory] one
// that exists in the program only.
package device

import (
	"errors"
	"net/netip"

	"campagnol/tunnel/packet"
	"campagnol/tunnel/segment"
)

// A Packet is what a Device carries: an IP packet, without link header, or a
// large one, which is to be cut into those that travel.
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
	// ErrRefused is for a packet that the operating system does not take, such
	// as one that is not IP.
	ErrRefused = errors.New("device: the operating system refuses a packet")

	// ErrDown is for an interface that somebody has switched off.
	ErrDown = errors.New("device: the interface is down")

	// ErrGone is for an interface that somebody has deleted.
	ErrGone = errors.New("device: the interface is gone")
)

// Config says how to open a device.
type Config struct {
	// Name is the name of the interface, cut to 15 characters as in Campagnol
	// 0.3.5. "%d" in it stands for the first number that is free. Empty means
	// "tun%d", or what the system is used to.
	Name string

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

// Settings are what makes an interface a part of the VPN.
type Settings struct {
	// Addr is the VPN address. The interface gets it without a network around
	// it, for its neighbours are not on a link.
	Addr netip.Addr

	// Network is where the VPN's other addresses are. Packets to it are routed
	// to the interface, unless Addr is its only address. The zero Prefix means
	// no route.
	Network netip.Prefix

	// MTU is the size of the largest packet, in bytes; 0 leaves it as it is.
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

// check returns why s makes no sense.
func (s Settings) check() error {
	switch {
	case !s.Addr.IsValid():
		return errors.New("no VPN address is given")
	case s.Network.IsValid() && s.Network.Addr().Is4() != s.Addr.Is4():
		return errors.New("the VPN's network " + s.Network.String() + " and the address " + s.Addr.String() + " are of different families")
	case s.MTU < 0:
		return errors.New("a negative MTU is given")
	}
	return nil
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

// valid reports whether p looks like an IP packet, as far as Linux looks at
// what is written to a TUN device.
func valid(p []byte) bool {
	return len(p) > 0 && (p[0]>>4 == 4 || p[0]>>4 == 6)
}

var (
	_ Device = (*Kernel)(nil)
	_ Device = (*Memory)(nil)
)
