package web

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"campagnol/internal/human"
	"campagnol/punch/nat"
	"campagnol/rdv"
)

const (
	// maxNodes and maxEdges bound the picture: those introduced last are drawn.
	maxNodes = 200
	maxEdges = 800

	// The picture is a square of this size, with the members on a circle.
	meshSize   = 1000
	meshCentre = meshSize / 2

	// Its radius leaves room for the names, which are smaller the more there are.
	meshRadius      = 320
	meshRadiusLarge = 370

	// More than this many do not fit on a phone.
	manyMembers = 40

	// few members have names that are level.
	few = 12

	// Of a letter, as parts of its height.
	letterWidth = 0.56
)

// A mesh is the picture of who was introduced to whom.
type mesh struct {
	Nodes    []node
	Edges    []edge
	Legend   []legend
	Font     float64
	Dot      float64
	Large    bool // it does not fit on a phone
	Top      int  // of what is seen of the square
	Height   int
	radius   float64
	Left     int // members that are not drawn
	LeftOver int // introductions, likewise
}

// A node is a member.
type node struct {
	X, Y             float64
	TextX, TextY     float64
	Anchor           string
	Turn             string // transform of the text
	Label, Title, To string
	Class            string
}

// An edge is an introduction.
type edge struct{ Path, Class, Title string }

// A legend explains the edges of a kind.
type legend struct {
	Kind  kind
	Count int
}

// meshOf draws the members that were introduced last, and if there is room others.
func meshOf(o *rdv.Overview) mesh {
	at := map[netip.Addr]int{} // in o.Clients
	for i := range o.Clients {
		at[o.Clients[i].VPN[0]] = i
	}
	drawn := make([]bool, len(o.Clients))
	count := 0
	draw := func(i int) {
		if !drawn[i] && count < maxNodes {
			drawn[i] = true
			count++
		}
	}
	for _, p := range o.Pairs {
		a, okA := at[p.Asker]
		b, okB := at[p.Asked]
		if okA && okB {
			draw(a)
			draw(b)
		}
	}
	for i := range o.Clients {
		draw(i)
	}
	m := mesh{Left: len(o.Clients) - count}
	places := m.place(o, drawn, count)
	m.connect(o, at, places)
	return m
}

// place puts the members that are drawn on the circle, in the order of their addresses,
// and returns their places.
func (m *mesh) place(o *rdv.Overview, drawn []bool, count int) map[int]*node {
	m.Large = count > manyMembers
	if m.radius = meshRadius; m.Large {
		m.radius = meshRadiusLarge
	}
	around := 2 * math.Pi * m.radius / float64(max(count, 1))
	m.Font = math.Round(10*min(30, 0.9*around)) / 10
	m.Dot = math.Round(10*min(14, 0.3*around)) / 10
	if m.Top, m.Height = 0, meshSize; count <= few {
		m.Top, m.Height = meshCentre-meshRadius-80, 2*meshRadius+160 // nothing leads beyond
	}
	m.Nodes = make([]node, 0, count)
	places := map[int]*node{}
	for i := range o.Clients {
		if drawn[i] {
			angle := 2*math.Pi*float64(len(m.Nodes))/float64(count) - math.Pi/2
			m.Nodes = append(m.Nodes, m.nodeOf(&o.Clients[i], angle, count))
			places[i] = &m.Nodes[len(m.Nodes)-1] // it has its capacity
		}
	}
	return places
}

// nodeOf returns a member at an angle. The names of few members are level, those of many
// lead away from the centre.
func (m *mesh) nodeOf(c *rdv.ClientInfo, angle float64, count int) node {
	label := c.VPN[0].String()
	if c.Name != "" {
		label = human.Printable(c.Name)
	}
	room := meshCentre - m.radius - m.Dot - 10
	n := node{
		X: round(meshCentre + m.radius*math.Cos(angle)), Y: round(meshCentre + m.radius*math.Sin(angle)),
		Label: shorten(label, int(min(room/(letterWidth*m.Font), 24))), Class: "node-channel",
		To:    query{search: c.VPN[0].String(), order: orders[0].name}.link(1),
		Title: fmt.Sprintf("%s, %s, %s", label, c.VPN[0], natText(c)),
	}
	if !c.Channel {
		n.Class = "node-clear"
	}
	away := m.radius + m.Dot + 8
	n.TextX, n.TextY = round(meshCentre+away*math.Cos(angle)), round(meshCentre+away*math.Sin(angle))
	degrees := angle * 180 / math.Pi
	switch side := math.Cos(angle); {
	case count <= few && math.Abs(side) < 0.2:
		n.Anchor = "middle"
		n.TextY = round(n.TextY + m.Font/2*math.Copysign(1, math.Sin(angle)))
	case side >= 0:
		n.Anchor = "start"
	default:
		n.Anchor = "end"
		degrees += 180
	}
	if count > few {
		n.Turn = fmt.Sprintf("rotate(%.1f %.1f %.1f)", degrees, n.TextX, n.TextY)
	}
	return n
}

