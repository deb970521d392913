package web

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"campagnol/internal/human"
	"campagnol/rdv"
)

const (
	perPage   = 50  // members
	maxSearch = 100 // bytes of what is searched for
)

// A query is what of the page is asked for.
type query struct {
	search string // in lower case
	order  string // of orders
	page   int    // from 1
}

// An order is what members can be sorted by.
type order struct {
	name, label string
	less        func(a, b *rdv.ClientInfo) int
}

var orders = []order{
	{"address", "VPN address", func(a, b *rdv.ClientInfo) int { return 0 }}, // they come so
	{"name", "Name", func(a, b *rdv.ClientInfo) int { return cmp.Compare(a.Name, b.Name) }},
	{"since", "Registered longest", func(a, b *rdv.ClientInfo) int { return a.Since.Compare(b.Since) }},
	{"heard", "Silent longest", func(a, b *rdv.ClientInfo) int { return a.Heard.Compare(b.Heard) }},
	{"nat", "NAT", func(a, b *rdv.ClientInfo) int { return cmp.Compare(natRank(a), natRank(b)) }},
	{"expires", "Certificate ends first", byExpiry},
	{"relay", "Relayed most", func(a, b *rdv.ClientInfo) int { return cmp.Compare(b.Relay.Bytes, a.Relay.Bytes) }},
	{"introductions", "Introduced most", func(a, b *rdv.ClientInfo) int { return cmp.Compare(b.Asked+b.Wanted, a.Asked+a.Wanted) }},
}

func natRank(c *rdv.ClientInfo) int {
	if !c.Channel {
		return -1
	}
	return c.NAT.ClassRank()
}

// byExpiry sorts those without a certificate last.
func byExpiry(a, b *rdv.ClientInfo) int {
	if a.Expires.IsZero() || b.Expires.IsZero() {
		return b.Expires.Compare(a.Expires)
	}
	return a.Expires.Compare(b.Expires)
}

// askedFor reads a query. Whatever makes no sense is as if it was not there.
func askedFor(v url.Values) query {
	q := query{search: strings.TrimSpace(v.Get("q")), order: orders[0].name, page: 1}
	if len(q.search) > maxSearch {
		q.search = q.search[:maxSearch]
	}
	q.search = strings.ToLower(strings.ToValidUTF8(q.search, ""))
	if slices.ContainsFunc(orders, func(o order) bool { return o.name == v.Get("sort") }) {
		q.order = v.Get("sort")
	}
	if n, err := strconv.Atoi(v.Get("page")); err == nil && n > 0 {
		q.page = n
	}
	return q
}

// link returns the address of a page with this query.
func (q query) link(page int) string {
	v := url.Values{}
	if q.search != "" {
		v.Set("q", q.search)
	}
	if q.order != orders[0].name {
		v.Set("sort", q.order)
	}
	if page > 1 {
		v.Set("page", strconv.Itoa(page))
	}
	return "?" + v.Encode() + "#members"
}

// members are the list of members, as it is shown.
type members struct {
	Search         string
	Orders         []choice
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
	VPN, Name, Endpoint, By, Since, Heard, NAT, Software string

	Candidates    int
	Expires       string
	ExpiresSoon   bool
	Relay         string
	Asked, Wanted uint64
	RelaysOthers  bool
}

// listOf returns the members that q asks for.
func listOf(o *rdv.Overview, q query) members {
	var found []*rdv.ClientInfo
	for i := range o.Clients {
		if c := &o.Clients[i]; q.search == "" || matches(c, q.search) {
			found = append(found, c)
		}
	}
	m := members{Search: q.search, Found: len(found), All: len(o.Clients), Pages: max(1, (len(found)+perPage-1)/perPage)}
	for _, by := range orders {
		chosen := by.name == q.order
		m.Orders = append(m.Orders, choice{by.name, by.label, chosen})
		if chosen {
			slices.SortStableFunc(found, by.less)
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
	for _, c := range found[first:min(first+perPage, len(found))] {
		m.Rows = append(m.Rows, rowOf(c, o.Time))
	}
	return m
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

func rowOf(c *rdv.ClientInfo, now time.Time) row {
	var vpn []string
	for _, v := range c.VPN {
		vpn = append(vpn, v.String())
	}
	r := row{
		VPN: strings.Join(vpn, " "), Name: human.OrDash(c.Name), Endpoint: c.Endpoint.String(), By: "in clear",
		Since: human.Age(now.Sub(c.Since)), Heard: human.Age(now.Sub(c.Heard)), NAT: natText(c), Software: human.OrDash(c.Software),
		Candidates: c.Candidates, Expires: expiryText(c.Expires, now), ExpiresSoon: soon(c.Expires, now),
		Relay: "-", Asked: c.Asked, Wanted: c.Wanted, RelaysOthers: c.Relaying,
	}
	if c.Channel {
		r.By = "channel"
	}
	if c.Stream {
		r.By += ", TCP"
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
		return "-"
	case !at.After(now):
		return "has expired"
	}
	return "in " + human.Age(at.Sub(now))
}
