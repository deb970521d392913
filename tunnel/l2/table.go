package l2

import (
	"encoding/binary"
	"hash/maphash"
	"iter"
	"math/bits"
	"net/netip"

	"campagnol/tunnel/l2/ether"
)

// A table is an immutable hash table. Its with, without and filter return a changed
// copy, which shares with the old one all but the parts that differ: a table of
// 10,000 addresses changes in microseconds, while any number of goroutines read the
// old one. Reading costs no more than one slice of keys and the entry.
type table[K comparable, E any] struct {
	hash  func(K) uint64
	parts *[tableParts][]slot[K, E] // nil: empty
	n     int
}

// tableParts is how many parts a table has. A change copies one of them, and the
// array.
const tableParts = 256

// A slot is a place in a part, which is a hash table with linear probing: as long as
// a power of two, and at most half full.
type slot[K comparable, E any] struct {
	key K
	e   *E // nil: free
}

// get returns the entry of k, whose hash is h, or nil.
func (t *table[K, E]) get(h uint64, k K) *E {
	if t.parts == nil {
		return nil
	}
	p := t.parts[h%tableParts]
	if len(p) == 0 {
		return nil
	}
	for i := h / tableParts; ; i++ {
		s := &p[i&uint64(len(p)-1)]
		if s.e == nil || s.key == k {
			return s.e
		}
	}
}

// all iterates over the entries, in no order.
func (t *table[K, E]) all() iter.Seq2[K, *E] {
	return func(yield func(K, *E) bool) {
		if t.parts == nil {
			return
		}
		for _, p := range t.parts {
			for i := range p {
				if p[i].e != nil && !yield(p[i].key, p[i].e) {
					return
				}
			}
		}
	}
}

// with returns a copy in which k has the entry e.
func (t table[K, E]) with(k K, e *E) table[K, E] {
	at := t.hash(k) % tableParts
	t.fork()
	rest := without(t.parts[at], k)
	t.n += len(rest) + 1 - used(t.parts[at])
	t.parts[at] = t.part(append(rest, slot[K, E]{k, e}))
	return t
}

// without returns a copy that lacks k.
func (t table[K, E]) without(k K) table[K, E] {
	h := t.hash(k)
	if t.get(h, k) == nil {
		return t
	}
	t.fork()
	at := h % tableParts
	t.parts[at] = t.part(without(t.parts[at], k))
	t.n--
	return t
}

// filter returns a copy with the entries that keep wants, and those that it does not
// want. It asks once about each. Only the parts that lose some are copied.
func (t table[K, E]) filter(keep func(K, *E) bool) (rest table[K, E], gone []*E) {
	if t.parts == nil {
		return t, nil
	}
	old := t.parts
	var kept []slot[K, E]
	for at, p := range old {
		kept = kept[:0]
		before := len(gone)
		for _, s := range p {
			switch {
			case s.e == nil:
			case keep(s.key, s.e):
				kept = append(kept, s)
			default:
				gone = append(gone, s.e)
			}
		}
		if len(gone) == before {
			continue
		}
		if t.parts == old {
			t.fork()
		}
		t.parts[at] = t.part(kept)
	}
	t.n -= len(gone)
	return t, gone
}

// fork gives t an array of parts of its own.
func (t *table[K, E]) fork() {
	parts := new([tableParts][]slot[K, E])
	if t.parts != nil {
		*parts = *t.parts
	}
	t.parts = parts
}

// part returns a part with the given slots, which are in use and have different keys.
func (t *table[K, E]) part(list []slot[K, E]) []slot[K, E] {
	if len(list) == 0 {
		return nil
	}
	part := make([]slot[K, E], 1<<bits.Len(uint(2*len(list)-1)))
	mask := uint64(len(part) - 1)
	for _, s := range list {
		i := t.hash(s.key) / tableParts
		for part[i&mask].e != nil {
			i++
		}
		part[i&mask] = s
	}
	return part
}

// without returns the slots of a part that are in use, but for that of k, and room
// for one more.
func without[K comparable, E any](p []slot[K, E], k K) []slot[K, E] {
	rest := make([]slot[K, E], 0, len(p)/2+1)
	for _, s := range p {
		if s.e != nil && s.key != k {
			rest = append(rest, s)
		}
	}
	return rest
}

func used[K comparable, E any](p []slot[K, E]) (n int) {
	for i := range p {
		if p[i].e != nil {
			n++
		}
	}
	return n
}

// A key is a VLAN and an address in it.
type key uint64

// anyVID stands for every VLAN in the keys of pinned addresses. No frame has it.
const anyVID ether.VID = 0xfff

func keyOf(v ether.VID, m ether.MAC) key { return key(v)<<48 | key(m) }

func (k key) vid() ether.VID { return ether.VID(k >> 48) }

func (k key) mac() ether.MAC { return ether.MAC(k) & ether.Broadcast }

// An ipKey is a VLAN and an IP address in it; those of IPv4 in the form
// ::ffff:a.b.c.d.
type ipKey struct {
	hi, lo uint64
	vid    ether.VID
}

func ipKeyOf(v ether.VID, a netip.Addr) ipKey {
	b := a.As16()
	return ipKey{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), v}
}

func (k ipKey) addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	return netip.AddrFrom16(b).Unmap()
}

// A hasher hashes keys with secrets, so that nobody can choose addresses that all
// fall into the same place.
type hasher struct{ a, b uint64 }

func newHasher() hasher {
	seed := maphash.MakeSeed()
	return hasher{maphash.Comparable(seed, 1), maphash.Comparable(seed, 2) | 1}
}

func (h *hasher) mac(k key) uint64 { return mix(uint64(k)^h.a, h.b) }

func (h *hasher) ip(k ipKey) uint64 {
	return mix(mix(k.hi^h.a, k.lo^h.b)^uint64(k.vid)^h.a, h.b)
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
