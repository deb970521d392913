package tunnel

import "sync/atomic"

// A Drop says why a packet or a datagram went no further. Zero is no drop.
type Drop uint8

// The reasons. Their names appear in status and metrics.
const (
	Kept        Drop = iota
	DropInvalid      // datagram of no protocol that we speak
	DropShort        // record cut short, or shorter than its protection
	DropEpoch        // record of an epoch, or a version, that the session has not
	DropReplay       // record seen before, or older than the window
	DropAuth         // record that the peer's key has not made
	DropNoPeer       // datagram or packet of or for nobody whom we know
	DropNotIP        // the peer sent something that is no IP packet, or no frame
	DropSource       // the peer sent a packet with an address that is not its own
	DropDest         // packet from our own host for an address outside the VPN
	DropQueue        // a bounded queue was full
	DropRefused      // the peer is not there, or was asked for too often
	DropRate         // waited too long behind a rate limit
	DropSize         // packet larger than a record can be
	DropSend         // the socket did not take it
	DropDevice       // the device did not take it
	DropTooBig       // packet larger than the path, and not to be cut; its sender was told
	DropFilter       // the policy does not let it pass
	DropCE           // congestion was marked on the way, which the packet cannot show
	DropClear        // message in clear from the RDV's address, which is to use the channel
	DropSwitch       // frame that the Ethernet switch does not pass; it counts why
	DropRelay        // datagram that was to be relayed, or was, and may not be
	dropCount
)

var dropNames = [dropCount]string{
	"none", "invalid", "short", "epoch", "replay", "auth", "no_peer", "not_ip",
	"source", "dest", "queue", "refused", "rate", "size", "send", "device", "too_big", "filter", "ce", "clear", "switch", "relay",
}

func (d Drop) String() string {
	if d < dropCount {
		return dropNames[d]
	}
	return "unknown"
}

// Drops counts drops by reason. It is safe for concurrent use.
type Drops [dropCount]atomic.Uint64

// Add counts one drop, unless d is Kept.
func (c *Drops) Add(d Drop) { c.AddN(d, 1) }

// AddN counts n drops of one reason, unless d is Kept.
func (c *Drops) AddN(d Drop, n int) {
	if d != Kept {
		c[d].Add(uint64(n))
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
