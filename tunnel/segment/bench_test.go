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
	link Link
	big  []byte
	gso  GSO
}{
	{"kind=tcp4", IP, spec{seq: 5, flags: flagACK, payload: random(64000, 1)}.make(), GSO{TCP4, 1367}},
	{"kind=tcp6", IP, spec{v6: true, seq: 5, flags: flagACK, payload: random(64000, 1)}.make(), GSO{TCP6, 1347}},
	{"kind=udp", IP, spec{udp: true, payload: random(64000, 1)}.make(), GSO{UDP, 1200}},
	{"kind=frame4", Ethernet, frame(spec{seq: 5, flags: flagACK, payload: random(64000, 1)}.make()), GSO{TCP4, 1367}},
	{"kind=frame6", Ethernet, frame(spec{v6: true, seq: 5, flags: flagACK, payload: random(64000, 1)}.make(), 7), GSO{TCP6, 1347}},
}

// BenchmarkCut cuts a large packet. Restoring it, a copy of 64 KB, is part of it.
func BenchmarkCut(b *testing.B) {
	for _, c := range benchLarge {
		b.Run(c.name, func(b *testing.B) {
			work := bytes.Clone(c.big)
			cut := Cutter{Link: c.link}
			b.SetBytes(int64(len(c.big)))
			b.ReportAllocs()
			for b.Loop() {
				copy(work, c.big)
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
			segs := cutLink(b, c.link, bytes.Clone(c.big), c.gso)
			work := clones(segs)
			j := Joiner{Link: c.link, UDP: true}
			b.SetBytes(int64(len(c.big)))
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
	for _, c := range benchLarge {
		work := bytes.Clone(c.big)
		cut := Cutter{Link: c.link}
		if n := testing.AllocsPerRun(100, func() {
			copy(work, c.big)
			if cut.Begin(work, c.gso) != nil {
				t.Fatal("refused")
			}
			for cut.Next() != nil {
			}
		}); n != 0 {
			t.Errorf("%s: cutting allocates %.0f times", c.name, n)
		}
		segs := cutLink(t, c.link, bytes.Clone(c.big), c.gso)
		fresh := clones(segs)
		j := Joiner{Link: c.link, UDP: true}
		if n := testing.AllocsPerRun(100, func() {
			for i, s := range segs {
				copy(fresh[i], s)
				j.Add(fresh[i])
			}
			if len(j.Flush()) != 1 {
				t.Fatal("not joined")
			}
		}); n != 0 {
			t.Errorf("%s: joining allocates %.0f times", c.name, n)
		}
	}
}
