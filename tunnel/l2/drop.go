package l2

import "sync/atomic"

// A Drop says why a frame goes nowhere. Zero is no drop.
type Drop uint8

// The reasons. Their names appear in status and metrics.
const (
	Kept          Drop = iota
	DropInvalid        // cut short, or more VLAN tags than are read
	DropSource         // from an address that no station has: a group, or zero
	DropLoop           // from our own TAP's address, but from outside: something goes in a circle
	DropReserved       // for one of the addresses that bridges do not forward
	DropVLAN           // of a VLAN that is not allowed here
	DropPinned         // from an address that belongs to another peer
	DropFrozen         // from an address that has moved too often to be believed
	DropStolen         // from an address that another peer had first, and still uses
	DropUnbound        // from an address that the peer has not been given
	DropAddress        // with an IP address that the peer has not been given
	DropNoPort         // for a peer without a tunnel, or for all when there are none
	DropLocal          // from the TAP for an address behind the TAP
	DropElsewhere      // from a peer for an address behind a peer
	DropNoMember       // for a multicast group that nobody is in
	DropBroadcast      // broadcast beyond the limit
	DropUnknown        // for addresses that nobody knows, beyond the limit
	DropMulticast      // multicast to all, beyond the limit
	dropCount
)

var dropNames = [dropCount]string{
	"none", "invalid", "source_mac", "loop", "reserved", "vlan", "pinned", "frozen", "stolen", "unbound", "address",
	"no_port", "local", "elsewhere", "no_member", "storm_broadcast", "storm_unknown", "storm_multicast",
}

// String returns the name of the reason.
func (d Drop) String() string {
	if d < dropCount {
		return dropNames[d]
	}
	return "invalid_drop"
}

// Drops counts drops by reason. It is safe for concurrent use.
type Drops [dropCount]atomic.Uint64

// Add counts one drop, unless d is Kept.
func (c *Drops) Add(d Drop) {
	if d != Kept {
		c[d].Add(1)
	}
}

// Get returns the count of one reason.
func (c *Drops) Get(d Drop) uint64 { return c[d].Load() }

// Snapshot returns the counts that are not zero, by the reason's name.
func (c *Drops) Snapshot() map[string]uint64 {
	m := map[string]uint64{}
	for i := range c {
		if n := c[i].Load(); n > 0 {
			m[Drop(i).String()] = n
		}
	}
	return m
}
