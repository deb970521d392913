package segment

import (
	"bytes"
	"fmt"
	"testing"
)

// benchLarge are the large packets of the benchmarks: 64 KB each, in segments that
// fit a tunnel.
var benchLarge = []struct {
	name string
	spec spec
	gso  GSO
}{
	{"kind=tcp4", spec{seq: 5, flags: flagACK, payload: random(64000, 1)}, GSO{TCP4, 1367}},
	{"kind=tcp6", spec{v6: true, seq: 5, flags: flagACK, payload: random(64000, 1)}, GSO{TCP6, 1347}},
	{"kind=udp", spec{udp: true, payload: random(64000, 1)}, GSO{UDP, 1200}},
}

// BenchmarkCut cuts a large packet. Restoring it, a copy of 64 KB, is part of it.
func BenchmarkCut(b *testing.B) {
	for _, c := range benchLarge {
		b.Run(c.name, func(b *testing.B) {
			big := c.spec.make()
			work := bytes.Clone(big)
			var cut Cutter
			b.SetBytes(int64(len(big)))
			b.ReportAllocs()
			for b.Loop() {
				copy(work, big)
				if err := cut.Begin(work, c.gso); err != nil {
					b.Fatal(err)
				}
				for cut.Next() != nil {
				}
			}
		})
	}
}

// BenchmarkJoin makes a large packet of its segments.
func BenchmarkJoin(b *testing.B) {
	for _, c := range benchLarge {
		b.Run(c.name, func(b *testing.B) {
			segs := cutAll(b, c.spec.make(), c.gso)
			work := clones(segs)
			j := Joiner{UDP: true}
			b.SetBytes(int64(len(c.spec.payload)))
			b.ReportAllocs()
			for b.Loop() {
				copy(work[0], segs[0]) // the only one that is changed
				for _, s := range work {
					j.Add(s)
				}
				if len(j.Flush()) != 1 {
					b.Fatal("not joined")
				}
			}
		})
	}
}

// BenchmarkJoinFlows joins a batch of segments of several flows that take turns.
func BenchmarkJoinFlows(b *testing.B) {
	for _, flows := range []int{4, 64} {
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			const size, segments = 1367, 64
			var segs [][]byte
			for i := range segments {
				flow := i % flows
				segs = append(segs, spec{
					sport: uint16(1000 + flow), seq: uint32(i / flows * size), flags: flagACK, payload: random(size, 1),
				}.make())
			}
			work := clones(segs)
			var j Joiner
			b.SetBytes(size * segments)
			b.ReportAllocs()
			for b.Loop() {
				for i := range flows {
					copy(work[i], segs[i]) // the first of each flow is changed
				}
				for _, s := range work {
					j.Add(s)
				}
				if n := len(j.Flush()); n != flows {
					b.Fatalf("joined to %d packets, want %d", n, flows)
				}
			}
		})
	}
}

func BenchmarkSum(b *testing.B) {
	for _, kind := range []struct {
		name string
		add  func([]byte, uint64) uint64
	}{{"fast", addWords}, {"generic", addWordsGeneric}} {
		for _, n := range []int{40, 1400, 64000} {
			b.Run(fmt.Sprintf("kind=%s/size=%d", kind.name, n), func(b *testing.B) {
				data := random(n, 1)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					kind.add(data, 0)
				}
			})
		}
	}
}

func TestNoAllocs(t *testing.T) {
	big := spec{seq: 5, flags: flagACK | flagPSH, payload: random(64000, 1)}.make()
	work := bytes.Clone(big)
	var c Cutter
	g := GSO{TCP4, 1367}
	if n := testing.AllocsPerRun(100, func() {
		copy(work, big)
		if c.Begin(work, g) != nil {
			t.Fatal("refused")
		}
		for c.Next() != nil {
		}
	}); n != 0 {
		t.Errorf("cutting allocates %.0f times", n)
	}
	segs := cutAll(t, spec{seq: 5, flags: flagACK, payload: random(64000, 1)}.make(), g)
	fresh := clones(segs)
	var j Joiner
	if n := testing.AllocsPerRun(100, func() {
		for i, s := range segs {
			copy(fresh[i], s)
			j.Add(fresh[i])
		}
		if len(j.Flush()) != 1 {
			t.Fatal("not joined")
		}
	}); n != 0 {
		t.Errorf("joining allocates %.0f times", n)
	}
}
