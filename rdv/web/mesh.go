package web

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"campagnol/internal/human"
	"campagnol/rdv"
)

const (
	// maxDrawn is how many members are drawn each for itself; of more, their networks
	// are (density.go).
	maxDrawn = 60

	// few members are drawn so large that a phone shows all at once.
	few = 10

	// maxEdges bounds the lines, and maxListed the rows of the table: the latest.
	maxEdges  = 400
	maxListed = 60

	// The drawing has this size at most, and below it room for what is said of a
	// member.
	meshWidth, meshHeight, meshTip = 1000, 640, 70

	// Around the members there is so much room, for their names, and the drawing is
	// so wide at least.
	roomBeside, roomAbove, leastWidth = 110, 50, 560

	dot = 14 // half the size of a member
)

// A mesh is the picture of who was introduced to whom.
type mesh struct {
	Nodes   []node
	Edges   []edge
	Hulls   []hull
	Density *density // instead, of many members

	Seen, Expected []legend
	Rows           []meshRow
	Total          int    // introductions and refusals
	Class          string // of the style sheet
	Left, Top      int    // what is seen of it
	Width, Height  int
	TipX, TipY     int
	LeftOver       int // lines that are not drawn
}

// A node is a member.
type node struct {
	ID           int
	X, Y         float64
	Left, Top    float64 // of its symbol
	TextX, TextY float64
	Anchor       string
	Label, To    string
	Title        string
	Tip          string
	Shape        string
	Ending       bool // its certificate, soon
}

// An edge is an introduction, or a refusal.
type edge struct {
	A, B   int // IDs
	Path   string
	Class  string
	Title  string
	Cross  string // a path, of what was refused
	MX, MY float64
}

// A hull is drawn around members of one network.
type hull struct{ Path, Title string }

// A legend explains the edges of a kind.
type legend struct {
	Kind  kind
	Count int
}

// A meshRow is a line of the table that says the same as the drawing.
type meshRow struct {
	From, To, Note, Ago string
	Kind                kind
}

// meshOf draws who was introduced to whom.
func meshOf(o *rdv.Overview, l *layout) mesh {
	links := linksOf(o)
	m := mesh{Width: meshWidth, Total: len(links), Class: sizeClass(len(o.Clients))}
	m.legends(links)
	for _, k := range links[:min(len(links), maxListed)] {
		m.Rows = append(m.Rows, rowOfLink(o, k))
	}
	if len(o.Clients) > maxDrawn {
		m.Density = densityOf(o, links)
		return m
	}
	m.LeftOver = max(0, len(links)-maxEdges)
	links = links[:min(len(links), maxEdges)]
	m.draw(o, links, l)
	return m
}

// sizeClass returns the class of the style sheet for a drawing of n members.
func sizeClass(n int) string {
	switch {
	case n <= few:
		return "mesh-few"
	case n <= 25:
		return "mesh-some"
	}
	return "mesh-many"
}

// legends counts the links of each kind.
func (m *mesh) legends(links []link) {
	counts := map[kind]int{}
	for _, k := range links {
		counts[k.kind]++
	}
	list := func(kinds ...kind) (l []legend) {
		for _, k := range kinds {
			if counts[k] > 0 {
				l = append(l, legend{k, counts[k]})
			}
		}
		return l
	}
	m.Seen = list(kindRelayed, kindRefused)
	m.Expected = list(kindDirect, kindGuess, kindNone, kindUnknown)
}

// rowOfLink says in words what a line of the drawing does.
func rowOfLink(o *rdv.Overview, k link) meshRow {
	r := meshRow{From: whoIs(&o.Clients[k.a]), To: whoIs(&o.Clients[k.b]), Kind: k.kind, Ago: human.Age(o.Time.Sub(k.since)) + " ago"}
	switch k.kind {
	case kindRefused:
		r.Note = human.Printable(k.why)
	case kindRelayed:
		r.Note = "their NATs: " + k.expected.Word
	default:
		r.Note = "as their NATs let expect"
	}
	return r
}

// draw draws members and links.
func (m *mesh) draw(o *rdv.Overview, links []link, l *layout) {
	g := &graph{room: point{meshWidth, meshHeight}, margin: point{60, 44}}
	byNetwork := map[netip.Prefix][]int{}
	for i := range o.Clients {
		c := &o.Clients[i]
		g.nodes = append(g.nodes, c.VPN[0])
		n := network(c.Endpoint.Addr().Unmap())
		byNetwork[n] = append(byNetwork[n], i)
	}
	for _, k := range links {
		if k.kind != kindRefused { // who may not talk is not to be near each other for it
			g.edges = append(g.edges, [2]int{k.a, k.b})
		}
	}
	var shared []netip.Prefix
	for n, list := range byNetwork {
		if len(list) > 1 {
			shared = append(shared, n)
		}
	}
	slices.SortFunc(shared, func(a, b netip.Prefix) int { return cmp.Compare(byNetwork[a][0], byNetwork[b][0]) })
	for _, n := range shared {
		g.groups = append(g.groups, byNetwork[n])
	}
	at := l.place(g)
	m.frame(at)
	for i, n := range shared {
		m.Hulls = append(m.Hulls, hull{hullPath(at, g.groups[i]), fmt.Sprintf("%d members at %s", len(g.groups[i]), placeText(n))})
	}
	degree := make([]int, len(at))
	for _, k := range links {
		degree[k.a]++
		degree[k.b]++
		m.Edges = append(m.Edges, edgeOf(o, k, at))
	}
	for i := range o.Clients {
		m.Nodes = append(m.Nodes, nodeOf(o, i, at[i], degree[i]))
	}
	placeLabels(m.Nodes, m.Class, box{float64(m.Left), float64(m.Top), float64(m.Left + m.Width), float64(m.Top + m.Height - meshTip)})
}

