package program

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/internal/lab/clock"
	"campagnol/internal/lab/frame"
)

// QuerierOptions say how a querier asks. Zero is the default of RFC 3376
// section 8.
type QuerierOptions struct {
	Version            uint8         // of IGMP: 2 or 3; zero is 3
	QueryInterval      time.Duration // 125 s
	ResponseInterval   time.Duration // 10 s
	LastMemberInterval time.Duration // 1 s
}

// robustness is how many times what may be lost is said.
const robustness = 2

// withDefaults fills in what is zero.
func (o QuerierOptions) withDefaults() QuerierOptions {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.QueryInterval, 125*time.Second)
	set(&o.ResponseInterval, 10*time.Second)
	set(&o.LastMemberInterval, time.Second)
	if o.Version == 0 {
		o.Version = 3
	}
	return o
}

// maxGroups is how many groups a querier remembers.
const maxGroups = 1024

// A querier asks the hosts of one network what they want, and remembers it. It
// has the state that forwarding needs and no more: for each group until when
// it is wanted from anybody, and until when from which sources. Who wants a
// group from all but some sources gets those as well, which RFC 3376 section
// 6.3 lets a router do. It is owned by one goroutine and does no I/O.
type querier struct {
	o      QuerierOptions
	groups map[netip.Addr]*wanted

	general clock.Instant // when the next general query is due
	startup int           // how many of those come soon, as long as nobody has been asked
}

// wanted is the state of a group.
type wanted struct {
	any     clock.Instant // until when it is wanted from anybody
	sources map[netip.Addr]clock.Instant

	// Queries about the group that are still to be sent: about the sources,
	// or, without any, about the group.
	ask   []netip.Addr
	times int
	due   clock.Instant
}

func newQuerier(now clock.Instant, o QuerierOptions) *querier {
	return &querier{o: o.withDefaults(), groups: map[netip.Addr]*wanted{}, general: now, startup: robustness}
}

// membership is how long a report is good for (RFC 3376 section 8.4).
func (q *querier) membership() time.Duration {
	return robustness*q.o.QueryInterval + q.o.ResponseInterval
}

// wants reports whether anybody wants what a source sends to a group.
func (q *querier) wants(now clock.Instant, group, source netip.Addr) bool {
	g := q.groups[group]
	return g != nil && (g.any > now || g.sources[source] > now)
}

// handle takes a message from a host.
func (q *querier) handle(now clock.Instant, m frame.Message) {
	switch {
	case m.Kind == frame.Report && m.Version < 3:
		q.record(now, frame.Record{Type: frame.IsEx, Group: m.Group})
	case m.Kind == frame.Leave:
		q.record(now, frame.Record{Type: frame.ToIn, Group: m.Group})
	case m.Kind == frame.Report:
		for _, r := range m.Records {
			q.record(now, r)
		}
	}
}

// record takes what is said about a group.
func (q *querier) record(now clock.Instant, r frame.Record) {
	g := q.groups[r.Group]
	if g == nil {
		// What begins here may be unwanted soon; the table of a querier of
		// experiments is never full otherwise.
		if !r.Group.IsMulticast() || len(q.groups) >= maxGroups || r.Type == frame.Block || r.Type == frame.ToIn && len(r.Sources) == 0 {
			return
		}
		g = &wanted{sources: map[netip.Addr]clock.Instant{}}
		q.groups[r.Group] = g
	}
	until := now.Add(q.membership())
	switch r.Type {
	case frame.IsEx, frame.ToEx:
		g.any = until
		g.times, g.ask = 0, nil
	case frame.IsIn, frame.Allow, frame.ToIn:
		for _, s := range r.Sources {
			if len(g.sources) < maxGroups {
				g.sources[s] = until
			}
		}
		if r.Type == frame.ToIn && g.any > now {
			q.doubt(now, g, nil)
		}
	case frame.Block:
		q.doubt(now, g, r.Sources)
	}
}

// doubt asks whether somebody else still wants the group, or the sources, and
// takes a no for the answer if there is none.
func (q *querier) doubt(now clock.Instant, g *wanted, sources []netip.Addr) {
	last := now.Add(robustness * q.o.LastMemberInterval)
	if sources == nil {
		g.any = min(g.any, last)
	}
	for _, s := range sources {
		if t, ok := g.sources[s]; ok {
			g.sources[s] = min(t, last)
		}
	}
	g.ask, g.times, g.due = slices.Clone(sources), robustness, now
}

// advance appends the queries that are due, and forgets what nobody wants.
func (q *querier) advance(now clock.Instant, out []frame.Message) []frame.Message {
	if q.general <= now {
		out = append(out, q.query(netip.IPv4Unspecified(), q.o.ResponseInterval, nil))
		interval := q.o.QueryInterval
		if q.startup--; q.startup > 0 {
			interval /= 4 // RFC 3376 section 8.6
		}
		q.general = now.Add(interval)
	}
	for addr, g := range q.groups {
		if g.times > 0 && g.due <= now {
			out = append(out, q.query(addr, q.o.LastMemberInterval, g.ask))
			g.times--
			g.due = now.Add(q.o.LastMemberInterval)
		}
		for s, until := range g.sources {
			if until <= now {
				delete(g.sources, s)
			}
		}
		if g.any <= now {
			g.any = 0
			if len(g.sources) == 0 {
				delete(q.groups, addr)
			}
		}
	}
	return out
}

// timeout returns when advance has something to do, or what wants returns may
// change.
func (q *querier) timeout() clock.Instant {
	next := q.general
	sooner := func(t clock.Instant) {
		if t != 0 {
			next = min(next, t)
		}
	}
	for _, g := range q.groups {
		if g.times > 0 {
			sooner(g.due)
		}
		sooner(g.any)
		for _, until := range g.sources {
			sooner(until)
		}
	}
	return next
}

// query returns a query about a group, or a general one.
func (q *querier) query(group netip.Addr, response time.Duration, sources []netip.Addr) frame.Message {
	m := frame.Message{Kind: frame.Query, Version: q.o.Version, Group: group, MaxResponse: response}
	if q.o.Version >= 3 {
		m.Sources, m.Robustness, m.Interval = sources, robustness, q.o.QueryInterval
	}
	return m
}
