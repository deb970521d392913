package web

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"campagnol/internal/human"
	"campagnol/rdv"
)

const (
	shownEvents   = 50
	shownRefusals = 20
	shownExpiries = 5
)

// A page is what the template shows.
type page struct {
	Software, Mode, Uptime, Time string

	Tiles    []tile
	Members  members
	Mesh     mesh
	Pairs    *pairTable // nil: there are too many
	Classes  []natClass
	Matrix   []matrixRow
	Pace     sparkline
	Relay    relayPart
	Expiries []expiry
	Refused  []refusedKind
	Refusals []happening
	Events   []happening
}

// A tile is a number with what it counts. To is where there is more; Warn says that
// somebody should look.
type tile struct {
	Number, Label, Note, To string
	Warn                    bool
}

// relayPart is what is shown of the relay.
type relayPart struct {
	On                          bool
	Allocations                 int
	Allocated, Granted, Refused uint64
	Pairs                       int // for which something is relayed now
	Bytes                       string
	Users                       []relayUser // those with most
}

// A relayUser is a member that uses the relay.
type relayUser struct {
	Who         string
	Allocations int
	Bytes       string
	bytes       uint64
}

// An expiry is the end of a member's certificate.
type expiry struct {
	Name, VPN, When, Date string
	Soon                  bool
}

// A happening is an event.
type happening struct {
	Number          uint64
	Time, Machine   string // of day, and for programs
	Who, Text, Kind string
	Refusal         bool
}

// A refusedKind is how many of the refusals that are remembered are for one reason.
type refusedKind struct {
	Word  string
	Count int
}

// refusedWords name refusals, by their kinds.
var refusedWords = []struct {
	kind rdv.EventKind
	word string
}{
	{rdv.Forbidden, "policy"}, {rdv.NotRelayed, "policy, relay"}, {rdv.Distrusted, "revoked"}, {rdv.HandshakeFailed, "certificate"},
	{rdv.Refused, "address"}, {rdv.Downgraded, "in clear"}, {rdv.Denied, "mode strict"}, {rdv.Conflict, "taken"}, {rdv.TableFull, "full"},
}

// refusedWord returns why somebody was refused, in a word.
func refusedWord(k rdv.EventKind) string {
	for _, w := range refusedWords {
		if w.kind == k {
			return w.word
		}
	}
	return ""
}

// refusedOf counts refusals.
func refusedOf(entries []rdv.Entry) (list []refusedKind) {
	for _, w := range refusedWords {
		n := 0
		for i := range entries {
			if entries[i].Kind == w.kind {
				n++
			}
		}
		if n > 0 {
			list = append(list, refusedKind{w.word, n})
		}
	}
	return list
}

// newPage returns the page about what a server knows.
func newPage(o *rdv.Overview, events []rdv.Entry, q query, l *layout) *page {
	p := &page{
		Software: human.Printable(o.Software), Mode: o.Mode.String(),
		Uptime: human.Age(o.Time.Sub(o.Started)), Time: o.Time.UTC().Format(time.DateTime) + " UTC",
		Members:  listOf(o, q),
		Mesh:     meshOf(o, l),
		Pairs:    pairsOf(o),
		Classes:  classesOf(o.Clients),
		Pace:     sparklineOf(o.Pace, o.PaceInterval),
		Relay:    relayOf(o),
		Expiries: expiriesOf(o),
		Refused:  refusedOf(o.Refusals),
		Refusals: happenings(o.Refusals[max(0, len(o.Refusals)-shownRefusals):], o.Time),
		Events:   happenings(events, o.Time),
	}
	p.Matrix = matrixOf(p.Classes)
	p.Tiles = p.tiles(o)
	return p
}

// tiles returns the numbers that come first.
func (p *page) tiles(o *rdv.Overview) []tile {
	channels, ending := 0, 0
	for i := range o.Clients {
		if o.Clients[i].Channel {
			channels++
		}
		if soon(o.Clients[i].Expires, o.Time) {
			ending++
		}
	}
	most := "no limit"
	if o.MaxClients > 0 {
		most = fmt.Sprintf("of at most %d", o.MaxClients)
	}
	list := []tile{
		{Number: fmt.Sprint(len(o.Clients)), Label: "registered", Note: most, To: "#members"},
		{Number: fmt.Sprint(channels), Label: "authenticated", Note: "mode " + p.Mode, To: "?only=channel#members"},
		{Number: fmt.Sprint(o.Stats.Sessions), Label: "pairs", Note: "introduced within a day", To: "#mesh"},
		{Number: p.Pace.PerSecond, Label: "introductions/s", Note: "in the last minute", To: "#pace"},
	}
	if p.Relay.On {
		list = append(list, tile{Number: fmt.Sprint(p.Relay.Pairs), Label: "pairs relayed", Note: p.Relay.Bytes + " in all", To: "#relay"})
	}
	return append(list, tile{
		Number: fmt.Sprint(ending), Label: "certificates end", Note: "within 30 days", To: "?only=ending#members", Warn: ending > 0,
	})
}

// relayOf returns what is shown of the relay.
func relayOf(o *rdv.Overview) relayPart {
	r := relayPart{
		On: o.Relays, Allocations: o.Stats.Relay.Allocations, Allocated: o.Stats.Relay.Allocated,
		Granted: o.Stats.Grants, Refused: o.Stats.Relay.Refused, Bytes: human.Size(o.Stats.Relay.Bytes),
	}
	for _, p := range o.Pairs {
		if lately(p, o.Time) {
			r.Pairs++
		}
	}
	for i := range o.Clients {
		if c := &o.Clients[i]; c.Relay.Allocations > 0 {
			r.Users = append(r.Users, relayUser{whoIs(c), c.Relay.Allocations, human.Size(c.Relay.Bytes), c.Relay.Bytes})
		}
	}
	slices.SortStableFunc(r.Users, func(a, b relayUser) int { return cmp.Compare(b.bytes, a.bytes) })
	const most = 5
	r.Users = r.Users[:min(most, len(r.Users))]
	return r
}

// whoIs names a member.
func whoIs(c *rdv.ClientInfo) string {
	if c.Name == "" {
		return c.VPN[0].String()
	}
	return human.Printable(c.Name) + " (" + c.VPN[0].String() + ")"
}

// expiriesOf returns the certificates that end first.
func expiriesOf(o *rdv.Overview) []expiry {
	var ending []*rdv.ClientInfo
	for i := range o.Clients {
		if c := &o.Clients[i]; !c.Expires.IsZero() {
			ending = append(ending, c)
		}
	}
	slices.SortStableFunc(ending, byExpiry)
	var list []expiry
	for _, c := range ending[:min(len(ending), shownExpiries)] {
		list = append(list, expiry{
			Name: human.OrDash(c.Name), VPN: c.VPN[0].String(), When: expiryText(c.Expires, o.Time),
			Date: c.Expires.UTC().Format(time.DateOnly), Soon: soon(c.Expires, o.Time),
		})
	}
	return list
}

// happenings returns events as they are shown, the newest first.
func happenings(entries []rdv.Entry, now time.Time) []happening {
	var list []happening
	for _, e := range slices.Backward(entries) {
		format := time.TimeOnly
		if now.Sub(e.Time) > 24*time.Hour {
			format = time.DateTime
		}
		list = append(list, happening{
			Number: e.Number, Time: e.Time.UTC().Format(format), Machine: e.Time.UTC().Format(time.RFC3339),
			Who: human.Printable(e.Who()), Text: human.Printable(e.Text()), Kind: refusedWord(e.Kind), Refusal: e.Kind.IsRefusal(),
		})
	}
	return list
}
