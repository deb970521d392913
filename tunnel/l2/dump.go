package l2

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"campagnol/tunnel/l2/ether"
)

// A Dump is a snapshot of what a switch knows, made for people.
type Dump struct {
	MACs       []MACEntry       // by VLAN and address
	Neighbours []NeighbourEntry // likewise
	Ports      []PortEntry      // by number
	Drops      map[string]uint64
}

// A MACEntry says where an address is.
type MACEntry struct {
	VID    ether.VID
	All    bool // in every VLAN; VID is 0
	MAC    ether.MAC
	Port   Port
	Kind   Kind
	Age    time.Duration // since it was seen, to about a second; of what does not age 0
	Frozen time.Duration // how long it will not move
}

// A NeighbourEntry says which MAC an IP address has.
type NeighbourEntry struct {
	VID    ether.VID
	IP     netip.Addr
	MAC    ether.MAC
	Port   Port
	Router bool
	Age    time.Duration
}

// A PortEntry says what has come from a port that is up.
type PortEntry struct {
	Port      Port
	MACs      int               // learned
	Unlearned uint64            // frames from addresses beyond the quota
	Passed    map[string]uint64 // frames by class
	Drops     map[string]uint64 // frames by reason
}

// Learned returns how many addresses are learned, ours included.
func (s *Switch) Learned() (n int) {
	for _, p := range s.view.ports {
		if p != nil {
			n += p.macs
		}
	}
	return n
}

// Drops returns how many frames were dropped, by reason.
func (s *Switch) Drops() map[string]uint64 { return s.view.drops.Snapshot() }

// Dump returns a snapshot.
func (s *Switch) Dump(now time.Time) Dump {
	v := s.view
	at := v.Stamp(now)
	d := Dump{Drops: v.drops.Snapshot()}
	for k, e := range v.macs.all() {
		m := MACEntry{VID: k.vid(), MAC: k.mac(), Port: e.port, Kind: e.kind}
		if k.vid() == anyVID {
			m.VID, m.All = 0, true
		}
		if !e.fixed() {
			m.Age = age(at, e.seen.Load())
			m.Frozen = time.Duration(max(0, e.frozen-at))
		}
		d.MACs = append(d.MACs, m)
	}
	for k, n := range v.neighbours.all() {
		d.Neighbours = append(d.Neighbours, NeighbourEntry{k.vid, k.addr(), n.mac, n.port, n.router, age(at, n.seen.Load())})
	}
	for _, p := range v.ports {
		if p != nil {
			d.Ports = append(d.Ports, p.entry())
		}
	}
	slices.SortFunc(d.MACs, func(a, b MACEntry) int { return cmp.Or(cmp.Compare(a.VID, b.VID), cmp.Compare(a.MAC, b.MAC)) })
	slices.SortFunc(d.Neighbours, func(a, b NeighbourEntry) int { return cmp.Or(cmp.Compare(a.VID, b.VID), a.IP.Compare(b.IP)) })
	return d
}

// age returns how long ago something was seen. The data path's clock may be a little
// ahead.
func age(at Stamp, seen int64) time.Duration { return time.Duration(max(0, int64(at)-seen)) }

func (p *port) entry() PortEntry {
	e := PortEntry{Port: p.id, MACs: p.macs, Unlearned: p.unlearned.Load(), Passed: map[string]uint64{}, Drops: p.drops.Snapshot()}
	for i := range p.passed {
		if n := p.passed[i].Load(); n > 0 {
			e.Passed[Class(i).String()] = n
		}
	}
	return e
}
