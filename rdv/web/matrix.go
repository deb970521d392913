package web

import (
	"fmt"
	"slices"
	"strings"

	"campagnol/punch/nat"
	"campagnol/rdv"
)

// A natClass is members with NATs of the same name. Those differ in ways that decide
// who finds whom, and so it counts them by what does.
type natClass struct {
	Name    string
	Count   int
	Percent int
	rank    int
	kinds   map[nat.Behaviour]int
}

// essence returns what of a NAT decides who finds whom.
func essence(b nat.Behaviour) nat.Behaviour {
	b.Ports, b.Step, b.Hairpin = 0, 0, false
	return b
}

// classesOf sorts the members with a channel into classes.
func classesOf(clients []rdv.ClientInfo) []natClass {
	byName := map[string]*natClass{}
	all := 0
	for i := range clients {
		c := &clients[i]
		if !c.Channel {
			continue
		}
		name := c.NAT.Class()
		n := byName[name]
		if n == nil {
			n = &natClass{Name: name, rank: c.NAT.ClassRank(), kinds: map[nat.Behaviour]int{}}
			byName[name] = n
		}
		n.Count++
		n.kinds[essence(c.NAT)]++
		all++
	}
	var list []natClass
	for _, n := range byName {
		n.Percent = (n.Count*100 + all/2) / all
		list = append(list, *n)
	}
	slices.SortFunc(list, func(a, b natClass) int { return a.rank - b.rank })
	return list
}

// A matrixRow is how members of a class find those of all classes.
type matrixRow struct {
	Name  string
	Cells []cell
}

// A cell is how members of two classes find each other.
type cell struct {
	Kind  kind // that most pairs are of
	Pairs int
	Count string // Pairs in words
	More  string // how many are of which kind, if they differ
	Title string
}

// matrixOf returns which classes find which.
func matrixOf(classes []natClass) []matrixRow {
	var rows []matrixRow
	for i := range classes {
		r := matrixRow{Name: classes[i].Name}
		for j := range classes {
			r.Cells = append(r.Cells, cellOf(&classes[i], &classes[j], i == j))
		}
		rows = append(rows, r)
	}
	return rows
}

// cellOf counts the pairs of members of two classes, or of one.
func cellOf(a, b *natClass, same bool) cell {
	counts := map[nat.Prospect]int{}
	for x, m := range a.kinds {
		for y, n := range b.kinds {
			pairs := m * n
			if same && x == y {
				pairs = m * (m - 1)
			}
			counts[nat.Meet(x, y)] += pairs
		}
	}
	if same { // each pair was counted twice
		for p := range counts {
			counts[p] /= 2
		}
	}
	c := cell{}
	best := -1
	var parts []string
	for p := nat.Uncertain; p <= nat.Hopeless; p++ {
		n, there := counts[p]
		if !there {
			continue
		}
		c.Pairs += n
		if n > best {
			best, c.Kind = n, kindOf(p)
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kindOf(p).Word))
		}
	}
	if len(parts) > 1 {
		c.More = strings.Join(parts, ", ")
	}
	c.Count = count(c.Pairs, "pair", "pairs")
	c.Title = fmt.Sprintf("%s with %s: %s, %s", a.Name, b.Name, c.Kind.Word, c.Count)
	return c
}
