package web

import (
	"slices"
	"strings"
	"time"

	"campagnol/internal/human"
	"campagnol/punch/nat"
	"campagnol/rdv"
)

const perPage = 25 // members

// members are the list of members, as it is shown.
type members struct {
	Search         string
	Orders, Only   []choice
	Down, Narrowed bool
	Headings       []heading
	Rows           []row
	Found, All     int
	Page, Pages    int
	Previous, Next string // addresses; "": there is none
}

// A choice is one of several.
type choice struct {
	Name, Label string
	Chosen      bool
}

// A row is a member in the list.
type row struct {
	VPN                                           []string
	Name, Software, Endpoint, By                  string
	Since, Heard, NAT, Shape, Candidates, Expires string

	ExpiresSoon   bool
	Relay         string
	RelayedNow    int // with so many members
	Asked, Wanted uint64
	RelaysOthers  bool
}

// listOf returns the members that q asks for.
func listOf(o *rdv.Overview, q query) members {
	shown := filters[slices.IndexFunc(filters, func(f filter) bool { return f.name == q.only })]
	var found []*rdv.ClientInfo
	for i := range o.Clients {
		if c := &o.Clients[i]; shown.passes(c, o.Time) && (q.search == "" || matches(c, q.search)) {
			found = append(found, c)
		}
	}
	m := members{
		Search: q.search, Down: q.down, Narrowed: q.narrowed(), Headings: q.headings(),
		Found: len(found), All: len(o.Clients), Pages: max(1, (len(found)+perPage-1)/perPage),
	}
	for _, f := range filters {
		m.Only = append(m.Only, choice{f.name, f.label, f.name == q.only})
	}
	for _, by := range orders {
		chosen := by.name == q.order
		m.Orders = append(m.Orders, choice{by.name, by.label, chosen})
		if chosen {
			sortMembers(found, by, q.down)
		}
	}
	m.Page = min(q.page, m.Pages)
	if m.Page > 1 {
		m.Previous = q.link(m.Page - 1)
	}
	if m.Page < m.Pages {
		m.Next = q.link(m.Page + 1)
	}
	first := (m.Page - 1) * perPage
	now := relayedNow(o)
	for _, c := range found[first:min(first+perPage, len(found))] {
		r := rowOf(c, o.Time)
		r.RelayedNow = now[c.VPN[0]]
		m.Rows = append(m.Rows, r)
	}
	return m
}

// sortMembers sorts, and leaves those that are alike in the order of their addresses.
func sortMembers(list []*rdv.ClientInfo, by order, down bool) {
	slices.SortStableFunc(list, func(a, b *rdv.ClientInfo) int {
		if down {
			return by.less(b, a)
		}
		return by.less(a, b)
	})
}

// matches reports whether a member is one that is searched for.
func matches(c *rdv.ClientInfo, search string) bool {
	texts := []string{c.Name, c.Endpoint.String(), natText(c), c.Software}
	for _, v := range c.VPN {
		texts = append(texts, v.String())
	}
	return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(strings.ToLower(s), search) })
}

// natText says what is in front of a member.
func natText(c *rdv.ClientInfo) string {
	if !c.Channel {
		return "not known"
	}
	return c.NAT.Class()
}

// The shapes in which members are drawn, by how well others find them. They are names of
// symbols on the page.
const (
	shapeOpen    = "open"    // a public address
	shapeNAT     = "nat"     // a NAT that can be crossed
	shapeHard    = "hard"    // one that cannot be, but with somebody's help
	shapeUnknown = "unknown" // nobody knows
	shapeClear   = "clear"   // registered in clear
)

// shapeOf returns the shape of a member.
func shapeOf(c *rdv.ClientInfo) string {
	switch b := c.NAT; {
	case !c.Channel:
		return shapeClear
	case !b.Known:
		return shapeUnknown
	case b.Blocked || b.Translated && (b.Mapping == nat.AddressAndPortDependent || b.Mapping == nat.AddressDependent && b.MappingExact):
		return shapeHard
	case !b.Translated:
		return shapeOpen
	}
	return shapeNAT
}

func rowOf(c *rdv.ClientInfo, now time.Time) row {
	r := row{
		Name: human.OrDash(c.Name), Software: human.Printable(c.Software), Endpoint: c.Endpoint.String(), By: "in clear",
		Since: human.Age(now.Sub(c.Since)), Heard: human.Age(now.Sub(c.Heard)) + " ago", NAT: natText(c), Shape: shapeOf(c),
		Expires: expiryText(c.Expires, now), ExpiresSoon: soon(c.Expires, now),
		Relay: "–", Asked: c.Asked, Wanted: c.Wanted, RelaysOthers: c.Relaying,
	}
	for _, v := range c.VPN {
		r.VPN = append(r.VPN, v.String())
	}
	if c.Channel {
		r.By = "channel"
	}
	if c.Stream {
		r.By += ", TCP"
	}
	if c.Candidates > 0 {
		r.Candidates = count(c.Candidates, "more place", "more places")
	}
	if c.Relay.Allocations > 0 {
		r.Relay = human.Size(c.Relay.Bytes)
	}
	return r
}

// soonBefore is how long before its end a certificate is warned of.
const soonBefore = 30 * 24 * time.Hour

// soon reports whether a certificate ends soon, or has ended.
func soon(at, now time.Time) bool { return !at.IsZero() && at.Sub(now) < soonBefore }

// expiryText says when a certificate ends.
func expiryText(at, now time.Time) string {
	switch {
	case at.IsZero():
		return "–"
	case !at.After(now):
		return "has expired"
	}
	return "in " + human.Age(at.Sub(now))
}