// frame makes the drawing as large as it has to be, in steps, so that it seldom changes.
func (m *mesh) frame(at []point) {
	const step = 40.0
	low, high := point{meshWidth, meshHeight}, point{}
	for _, p := range at {
		low, high = point{min(low.x, p.x), min(low.y, p.y)}, point{max(high.x, p.x), max(high.y, p.y)}
	}
	left, right := math.Floor((low.x-roomBeside)/step)*step, math.Ceil((high.x+roomBeside)/step)*step
	if short := leastWidth - (right - left); short > 0 {
		left, right = left-short/2, right+short/2
	}
	top, bottom := math.Floor((low.y-roomAbove)/step)*step, math.Ceil((high.y+roomAbove)/step)*step
	m.Left, m.Width, m.Top, m.Height = int(left), int(right-left), int(top), int(bottom-top)+meshTip
	m.TipX, m.TipY = int(left+right)/2, int(bottom)+26
}

// placeText names a network of one address without its length.
func placeText(n netip.Prefix) string {
	if n.IsSingleIP() {
		return n.Addr().String()
	}
	return n.String()
}

// nodeOf returns a member.
func nodeOf(o *rdv.Overview, i int, at point, links int) node {
	c := &o.Clients[i]
	label := c.VPN[0].String()
	if c.Name != "" {
		label = human.Printable(c.Name)
	}
	n := node{
		ID: i, X: round(at.x), Y: round(at.y), Left: round(at.x - dot), Top: round(at.y - dot),
		Label: label, To: query{search: c.VPN[0].String(), order: orders[0].name}.link(1),
		Title: fmt.Sprintf("%s: %s", whoIs(c), natText(c)), Shape: shapeOf(c), Ending: soon(c.Expires, o.Time),
		Tip: natText(c) + ", " + count(links, "line", "lines"),
	}
	if !c.Channel {
		n.Title, n.Tip = whoIs(c)+": registered in clear", "registered in clear, "+count(links, "line", "lines")
	}
	if n.Ending {
		n.Tip += "; ⚠ certificate " + endsText(c.Expires, o.Time)
	}
	return n
}

// endsText says when a certificate ends, in a sentence.
func endsText(at, now time.Time) string {
	if !at.After(now) {
		return "has expired"
	}
	return "ends in " + human.Age(at.Sub(now))
}

// edgeOf returns a link between two places. One older than ten minutes is paler.
func edgeOf(o *rdv.Overview, k link, at []point) edge {
	const recent = 10 * time.Minute
	a, b := at[k.a], at[k.b]
	r := rowOfLink(o, k)
	e := edge{
		A: k.a, B: k.b, Path: fmt.Sprintf("M%g %gL%g %g", round(a.x), round(a.y), round(b.x), round(b.y)),
		Class: "edge edge-" + k.kind.Class,
		Title: fmt.Sprintf("%s and %s: %s, introduced %s", r.From, r.To, k.kind.Word, r.Ago),
	}
	if o.Time.Sub(k.since) > recent && k.kind != kindRelayed {
		e.Class += " edge-old"
	}
	if k.kind == kindRefused {
		e.Title = fmt.Sprintf("%s and %s: %s %s: %s", r.From, r.To, k.kind.Word, r.Ago, r.Note)
		x, y := round((a.x+b.x)/2), round((a.y+b.y)/2)
		e.Cross = fmt.Sprintf("M%g %gl16 16m0 -16l-16 16", x-8, y-8)
	}
	return e
}

// hullPath returns the line around places: their convex hull, in the order of angles
// around their middle, which for the few of a network is as good. It is drawn thick.
func hullPath(at []point, list []int) string {
	middle := point{}
	for _, i := range list {
		middle = middle.plus(at[i].times(1 / float64(len(list))))
	}
	around := slices.Clone(list)
	angle := func(i int) float64 { d := at[i].minus(middle); return math.Atan2(d.y, d.x) }
	slices.SortStableFunc(around, func(a, b int) int { return cmp.Compare(angle(a), angle(b)) })
	var b strings.Builder
	for n, i := range around {
		fmt.Fprintf(&b, "%c%g %g", map[bool]rune{true: 'M', false: 'L'}[n == 0], round(at[i].x), round(at[i].y))
	}
	return b.String() + "Z"
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
