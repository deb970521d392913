package l2

import (
	"net/netip"
	"sync/atomic"
	"time"

	"campagnol/tunnel/l2/ether"
)

// A View is the data path's view of the switch. It is immutable, but for times and
// counters, and safe for concurrent use. Control publishes a changed copy.
type View struct {
	*settings
	macs       table[key, entry]
	pins       int // entries of macs that are for every VLAN
	neighbours table[ipKey, neighbour]
	ports      []*port // by number; nil: down
	flood      []Port  // all peers that are up
	groups     Groups  // nil: nobody follows who is in which group
	onDemand   bool    // Config.OnDemand, or what SetOnDemand has said since
}

// settings are what never changes.
type settings struct {
	Config
	base   time.Time
	hasher hasher
	rates  [flowCount]rate
	drops  Drops // of all ports, those that are gone too

	learnPace, wantPace rate // of notes
}

// Groups says where multicast goes. It is immutable. Package mcast has one.
type Groups interface {
	// Ports returns the peers that want what src sends to the group dst, each
	// once and never the TAP, or that all are to have it. The caller does not
	// change the slice.
	Ports(vid uint16, dst, src netip.Addr) (ports []Port, flood bool)
}

// A Kind says why an address is known.
type Kind uint8

// The kinds.
const (
	Learned Kind = iota // it has sent from there
	Local               // likewise, and "there" is the TAP
	Static              // somebody has said so, for one VLAN
	Pinned              // it is a peer's own, in every VLAN
	Own                 // that of our TAP, in every VLAN
	kindCount
)

var kindNames = [kindCount]string{"learned", "local", "static", "pinned", "own"}

// String returns the name of the kind.
func (k Kind) String() string {
	if k < kindCount {
		return kindNames[k]
	}
	return "invalid"
}

// MarshalText implements encoding.TextMarshaler.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// An entry says where an address is. It is immutable but for seen and leaving.
type entry struct {
	port   Port
	self   [1]Port // the same, as a list of destinations
	kind   Kind
	frozen Stamp // until when it does not move
	moves  moves // control's own
	seen   atomic.Int64

	leaving atomic.Int64 // when a frame came from elsewhere, which control is to learn of
}

func newEntry(at Stamp, p Port, k Kind) *entry {
	e := &entry{port: p, self: [1]Port{p}, kind: k}
	e.seen.Store(int64(at))
	return e
}

// fixed reports whether the address is somebody's own, and does not age or move.
func (e *entry) fixed() bool { return e.kind >= Static }

// grain is how exact the times are at which something was seen last. Within it, the
// goroutines of the data path do not write into each other's caches.
const grain = int64(time.Second)

// touch notes that something is still there.
func touch(seen *atomic.Int64, at Stamp) {
	if int64(at)-seen.Load() > grain {
		seen.Store(int64(at))
	}
}

// aged reports whether something has not been seen for longer than limit.
func aged(seen *atomic.Int64, at Stamp, limit time.Duration) bool {
	return int64(at)-seen.Load() > int64(limit)
}

// leaveTime is how long control may take to learn that an address has moved. It has
// another entry then.
const leaveTime = 100 * time.Millisecond

// leaves reports whether the address has just sent from elsewhere. What is for it goes
// to all until control knows: an answer comes faster than that.
func (e *entry) leaves(at Stamp) bool {
	t := e.leaving.Load()
	return t != 0 && int64(at)-t < int64(leaveTime)
}

// A neighbour says which MAC an IP address has. It is immutable but for seen.
type neighbour struct {
	mac    ether.MAC
	port   Port
	router bool
	seen   atomic.Int64
}

// Stamp returns the stamp of a moment: the data path wants one for each batch.
func (v *settings) Stamp(now time.Time) Stamp { return Stamp(max(0, now.Sub(v.base))) + 1 }

// time returns the moment of a stamp.
func (v *settings) time(at Stamp) time.Time { return v.base.Add(time.Duration(at - 1)) }

// find returns the entry of an address, or nil.
func (v *View) find(vid ether.VID, m ether.MAC) *entry {
	k := keyOf(vid, m)
	if e := v.macs.get(v.hasher.mac(k), k); e != nil || v.pins == 0 {
		return e
	}
	k = keyOf(anyVID, m)
	return v.macs.get(v.hasher.mac(k), k)
}

// neighbour returns who has an IP address, or nil.
func (v *View) neighbour(vid ether.VID, a netip.Addr) *neighbour {
	k := ipKeyOf(vid, a)
	return v.neighbours.get(v.hasher.ip(k), k)
}

// port returns a port that is up, or nil.
func (v *View) port(p Port) *port {
	if uint64(p) >= uint64(len(v.ports)) {
		return nil
	}
	return v.ports[p]
}
