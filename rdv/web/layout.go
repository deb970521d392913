package web

import (
	"hash/fnv"
	"math"
	"net/netip"
	"slices"
	"sync"
)

// A layout says where members are drawn. Those that were introduced to each other, and
// those in one network, are near each other, and all are apart (after Fruchterman and
// Reingold, Graph Drawing by Force-directed Placement, 1991).
//
// It is the same for the same members each time. Where members were drawn before they
// stay, or nearly so, when others come and go: who looks at the page finds them again. Only
// when there is twice as much to draw all is drawn anew.
// It is safe for concurrent use.
type layout struct {
	mu     sync.Mutex
	of     uint64 // what was drawn last
	places map[netip.Addr]point
	size   int // of the graph when it was last drawn from the beginning
}

// A point is a place in the drawing.
type point struct{ x, y float64 }

func (p point) plus(q point) point       { return point{p.x + q.x, p.y + q.y} }
func (p point) minus(q point) point      { return point{p.x - q.x, p.y - q.y} }
func (p point) times(f float64) point    { return point{p.x * f, p.y * f} }
func (p point) length() float64          { return math.Hypot(p.x, p.y) }
func (p point) atMost(far float64) point { return p.times(min(1, far/max(p.length(), tiny))) }
func (p point) within(room, m point) point {
	return point{min(max(p.x, m.x), room.x-m.x), min(max(p.y, m.y), room.y-m.y)}
}

const tiny = 1e-6

const (
	// A drawing of nobody we have drawn before settles in so many steps, one in which
	// little has changed in fewer.
	settleSteps = 300
	adjustSteps = 40

	// Who was drawn before moves by no more than this, each time.
	drift = 12
)

// A graph is what is laid out.
type graph struct {
	nodes  []netip.Addr
	edges  [][2]int // of nodes
	groups [][]int  // nodes in one network
	room   point    // the size of the drawing
	margin point    // at each side
}

// size returns how much there is to draw.
func (g *graph) size() int { return len(g.nodes) + len(g.edges) }