// connect draws the introductions between members that have a place.
func (m *mesh) connect(o *rdv.Overview, at map[netip.Addr]int, places map[int]*node) {
	counts := map[kind]int{}
	seen := map[[2]int]bool{} // pairs, of which the later introduction counts
	for _, p := range o.Pairs {
		i, okI := at[p.Asker]
		j, okJ := at[p.Asked]
		pair := [2]int{min(i, j), max(i, j)}
		if !okI || !okJ || i == j || seen[pair] {
			continue
		}
		seen[pair] = true
		a, b := places[i], places[j]
		if a == nil || b == nil || len(m.Edges) == maxEdges {
			m.LeftOver++
			continue
		}
		k := edgeKind(&o.Clients[i], &o.Clients[j], p)
		counts[k]++
		m.Edges = append(m.Edges, edge{Path: curve(a, b), Class: edgeClass(k, o.Time.Sub(p.Time)), Title: fmt.Sprintf(
			"%s to %s: %s, %s ago", a.Label, b.Label, k.Word, human.Age(o.Time.Sub(p.Time)))})
	}
	for _, k := range []kind{kindDirect, kindGuess, kindRelayed, kindNone, kindUnknown} {
		if counts[k] > 0 {
			m.Legend = append(m.Legend, legend{k, counts[k]})
		}
	}
}

// edgeKind returns how two members find each other: by what their NATs let expect,
// unless one of them has asked for a relay.
func edgeKind(a, b *rdv.ClientInfo, p rdv.PairInfo) kind {
	switch {
	case p.Relayed:
		return kindRelayed
	case !a.Channel || !b.Channel:
		return kindUnknown
	}
	return kindOf(nat.Meet(a.NAT, b.NAT))
}

// edgeClass returns the classes of an edge in the style sheet: older ones are paler.
func edgeClass(k kind, old time.Duration) string {
	const recent = 10 * time.Minute
	class := "edge edge-" + k.Class
	if old > recent {
		class += " edge-old"
	}
	return class
}

// curve returns a path between two members that bends to the centre, so that neighbours'
// does not hide behind the circle.
func curve(a, b *node) string {
	const bend = 0.45
	x := meshCentre + (1-bend)*((a.X+b.X)/2-meshCentre)
	y := meshCentre + (1-bend)*((a.Y+b.Y)/2-meshCentre)
	return fmt.Sprintf("M%g %gQ%g %g %g %g", a.X, a.Y, round(x), round(y), b.X, b.Y)
}

func round(x float64) float64 { return math.Round(10*x) / 10 }

// shorten returns text with at most n characters.
func shorten(text string, n int) string {
	letters := []rune(text)
	if len(letters) <= n {
		return text
	}
	return string(letters[:max(n-1, 0)]) + "…"
}

// A sparkline is the picture of how many pairs were introduced.
type sparkline struct {
	Points        string
	Width, Height int
	Most          uint32
	Total         uint32
	PerSecond     string // in the last minute
	Minutes       int
}

// sparklineOf draws counts.
func sparklineOf(counts []uint32, interval time.Duration) sparkline {
	const width, height, edge = 300, 60, 3
	s := sparkline{Width: width, Height: height, Minutes: int((time.Duration(len(counts)) * interval).Minutes())}
	minute := int(time.Minute / max(interval, time.Second))
	var last uint32
	for i, n := range counts {
		s.Most = max(s.Most, n)
		s.Total += n
		if i >= len(counts)-minute {
			last += n
		}
	}
	s.PerSecond = fmt.Sprintf("%.2f", float64(last)/60)
	var points []string
	for i, n := range counts {
		x := float64(i) * width / float64(max(len(counts)-1, 1))
		y := height - edge - float64(n)*(height-2*edge)/float64(max(s.Most, 1))
		points = append(points, fmt.Sprintf("%g,%g", round(x), round(y)))
	}
	s.Points = strings.Join(points, " ")
	return s
}
