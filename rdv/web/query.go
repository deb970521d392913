package web

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"campagnol/rdv"
)

const maxSearch = 100 // bytes of what is searched for

// A query is what of the page is asked for.
type query struct {
	search string // in lower case
	only   string // of filters
	order  string // of orders
	down   bool   // the other way round
	page   int    // from 1
}

// An order is what members can be sorted by.
type order struct {
	name, label string
	less        func(a, b *rdv.ClientInfo) int
}

// orders are what members can be sorted by; they come in the first one.
var orders = []order{
	{"address", "VPN address", func(a, b *rdv.ClientInfo) int { return a.VPN[0].Compare(b.VPN[0]) }},
	{"name", "Name", func(a, b *rdv.ClientInfo) int { return cmp.Compare(a.Name, b.Name) }},
	{"nat", "NAT", func(a, b *rdv.ClientInfo) int { return cmp.Compare(natRank(a), natRank(b)) }},
	{"endpoint", "Endpoint", func(a, b *rdv.ClientInfo) int { return compareEndpoints(a.Endpoint, b.Endpoint) }},
	{"since", "Registered longest", func(a, b *rdv.ClientInfo) int { return a.Since.Compare(b.Since) }},
	{"heard", "Silent longest", func(a, b *rdv.ClientInfo) int { return a.Heard.Compare(b.Heard) }},
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

func compareEndpoints(a, b netip.AddrPort) int { return a.Compare(b) }

// byExpiry sorts those without a certificate last.
func byExpiry(a, b *rdv.ClientInfo) int {
	if a.Expires.IsZero() || b.Expires.IsZero() {
		return b.Expires.Compare(a.Expires)
	}
	return a.Expires.Compare(b.Expires)
}

// A filter is which members are shown.
type filter struct {
	name, label string
	passes      func(c *rdv.ClientInfo, now time.Time) bool
}

// filters are which members can be shown; the first one is for all of them.
var filters = []filter{
	{"all", "all", func(*rdv.ClientInfo, time.Time) bool { return true }},
	{"channel", "with a channel", func(c *rdv.ClientInfo, _ time.Time) bool { return c.Channel }},
	{"clear", "in clear", func(c *rdv.ClientInfo, _ time.Time) bool { return !c.Channel }},
	{"hard", "behind hard NATs", func(c *rdv.ClientInfo, _ time.Time) bool { return c.Channel && shapeOf(c) == shapeHard }},
	{"tcp", "by TCP", func(c *rdv.ClientInfo, _ time.Time) bool { return c.Stream }},
	{"relay", "that use the relay", func(c *rdv.ClientInfo, _ time.Time) bool { return c.Relay.Allocations > 0 }},
	{"ending", "whose certificate ends soon", func(c *rdv.ClientInfo, now time.Time) bool { return soon(c.Expires, now) }},
}

// askedFor reads a query. Whatever makes no sense is as if it was not there.
func askedFor(v url.Values) query {
	q := query{search: strings.TrimSpace(v.Get("q")), order: orders[0].name, only: filters[0].name, page: 1}
	if len(q.search) > maxSearch {
		q.search = q.search[:maxSearch]
	}
	q.search = strings.ToLower(strings.ToValidUTF8(q.search, ""))
	if slices.ContainsFunc(orders, func(o order) bool { return o.name == v.Get("sort") }) {
		q.order = v.Get("sort")
	}
	if slices.ContainsFunc(filters, func(f filter) bool { return f.name == v.Get("only") }) {
		q.only = v.Get("only")
	}
	q.down = v.Get("dir") == "desc"
	if n, err := strconv.Atoi(v.Get("page")); err == nil && n > 0 {
		q.page = n
	}
	return q
}

// link returns the address of a page of the list with this query.
func (q query) link(page int) string {
	v := url.Values{}
	if q.search != "" {
		v.Set("q", q.search)
	}
	if q.only != "" && q.only != filters[0].name {
		v.Set("only", q.only)
	}
	if q.order != orders[0].name {
		v.Set("sort", q.order)
	}
	if q.down {
		v.Set("dir", "desc")
	}
	if page > 1 {
		v.Set("page", strconv.Itoa(page))
	}
	return "?" + v.Encode() + "#members"
}

// narrowed reports whether not all members are asked for.
func (q query) narrowed() bool { return q.search != "" || q.only != filters[0].name }

// A heading is that of a column, by which the list can be sorted.
type heading struct {
	Label, Class string
	Link         string // "": one cannot sort by it
	Sorted       string // as aria-sort has it; "": by something else
}

// columns are those of the list, with the orders that they stand for.
var columns = []struct{ label, order, class string }{
	{"VPN address", "address", ""}, {"Name", "name", ""}, {"NAT", "nat", ""}, {"Endpoint", "endpoint", ""},
	{"Registered", "since", ""}, {"Heard", "heard", ""}, {"Certificate", "expires", ""},
	{"Relayed", "relay", "number"}, {"Asked", "introductions", "number"}, {"Wanted", "", "number"},
}

// headings returns the headings of the list. A second press on one turns the order round.
func (q query) headings() []heading {
	var list []heading
	for _, c := range columns {
		h := heading{Label: c.label, Class: c.class}
		if c.order != "" {
			to := query{search: q.search, only: q.only, order: c.order}
			if q.order == c.order {
				to.down = !q.down
				h.Sorted = map[bool]string{false: "ascending", true: "descending"}[q.down]
			}
			h.Link = to.link(1)
		}
		list = append(list, h)
	}
	return list
}
