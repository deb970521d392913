package l2

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"campagnol/tunnel/l2/ether"
)

// newTable returns a table whose keys fall into few places.
func newTable(hash func(key) uint64) table[key, int] { return table[key, int]{hash: hash} }

// contents returns what a table has, by iterating, and checks that every entry is
// found.
func contents(t *testing.T, x *table[key, int]) map[key]int {
	t.Helper()
	m := map[key]int{}
	for k, e := range x.all() {
		if _, twice := m[k]; twice {
			t.Errorf("key %d is there twice", k)
		}
		m[k] = *e
		if got := x.get(x.hash(k), k); got != e {
			t.Errorf("key %d: found %v", k, got)
		}
	}
	if len(m) != x.n {
		t.Errorf("%d entries, counted as %d", len(m), x.n)
	}
	return m
}

// TestTable compares a table with a map over random changes, for a good hash, one
// with few values, and one with a single one. Older versions do not change.
func TestTable(t *testing.T) {
	good := newHasher()
	for name, hash := range map[string]func(key) uint64{
		"good":   good.mac,
		"poor":   func(k key) uint64 { return uint64(k%5) << 8 },
		"single": func(key) uint64 { return 1<<64 - 1 },
	} {
		r := rand.New(rand.NewPCG(1, 2))
		x, model := newTable(hash), map[key]int{}
		type version struct {
			x     table[key, int]
			model map[key]int
		}
		var old []version
		for i := range 1000 {
			k := key(r.IntN(150))
			switch r.IntN(10) {
			case 0, 1, 2, 3, 4, 5:
				x = x.with(k, &i)
				model[k] = i
			case 6, 7, 8:
				x = x.without(k)
				delete(model, k)
			default:
				keep := func(k key, e *int) bool { return (int(k)+i)%10 != 0 }
				before := x.n
				var gone []*int
				if x, gone = x.filter(keep); before != x.n+len(gone) {
					t.Errorf("%s, change %d: %d entries without %d are %d", name, i, before, len(gone), x.n)
				}
				maps.DeleteFunc(model, func(k key, v int) bool { return !keep(k, &v) })
			}
			if x.n != len(model) {
				t.Fatalf("%s, change %d: %d entries, want %d", name, i, x.n, len(model))
			}
			if i%100 == 0 {
				old = append(old, version{x, maps.Clone(model)})
			}
		}
		old = append(old, version{x, model})
		for i := range old {
			if got := contents(t, &old[i].x); !maps.Equal(got, old[i].model) {
				t.Errorf("%s, version %d: %v, want %v", name, i, got, old[i].model)
			}
		}
		for k := range model {
			x = x.without(k)
		}
		if got := contents(t, &x); len(got) != 0 || x.get(hash(3), 3) != nil {
			t.Errorf("%s: after the last: %v", name, got)
		}
	}
}

// TestTableEmpty: a table without entries can be asked and changed.
func TestTableEmpty(t *testing.T) {
	h := newHasher()
	x := newTable(h.mac)
	x, _ = x.without(1).filter(func(key, *int) bool { return false })
	if x.get(h.mac(1), 1) != nil || len(contents(t, &x)) != 0 {
		t.Error("something is there")
	}
}

// TestFilterShares: a filter that loses nothing copies nothing.
func TestFilterShares(t *testing.T) {
	h := newHasher()
	one := 1
	x := newTable(h.mac).with(7, &one)
	if y, _ := x.filter(func(key, *int) bool { return true }); y.parts != x.parts {
		t.Error("the parts were copied")
	}
}

func TestKeys(t *testing.T) {
	k := keyOf(4094, ether.Broadcast-1)
	if k.vid() != 4094 || k.mac() != ether.Broadcast-1 {
		t.Errorf("%d, %v", k.vid(), k.mac())
	}
	for _, s := range []string{"10.77.0.1", "fe80::1", "::1", "2001:db8::ffff:1"} {
		a := netip.MustParseAddr(s)
		if got := ipKeyOf(7, a); got.addr() != a || got.vid != 7 {
			t.Errorf("%s: %v, VLAN %d", s, got.addr(), got.vid)
		}
	}
}

// TestHashSpreads: neither addresses in a row nor VLANs fall into few parts.
func TestHashSpreads(t *testing.T) {
	h := newHasher()
	for name, keyAt := range map[string]func(i int) key{
		"addresses":   func(i int) key { return keyOf(0, macA+ether.MAC(i)) },
		"first bytes": func(i int) key { return keyOf(0, macA+ether.MAC(i)<<34) },
		"VLANs":       func(i int) key { return keyOf(ether.VID(i%4095), macA) },
	} {
		var parts [tableParts]int
		for i := range 4000 {
			parts[h.mac(keyAt(i))%tableParts]++
		}
		for i, n := range parts { // 16 are expected
			if n > 80 {
				t.Errorf("%s: part %d has %d of 4000", name, i, n)
			}
		}
	}
}

// TestFilterUndecided: who is asked may change his mind, as times change while an
// address is looked at.
func TestFilterUndecided(t *testing.T) {
	h := newHasher()
	x := newTable(h.mac)
	for i := range 1000 {
		x = x.with(key(i), &i)
	}
	asked := map[key]int{}
	y, gone := x.filter(func(k key, _ *int) bool { asked[k]++; return asked[k] > 1 })
	if y.n != 0 || len(gone) != 1000 || len(contents(t, &x)) != 1000 {
		t.Errorf("%d are left, %d have gone", y.n, len(gone))
	}
}
