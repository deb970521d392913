package tunnel

import (
	"net/netip"
	"slices"
)

// Sources is a set of addresses: those from which a peer may send packets beyond
// the one that its session is with. It does not change and is safe for concurrent
// use. A nil *Sources is empty.
type Sources struct {
	// spans do not touch and are in order, so that a search among them takes a
	// few comparisons, however they were put together.
	spans []span
}

// A span is all addresses from first to last, of one family.
type span struct{ first, last netip.Addr }

// NewSources returns the set of all addresses in some networks, of which one that
// is as long as an address is that address. It is nil if there are none.
func NewSources(networks []netip.Prefix) *Sources {
	var spans []span
	for _, n := range networks {
		if n.IsValid() {
			spans = append(spans, span{n.Masked().Addr(), lastOf(n)})
		}
	}
	if len(spans) == 0 {
		return nil
	}
	slices.SortFunc(spans, func(a, b span) int { return a.first.Compare(b.first) })
	joined := spans[:1]
	for _, s := range spans[1:] {
		end := &joined[len(joined)-1]
		switch {
		case s.first.Is4() == end.last.Is4() && s.first.Compare(end.last) <= 0:
			if end.last.Less(s.last) {
				end.last = s.last
			}
		case end.last.Next() == s.first: // one invalid Addr is no neighbour of any
			end.last = s.last
		default:
			joined = append(joined, s)
		}
	}
	return &Sources{slices.Clip(joined)}
}

// lastOf returns the last address of a network.
func lastOf(n netip.Prefix) netip.Addr {
	b := n.Addr().AsSlice()
	for i := n.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Contains reports whether a is in the set.
func (s *Sources) Contains(a netip.Addr) bool {
	if s == nil {
		return false
	}
	// The last span that does not begin behind a. Written out, since this is done
	// for each packet: slices.BinarySearchFunc calls a function at each step.
	low, high := 0, len(s.spans)
	for low < high {
		mid := int(uint(low+high) >> 1)
		if s.spans[mid].first.Compare(a) <= 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low > 0 && a.Compare(s.spans[low-1].last) <= 0
}
