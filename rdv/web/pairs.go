package web

import (
	"fmt"

	"campagnol/internal/human"
	"campagnol/rdv"
)

// maxInTable is how many members have a table of all their pairs.
const maxInTable = 16

// A pairTable says of each two members what there is between them, or may be.
type pairTable struct {
	Members []pairMember
	Signs   []kind // that are in it
}

// A pairMember is a row of the table.
type pairMember struct {
	Short, Name string
	Cells       []pairCell
}

// A pairCell is what there is between two members.
type pairCell struct {
	Kind  kind
	Same  bool // of a member with itself
	Title string
}

// pairsOf returns the table of few members, and nil of many.
func pairsOf(o *rdv.Overview) *pairTable {
	if n := len(o.Clients); n < 2 || n > maxInTable {
		return nil
	}
	seen := map[[2]int]kind{}
	for _, k := range linksOf(o) {
		seen[[2]int{min(k.a, k.b), max(k.a, k.b)}] = k.kind
	}
	t := &pairTable{}
	used := map[kind]bool{}
	for i := range o.Clients {
		a := &o.Clients[i]
		m := pairMember{Name: a.VPN[0].String()}
		if a.Name != "" {
			m.Name = human.Printable(a.Name)
		}
		m.Short = shorten(m.Name, 14)
		for j := range o.Clients {
			b := &o.Clients[j]
			c := pairCell{Same: i == j, Kind: expected(a, b)}
			if k := seen[[2]int{min(i, j), max(i, j)}]; k == kindRelayed || k == kindRefused {
				c.Kind = k
			}
			if !c.Same {
				used[c.Kind] = true
				c.Title = fmt.Sprintf("%s and %s: %s", whoIs(a), whoIs(b), c.Kind.Word)
			}
			m.Cells = append(m.Cells, c)
		}
		t.Members = append(t.Members, m)
	}
	for _, k := range []kind{kindRelayed, kindRefused, kindDirect, kindGuess, kindNone, kindUnknown} {
		if used[k] {
			t.Signs = append(t.Signs, k)
		}
	}
	return t
}
