package l2

import (
	"errors"
	"net/netip"
	"sync/atomic"
)

// A Port is where frames come from and go to: the TAP, or a peer. The caller gives
// the numbers of peers.
type Port = uint32

// TAP is the port of our TAP device.
const TAP Port = 0

// MaxPorts is how many ports there may be. Numbers are below it.
const MaxPorts = 1 << 16

// Why a port or an address is not accepted.
var (
	ErrPort    = errors.New("l2: no number for the port of a peer")
	ErrAddress = errors.New("l2: not an address that a station of a VLAN can have")
	ErrTaken   = errors.New("l2: the address is another's")
)

// PortOptions say what is special about a peer.
type PortOptions struct {
	// Addrs are the IP addresses that the peer's packets may be from, and that it
	// may claim in ARP and neighbour discovery, beside link-local ones of IPv6;
	// nil: any.
	Addrs []netip.Prefix
}

// A port is what there is about a Port that is up. The data path has it.
type port struct {
	id   Port
	opts PortOptions // immutable

	// Of the data path: safe for concurrent use.
	learning  bucket
	wanting   bucket
	flows     [flowCount]bucket
	alarms    [dropCount]onset
	passed    [classCount]atomic.Uint64
	drops     Drops
	unlearned atomic.Uint64 // frames from addresses beyond the quota

	// Set by control.
	full           atomic.Bool // no more addresses are learned
	neighboursFull atomic.Bool // nor pairs with IP addresses

	// Control's own.
	macs       int // learned
	neighbours int
	raised     [eventCount]onset
}

// report appends an event about p to out, unless there was one like it just now: a
// peer that misbehaves does not fill the log.
func (p *port) report(at Stamp, e Event, out []Event) []Event {
	if !p.raised[e.Kind].raise(at) {
		return out
	}
	e.Port = p.id
	return append(out, e)
}

// Class says how a frame went.
type Class uint8

// The classes.
const (
	ClassUnicast   Class = iota // for an address that is known
	ClassUnknown                // for one that is not: to all
	ClassBroadcast              // to all
	ClassMulticast              // to the members of a group, or to all
	ClassMember                 // about the members of groups: to nobody
	ClassAnswered               // a question whose answer is known: to nobody
	classCount
)

var classNames = [classCount]string{"unicast", "unknown", "broadcast", "multicast", "membership", "answered"}

// String returns the name of the class.
func (c Class) String() string {
	if c < classCount {
		return classNames[c]
	}
	return "invalid"
}
