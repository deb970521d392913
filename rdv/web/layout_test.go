package web

import (
	"math"
	"net/netip"
	"slices"
	"testing"
)

// ring returns a graph of n members, each of whom knows the next one.
func ring(n int) *graph {
	g := &graph{room: point{meshWidth, meshHeight}, margin: point{60, 44}}
	for i := range n {
		g.nodes = append(g.nodes, netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}))
		if i > 0 {
			g.edges = append(g.edges, [2]int{i - 1, i})
		}
	}
	return g
}

// TestLayout: members are apart from each other and within the drawing, however many they
// are and whomever they know.
func TestLayout(t *testing.T) {
	star := func(n int) *graph {
		g := ring(n)
		g.edges = nil
		for i := 1; i < n; i++ {
			g.edges = append(g.edges, [2]int{0, i})
		}
		return g
	}
	full := func(n int) *graph {
		g := ring(n)
		g.edges = nil
		for i := range n {
			for j := range i {
				g.edges = append(g.edges, [2]int{i, j})
			}
		}
		return g
	}
	alone := func(n int) *graph {
		g := ring(n)
		g.edges = nil
		return g
	}
	one := func(n int) *graph { // network
		g := alone(n)
		list := make([]int, n)
		for i := range list {
			list[i] = i
		}
		g.groups = [][]int{list}
		return g
	}
	for name, of := range map[string]func(int) *graph{"a ring": ring, "a star": star, "all with all": full, "nobody with anybody": alone, "one network": one} {
		for _, n := range []int{1, 2, 3, 10, 30, maxDrawn} {
			g := of(n)
			if len(g.edges) > maxEdges {
				continue // not as many are drawn
			}
			at := new(layout).place(g)
			for i, p := range at {
				if !(p.x >= g.margin.x && p.x <= g.room.x-g.margin.x && p.y >= g.margin.y && p.y <= g.room.y-g.margin.y) {
					t.Errorf("%d, %s: %v is outside", n, name, p)
				}
				for _, q := range at[:i] {
					if far := p.minus(q).length(); far < 2*dot {
						t.Errorf("%d, %s: two are %.1f apart, want %d", n, name, far, 2*dot)
					}
				}
			}
		}
	}
}

// TestLayoutNear: those who know each other are nearer than others, and those in one
// network nearer still.
func TestLayoutNear(t *testing.T) {
	g := ring(24)
	g.edges = nil
	for i := range 24 { // four cliques
		for j := range i {
			if i/6 == j/6 {
				g.edges = append(g.edges, [2]int{j, i})
			}
		}
	}
	at := new(layout).place(g)
	mean := func(is func(i, j int) bool) float64 {
		sum, n := 0.0, 0.0
		for i := range at {
			for j := range i {
				if is(i, j) {
					sum, n = sum+at[i].minus(at[j]).length(), n+1
				}
			}
		}
		return sum / n
	}
	near, far := mean(func(i, j int) bool { return i/6 == j/6 }), mean(func(i, j int) bool { return i/6 != j/6 })
	if near > 0.6*far {
		t.Errorf("those who know each other are %.0f apart, the others %.0f", near, far)
	}
	before := at[20].minus(at[2]).length()
	g.groups = [][]int{{2, 20}}
	at = new(layout).place(g)
	if after := at[20].minus(at[2]).length(); after > 0.6*before {
		t.Errorf("in one network they are %.0f apart, in two %.0f", after, before)
	}
}

// TestLayoutStays: the same members are where they were, at every look and on every
// server; when one comes, goes, or is introduced, the others hardly move.
func TestLayoutStays(t *testing.T) {
	g := ring(30)
	var l layout
	first := l.place(g)
	if again := new(layout).place(ring(30)); !slices.Equal(first, again) {
		t.Error("another server draws the same members elsewhere")
	}
	slices.Reverse(g.edges)
	if again := l.place(g); !slices.Equal(first, again) {
		t.Error("the same members are elsewhere at the next look")
	}
	moved := func(what string, before, after []point) {
		t.Helper()
		for i := range min(len(before), len(after)) {
			if far := after[i].minus(before[i]).length(); far > drift+0.001 {
				t.Errorf("%s: a member moves by %.1f, want %d at most", what, far, drift)
			}
		}
	}
	more := l.place(ring(31))
	moved("one comes", first, more)
	if far := more[30].minus(more[29]).length(); far > 300 {
		t.Errorf("who comes is %.0f from who it knows", far)
	}
	for _, p := range more[:30] {
		if p.minus(more[30]).length() < dot {
			t.Error("who comes is drawn above another one")
		}
	}
	fewer := l.place(ring(29))
	moved("two go", more, fewer)
	g = ring(29)
	g.edges = append(g.edges, [2]int{0, 28})
	moved("two are introduced", fewer, l.place(g))
	if got, want := l.place(ring(60)), new(layout).place(ring(60)); !slices.Equal(got, want) {
		t.Error("twice as many are not drawn anew")
	}
}

// TestCrossings: lines that cross are counted, and of a drawing that needs none few do.
func TestCrossings(t *testing.T) {
	g := &graph{edges: [][2]int{{0, 1}, {2, 3}, {0, 2}, {4, 5}}}
	at := []point{{0, 0}, {10, 10}, {10, 0}, {0, 10}, {20, 1}, {20, 9}}
	if n := g.crossings(at); n != 1 {
		t.Errorf("%d lines cross, want 1", n)
	}
	g.edges = append(g.edges, [2]int{1, 2})
	at = []point{{0, 0}, {100, 0}, {100, 100}, {0, 100}, {-50, 0}, {300, 0}}
	if n := g.passings(at); n != 2 { // 4 to 5 leads past 0 and 1
		t.Errorf("lines lead past %d, want 2", n)
	}
	for _, n := range []int{8, 16, 24} {
		g := ring(n)
		g.edges = append(g.edges, [2]int{0, n - 1})
		at := new(layout).place(g)
		if got, past := g.crossings(at), g.passings(at); got > n/8 || past > 0 {
			t.Errorf("of a ring of %d, lines cross %d times, and lead past %d", n, got, past)
		}
	}
}

// TestHull: a line around members of one network has each of them once.
func TestHull(t *testing.T) {
	at := []point{{0, 0}, {100, 0}, {100, 100}, {0, 100}, {500, 500}}
	if got, want := hullPath(at, []int{2, 0, 3, 1}), "M0 0L100 0L100 100L0 100Z"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := hullPath(at, []int{0, 1}), "M100 0L0 0Z"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// FuzzLayout: whoever knows whomever, all have a place within the drawing.
func FuzzLayout(f *testing.F) {
	f.Add(5, []byte{0, 1, 1, 2, 3, 3})
	f.Add(60, []byte{7, 7, 7, 7})
	f.Add(1, []byte{})
	f.Fuzz(func(t *testing.T, n int, links []byte) {
		n = 1 + (n%maxDrawn+maxDrawn)%maxDrawn
		g := ring(n)
		g.edges = nil
		for i := 0; i+1 < len(links) && i < 200; i += 2 {
			a, b := int(links[i])%n, int(links[i+1])%n
			if a != b {
				g.edges = append(g.edges, [2]int{a, b})
			}
		}
		var l layout
		for range 2 {
			for _, p := range l.place(g) {
				if math.IsNaN(p.x+p.y) || p.x < 0 || p.y < 0 || p.x > g.room.x || p.y > g.room.y {
					t.Fatalf("a member is at %v", p)
				}
			}
			g.edges = append(g.edges, [2]int{0, n - 1})
			if n == 1 {
				g.edges = nil
			}
		}
	})
}
