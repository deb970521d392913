package web

// letterWidth is how wide a letter is, as a part of its height.
const letterWidth = 0.56

// labelSizes are the height of names, and how many letters they may have, by the class of
// the drawing. The style sheet has the same heights.
var labelSizes = map[string]struct {
	height  float64
	letters int
}{
	"mesh-few":  {21, 18},
	"mesh-some": {21, 16},
	"mesh-many": {17, 13},
}

// A box is a part of the drawing that something takes.
type box struct{ left, top, right, bottom float64 }

// overlap returns how much of a drawing two boxes share.
func (b box) overlap(c box) float64 {
	w := min(b.right, c.right) - max(b.left, c.left)
	h := min(b.bottom, c.bottom) - max(b.top, c.top)
	if w <= 0 || h <= 0 {
		return 0
	}
	return w * h
}

// outside returns how much of b is not within another box.
func (b box) outside(of box) float64 {
	return (b.right-b.left)*(b.bottom-b.top) - b.overlap(of)
}

// A labelPlace is one at which a name may be.
type labelPlace struct {
	x, y   float64 // of the text's middle line
	anchor string
	box    box
}

// labelPlaces returns where a member's name may be, the best first.
func labelPlaces(n *node, width, height float64) []labelPlace {
	const gap = 6
	below, above := n.Y+dot+gap/2+height/2, n.Y-dot-gap/2-height/2
	right, left := n.X+dot+gap, n.X-dot-gap
	list := []labelPlace{
		{n.X, below, "middle", box{}}, {right, n.Y, "start", box{}}, {left, n.Y, "end", box{}}, {n.X, above, "middle", box{}},
		{right, below, "start", box{}}, {left, below, "end", box{}}, {right, above, "start", box{}}, {left, above, "end", box{}},
	}
	for i := range list {
		p := &list[i]
		x := p.x
		switch p.anchor {
		case "middle":
			x -= width / 2
		case "end":
			x -= width
		}
		p.box = box{x, p.y - height/2, x + width, p.y + height/2}
	}
	return list
}

// placeLabels puts the names where they hide least of other names and of members, and are
// seen.
func placeLabels(nodes []node, class string, seen box) {
	size := labelSizes[class]
	var taken []box
	for i := range nodes {
		n := &nodes[i]
		taken = append(taken, box{n.X - dot, n.Y - dot, n.X + dot, n.Y + dot})
	}
	for i := range nodes {
		n := &nodes[i]
		n.Label = shorten(n.Label, size.letters)
		width := letterWidth * size.height * float64(len([]rune(n.Label)))
		var best labelPlace
		least := -1.0
		for _, p := range labelPlaces(n, width, size.height) {
			hidden := 2 * p.box.outside(seen)
			for _, b := range taken {
				hidden += p.box.overlap(b)
			}
			if least < 0 || hidden < least {
				best, least = p, hidden
			}
		}
		n.TextX, n.TextY, n.Anchor = round(best.x), round(best.y), best.anchor
		taken = append(taken, best.box)
	}
}