// key tells graphs apart.
func (g *graph) key() uint64 {
	h := fnv.New64a()
	add := func(list ...int) {
		for _, n := range list {
			_, _ = h.Write([]byte{byte(n), byte(n >> 8)})
		}
	}
	for _, a := range g.nodes {
		b := a.As16()
		_, _ = h.Write(b[:])
	}
	edges := slices.Clone(g.edges) // in whatever order
	slices.SortFunc(edges, func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
	for _, e := range edges {
		add(e[0], e[1])
	}
	for _, list := range g.groups {
		add(-1)
		add(list...)
	}
	return h.Sum64()
}

// place returns where the nodes of g are.
func (l *layout) place(g *graph) []point {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := make([]point, len(g.nodes))
	before := make([]*point, len(g.nodes)) // nil: it is new
	known := 0
	for i, a := range g.nodes {
		if p, ok := l.places[a]; ok {
			before[i], at[i] = &p, p
			known++
		}
	}
	key := g.key()
	if known == len(at) && key == l.of {
		return at
	}
	if known > 0 && g.size() < 2*l.size { // else little of what was drawn is worth keeping
		g.begin(at, before, 0)
		g.settle(at, adjustSteps, before)
	} else {
		at, l.size = g.best(), g.size()
	}
	l.of, l.places = key, make(map[netip.Addr]point, len(at))
	for i, a := range g.nodes {
		l.places[a] = at[i]
	}
	return at
}

// best tries a few beginnings, fewer with many nodes, and returns that in which the fewest
// edges cross each other, or lead past a node as if they ended there.
func (g *graph) best() (at []point) {
	tries, least := 2, -1
	if len(g.nodes) <= 24 {
		tries = 12
	}
	for try := range tries {
		next := make([]point, len(g.nodes))
		g.begin(next, make([]*point, len(next)), byte(try))
		g.settle(next, settleSteps, make([]*point, len(next)))
		if n := g.crossings(next) + 3*g.passings(next); least < 0 || n < least {
			at, least = next, n
		}
	}
	return at
}

// crossings returns how many edges cross each other.
func (g *graph) crossings(at []point) (n int) {
	left := func(a, b, c point) bool { return (b.x-a.x)*(c.y-a.y) > (b.y-a.y)*(c.x-a.x) }
	for i, e := range g.edges {
		for _, f := range g.edges[:i] {
			if e[0] == f[0] || e[0] == f[1] || e[1] == f[0] || e[1] == f[1] {
				continue
			}
			a, b, c, d := at[e[0]], at[e[1]], at[f[0]], at[f[1]]
			if left(a, b, c) != left(a, b, d) && left(c, d, a) != left(c, d, b) {
				n++
			}
		}
	}
	return n
}

// passings returns how many nodes are on an edge of others.
func (g *graph) passings(at []point) (n int) {
	const near = 1.5 * dot
	for _, e := range g.edges {
		a, along := at[e[0]], at[e[1]].minus(at[e[0]])
		for i, p := range at {
			if i == e[0] || i == e[1] {
				continue
			}
			d := p.minus(a)
			part := (d.x*along.x + d.y*along.y) / max(along.x*along.x+along.y*along.y, tiny)
			if part > 0 && part < 1 && d.minus(along.times(part)).length() < near {
				n++
			}
		}
	}
	return n
}

// begin gives nodes a place that have none: near those that they know, or where their
// address says, each time elsewhere.
func (g *graph) begin(at []point, before []*point, try byte) {
	for i, a := range g.nodes {
		if before[i] != nil {
			continue
		}
		own := g.placeOf(a, try)
		sum, n := point{}, 0.0
		for _, e := range g.edges {
			for side := range e {
				if other := e[1-side]; e[side] == i && before[other] != nil {
					sum, n = sum.plus(at[other]), n+1
				}
			}
		}
		if at[i] = own; n > 0 {
			at[i] = sum.times(1/n).plus(own.minus(g.room.times(0.5)).times(0.3)).within(g.room, g.margin)
		}
	}
}

// placeOf returns a place that an address has by itself, in one of several tries.
func (g *graph) placeOf(a netip.Addr, try byte) point {
	h := fnv.New64a()
	b := a.As16()
	_, _ = h.Write(append(b[:], try))
	n := h.Sum64()
	n ^= n >> 29 // of addresses in a row, the lower bits differ alone
	n *= 0xbf58476d1ce4e5b9
	angle := float64(n>>40) / (1 << 24) * 2 * math.Pi
	far := 0.2 + 0.25*float64(n>>16&0xffff)/0xffff
	return point{g.room.x * (0.5 + far*math.Cos(angle)), g.room.y * (0.5 + far*math.Sin(angle))}
}

// settle moves the nodes, by less and less.
func (g *graph) settle(at []point, steps int, before []*point) {
	n := len(at)
	apart := min(0.62*math.Sqrt(g.room.x*g.room.y/float64(max(n, 1))), 190)
	degree := make([]float64, n)
	for _, e := range g.edges {
		degree[e[0]]++
		degree[e[1]]++
	}
	moves := make([]point, n)
	for step := range steps {
		clear(moves)
		g.push(at, moves, apart)
		g.pull(at, moves, degree, apart)
		heat := apart * (1 - float64(step)/float64(steps))
		for i := range at {
			at[i] = at[i].plus(moves[i].atMost(heat)).within(g.room, g.margin)
			if before[i] != nil {
				at[i] = before[i].plus(at[i].minus(*before[i]).atMost(drift))
			}
		}
	}
}

// reach is how far nodes push each other, in what they are apart; or else all would end up
// at the edges.
const reach = 2.6

// wide is by how much farther from each other nodes beside each other are than those
// above each other: their names are wide.
const wide = 1.5

// push moves nodes away from each other.
func (g *graph) push(at, moves []point, apart float64) {
	for i := range at {
		for j := range i {
			d := at[i].minus(at[j])
			d.x /= wide
			far := d.length()
			if far > reach*apart {
				continue
			}
			if far < tiny { // any direction, but always the same
				d, far = point{math.Cos(float64(i)), math.Sin(float64(i))}, 1
			}
			by := d.times(apart * apart / (far * far) * (1 - far/(reach*apart)))
			by.x *= wide
			moves[i] = moves[i].plus(by)
			moves[j] = moves[j].minus(by)
		}
	}
}

// pull moves those together that know each other or are in one network, and all of them
// to the middle. Who knows many is pulled less by each.
func (g *graph) pull(at, moves []point, degree []float64, apart float64) {
	for _, e := range g.edges {
		d := at[e[1]].minus(at[e[0]])
		d = d.times(d.length() / apart / math.Pow(max(degree[e[0]], degree[e[1]], 1), 0.9))
		moves[e[0]] = moves[e[0]].plus(d)
		moves[e[1]] = moves[e[1]].minus(d)
	}
	for _, list := range g.groups {
		middle := point{}
		for _, i := range list {
			middle = middle.plus(at[i].times(1 / float64(len(list))))
		}
		for _, i := range list {
			d := middle.minus(at[i])
			moves[i] = moves[i].plus(d.times(5 * d.length() / apart / math.Pow(float64(len(list))/2, 1.2)))
		}
	}
	for i := range at {
		d := g.room.times(0.5).minus(at[i])
		d.y *= g.room.x / g.room.y
		moves[i] = moves[i].plus(d.times(0.12))
	}
}
