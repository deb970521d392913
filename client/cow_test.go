package client

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"campagnol/tunnel"
)

// contents returns what is in c, by walking it.
func contents(c cow[int, int]) map[int]int {
	m := map[int]int{}
	if c.parts != nil {
		for _, part := range c.parts {
			maps.Copy(m, part)
		}
	}
	return m
}

// TestCow compares a cow with a map through random changes, and checks that no
// older version changes.
func TestCow(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var c cow[int, int]
	want := map[int]int{}
	type version struct {
		c    cow[int, int]
		want map[int]int
	}
	var old []version
	for i := range 2000 {
		k := rng.IntN(300)
		if rng.IntN(3) == 0 {
			c = c.without(uint8(k), k)
			delete(want, k)
		} else {
			c = c.with(uint8(k), k, i)
			want[k] = i
		}
		if i%100 == 0 {
			old = append(old, version{c, maps.Clone(want)})
		}
	}
	for _, v := range append(old, version{c, want}) {
		if !maps.Equal(contents(v.c), v.want) || v.c.len() != len(v.want) {
			t.Fatalf("%d entries, len %d, want %d", len(contents(v.c)), v.c.len(), len(v.want))
		}
	}
	for k := range 300 {
		got, ok := c.get(uint8(k), k)
		v, has := want[k]
		if ok != has || got != v {
			t.Errorf("get(%d) = %d, %v, want %d, %v", k, got, ok, v, has)
		}
	}
}

func TestCowEmpty(t *testing.T) {
	var c cow[string, int]
	if _, ok := c.get(1, "x"); ok || c.len() != 0 {
		t.Error("something is in an empty cow")
	}
	if d := c.without(1, "x"); d.parts != nil {
		t.Error("removing nothing made a copy")
	}
}

// bigTable returns a table with n peers.
func bigTable(n int) *table {
	t := &table{}
	for i := range n {
		vpn := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}), uint16(i))
		t = t.withRoute(vpn, &route{addr: addr}).withSource(addr, &source{})
	}
	return t
}

func TestTable(t *testing.T) {
	vpn, addr := netip.MustParseAddr("10.9.0.2"), netip.MustParseAddrPort("203.0.113.22:39538")
	empty := &table{}
	full := empty.withRoute(vpn, &route{addr: addr}).withSource(addr, &source{handshaking: true}).withPunching(vpn, true)
	for name, c := range map[string]struct {
		t    *table
		want bool
	}{
		"empty": {empty, false},
		"full":  {full, true},
		"again": {full.withRoute(vpn, nil).withSource(addr, nil).withPunching(vpn, false), false},
	} {
		_, route := c.t.route(vpn)
		_, source := c.t.source(addr)
		if route != c.want || source != c.want || c.t.isPunching(vpn) != c.want {
			t.Errorf("%s: route %v, source %v, punching %v, want %v", name, route, source, c.t.isPunching(vpn), c.want)
		}
	}
}

// TestTableUpdate: the table of 10,000 peers changes in less than a millisecond,
// and looking something up allocates nothing.
func TestTableUpdate(t *testing.T) {
	tab := bigTable(10_000)
	vpn := netip.MustParseAddr("10.0.1.2")
	const n = 100
	start := time.Now()
	for range n {
		tab = tab.withRoute(vpn, &route{})
	}
	if d := time.Since(start) / n; d > time.Millisecond {
		t.Errorf("an update takes %v, want at most 1 ms", d)
	}
	if n := testing.AllocsPerRun(100, func() { tab.route(vpn) }); n != 0 {
		t.Errorf("a look-up allocates %.0f times, want 0", n)
	}
}

func BenchmarkTable(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		tab := bigTable(n)
		vpn := netip.MustParseAddr("10.0.0.0")
		addr := netip.MustParseAddrPort("203.0.0.0:0")
		b.Run(map[int]string{1: "lookup/1", 10_000: "lookup/10000"}[n], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tab.route(vpn)
				tab.source(addr)
			}
		})
		b.Run(map[int]string{1: "update/1", 10_000: "update/10000"}[n], func(b *testing.B) {
			b.ReportAllocs()
			r := &route{session: new(tunnel.Session)}
			for b.Loop() {
				tab.withRoute(vpn, r)
			}
		})
	}
}
