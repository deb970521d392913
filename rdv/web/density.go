package web

import (
	"fmt"
	"net/netip"
	"slices"

	"campagnol/rdv"
)

// maxNetworks is how many networks of members the drawing of many has.
const maxNetworks = 28

// A density is the picture of many members: how many introductions there are between
// their networks, which are parts of the VPN, so that a member which comes or goes leaves
// the others where they are.
type density struct {
	Networks []vpnNetwork
	Cells    []densityCell
	Shades   []shade
	Height   int
	Side     float64 // of a cell
}

// A vpnNetwork is a part of the VPN, a row and a column of the drawing.
type vpnNetwork struct {
	Name    string
	Members int
	Y       float64 // the middle of its row
}

// A densityCell is what there is between two networks, or within one.
type densityCell struct {
	X, Y    float64
	Shade   int
	Relayed bool
	CX, CY  float64 // its middle
	Title   string
}

// A shade stands for so many introductions.
type shade struct {
	Number int
	Text   string
}

const (
	shades = 4

	// The names of networks are left of the cells, in a drawing as wide as the other.
	densityNames = 260
	densityTop   = 10
)

// networksOf returns the parts of the VPN in which the members are, as small ones as
// there may be, and the number of each member's.
func networksOf(clients []rdv.ClientInfo) (networks []netip.Prefix, of []int) {
	for wider := 0; ; wider++ {
		networks = networks[:0]
		of = of[:0]
		for i := range clients {
			a := clients[i].VPN[0]
			n, _ := a.Prefix(max(0, a.BitLen()-wider)) // the length is right
			if len(networks) == 0 || networks[len(networks)-1] != n {
				networks = append(networks, n) // they come in order
			}
			of = append(of, len(networks)-1)
		}
		if len(networks) <= maxNetworks {
			return networks, of
		}
	}
}

// densityOf draws how many introductions there are between networks.
func densityOf(o *rdv.Overview, links []link) *density {
	networks, of := networksOf(o.Clients)
	d := &density{}
	d.Side = round(float64(meshWidth-densityNames-10) / float64(len(networks)))
	d.Height = int(d.Side*float64(len(networks))) + 2*densityTop
	for i, n := range networks {
		d.Networks = append(d.Networks, vpnNetwork{Name: placeText(n), Y: d.at(i) + d.Side/2})
	}
	for _, n := range of {
		d.Networks[n].Members++
	}
	type tally struct{ all, relayed, refused int }
	counts := map[[2]int]*tally{}
	most := 0
	for _, k := range links {
		pair := [2]int{max(of[k.a], of[k.b]), min(of[k.a], of[k.b])}
		c := counts[pair]
		if c == nil {
			c = &tally{}
			counts[pair] = c
		}
		switch k.kind {
		case kindRefused:
			c.refused++
			continue
		case kindRelayed:
			c.relayed++
		}
		c.all++
		most = max(most, c.all)
	}
	for pair, c := range counts {
		x, y := densityNames+d.Side*float64(pair[1]), d.at(pair[0])
		d.Cells = append(d.Cells, densityCell{
			X: round(x), Y: round(y), CX: round(x + d.Side/2), CY: round(y + d.Side/2), Shade: shadeOf(c.all, most), Relayed: c.relayed > 0,
			Title: fmt.Sprintf("%s with %s: %s, %d relayed by this server, %d refused", d.Networks[pair[0]].Name, d.Networks[pair[1]].Name,
				count(c.all, "introduction", "introductions"), c.relayed, c.refused),
		})
	}
	slices.SortFunc(d.Cells, func(a, b densityCell) int { // as they are read
		if a.Y != b.Y {
			return int(a.Y - b.Y)
		}
		return int(a.X - b.X)
	})
	d.Shades = shadesOf(most)
	return d
}

// at returns where a row begins.
func (d *density) at(row int) float64 { return round(densityTop + d.Side*float64(row)) }

// shadeOf returns the shade of n introductions, if there are most in one cell: from 1 to
// shades, and 0 for none.
func shadeOf(n, most int) int {
	if n == 0 {
		return 0
	}
	return (n*shades + most - 1) / most
}

// shadesOf explains the shades.
func shadesOf(most int) (list []shade) {
	for s := 1; s <= shades; s++ {
		first, last := most*(s-1)/shades+1, most*s/shades
		switch {
		case first > last: // there are fewer than shades
		case first == last:
			list = append(list, shade{s, fmt.Sprint(first)})
		default:
			list = append(list, shade{s, fmt.Sprintf("%d to %d", first, last)})
		}
	}
	return list
}
