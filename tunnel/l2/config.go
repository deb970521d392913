package l2

import (
	"cmp"
	"time"

	"campagnol/tunnel/l2/ether"
)

// A Config says how a Switch works. Zero values are the defaults, and so are negative
// ones but in Limits.
type Config struct {
	// MAC is the address of our TAP device. It is ours in every VLAN. 0: there is
	// nothing to protect.
	MAC ether.MAC

	// VLANs are those whose frames pass, where 0 is that of frames without a tag;
	// nil: all. Of a frame with two tags, the outer one counts.
	VLANs *ether.VIDSet

	// STP lets the frames of the spanning tree protocol pass, so that bridges
	// behind the members find loops. Other frames between neighbours never pass.
	STP bool

	// Binding says which source addresses a peer may use.
	Binding Binding

	// OnDemand says that there is a tunnel with who is asked for only: the switch
	// says whom it misses (EventWanted).
	OnDemand bool

	// NoSuppression passes on every ARP request and neighbour solicitation, even
	// if the answer is known.
	NoSuppression bool

	MaxMACs       int // addresses learned of each peer; 0: 256
	MaxLocal      int // addresses learned behind the TAP; 0: 4096
	MaxNeighbours int // pairs of IP address and MAC remembered of each peer; 0: 512

	Ageing       time.Duration // how long an address is remembered that sends nothing; 0: 300 s
	NeighbourAge time.Duration // how long an answer is, which nobody repeats; 0: 120 s

	Limits Limits
}

// Limits bound what goes to everybody, in frames a second of each peer, and of the
// TAP. 0: the default; negative: no limit.
type Limits struct {
	Broadcast int // 500
	Unknown   int // for addresses that nobody knows; 500
	Multicast int // to groups of which no members are known, and to those that all are in; 2000
}

// A Binding says which source addresses peers may use. Whatever it is, addresses
// that are static or pinned are their owner's alone.
type Binding uint8

// The bindings.
const (
	// BindOpen lets an address move to whoever sends from it, as a switch does,
	// but not more than a few times in a while.
	BindOpen Binding = iota
	// BindFirst leaves an address to who had it first, until he has been silent
	// for the time of Config.Ageing or has gone.
	BindFirst
	// BindStrict accepts of a peer only what is pinned for it, or static.
	BindStrict
)

var bindingNames = [...]string{"open", "first", "strict"}

// String returns the name of the binding.
func (b Binding) String() string {
	if int(b) < len(bindingNames) {
		return bindingNames[b]
	}
	return "invalid"
}

// Defaults of a Config. 300 s is what IEEE 802.1D recommends (table 7-5).
const (
	defaultMACs         = 256
	defaultLocal        = 4096
	defaultNeighbours   = 512
	defaultAgeing       = 300 * time.Second
	defaultNeighbourAge = 120 * time.Second
	defaultBroadcast    = 500
	defaultUnknown      = 500
	defaultMulticast    = 2000
)

// withDefaults returns c with the defaults in place of zeros.
func (c Config) withDefaults() Config {
	or(&c.MaxMACs, defaultMACs)
	or(&c.MaxLocal, defaultLocal)
	or(&c.MaxNeighbours, defaultNeighbours)
	or(&c.Ageing, defaultAgeing)
	or(&c.NeighbourAge, defaultNeighbourAge)
	c.Limits.Broadcast = cmp.Or(c.Limits.Broadcast, defaultBroadcast)
	c.Limits.Unknown = cmp.Or(c.Limits.Unknown, defaultUnknown)
	c.Limits.Multicast = cmp.Or(c.Limits.Multicast, defaultMulticast)
	return c
}

func or[T int | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}
