package ether

// A VID is the number of a VLAN. 0 is the native one, of frames without a tag and
// of those whose tags have a priority only.
type VID uint16

// MaxVID is the largest number of a VLAN; the one above it is reserved (IEEE 802.1Q
// table 9-2).
const MaxVID VID = 4094

// Valid reports whether v is 0 or the number of a VLAN.
func (v VID) Valid() bool { return v <= MaxVID }

// A VIDSet is a set of VLANs. A nil one is that of all.
type VIDSet struct {
	bits [(MaxVID + 2) / 64]uint64
}

// NewVIDSet returns the set of those of vids that are valid.
func NewVIDSet(vids ...VID) *VIDSet {
	s := new(VIDSet)
	for _, v := range vids {
		s.Add(v, v)
	}
	return s
}

// Add adds the VLANs from first to last, both included, as far as they are valid.
func (s *VIDSet) Add(first, last VID) {
	for v := first; v <= min(last, MaxVID); v++ {
		s.bits[v/64] |= 1 << (v % 64)
	}
}

// Has reports whether v is in the set. The reserved number is in none, not even in
// that of all.
func (s *VIDSet) Has(v VID) bool {
	return v.Valid() && (s == nil || s.bits[v/64]&(1<<(v%64)) != 0)
}
