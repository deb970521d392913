package mcast

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// A group is what the hosts at our TAP want of a group: the state of a router on
// one link (RFC 3376 section 6.2, RFC 3810 section 7.2).
//
//	INCLUDE (A)     sources: all with running timers
//	EXCLUDE (X, Y)  sources: X with running timers, which somebody wants;
//	                Y without, which nobody wants; group timer: runs
type group struct {
	key
	exclude bool
	timer   time.Time // of the group, in EXCLUDE
	sources map[netip.Addr]*source

	v1, v2 time.Time // a host of IGMPv1, or of IGMPv2 or MLDv1, is there until then
	heard  time.Time // the last report for it

	asks  int       // group-specific queries that are still to be sent
	next  time.Time // queries, of any kind; zero: none
	later *later    // a question that another querier should ask
	hosts hosts

	alarm alarm
	told  want // what peers know of it
}

// A source is one of a group. A timer of zero has run out.
type source struct {
	timer time.Time
	asks  int // queries with this source that are still to be sent
}

// A later is what is to be asked at a time, unless the querier on the link does.
type later struct {
	at      time.Time
	group   bool
	sources []netip.Addr
}

// list returns the sources for which keep holds, sorted.
func (g *group) list(keep func(*source) bool) []netip.Addr {
	var out []netip.Addr
	for a, src := range g.sources {
		if keep(src) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

func (g *group) wanted() []netip.Addr { // A, or X
	return g.list(func(src *source) bool { return !src.timer.IsZero() })
}

func (g *group) blocked() []netip.Addr { // Y
	return g.list(func(src *source) bool { return src.timer.IsZero() })
}

// want returns what the hosts together want.
func (g *group) want() want {
	switch {
	case g.exclude:
		return want{exclude, g.blocked()}
	case len(g.sources) > 0:
		return want{include, g.wanted()}
	}
	return want{}
}

// set starts the timers of sources. It reports whether all of them found room.
func (g *group) set(list []netip.Addr, timer time.Time, limit int) bool {
	all := true
	for _, a := range list {
		switch src := g.sources[a]; {
		case src != nil:
			src.timer = timer
		case len(g.sources) < limit:
			g.sources[a] = &source{timer: timer}
		default:
			all = false
		}
	}
	return all
}

func (g *group) remove(list []netip.Addr) {
	for _, a := range list {
		delete(g.sources, a)
	}
}

// An ask is what has to be asked after a report: a group-specific query, and one
// with sources.
type ask struct {
	group   bool
	sources []netip.Addr
}

// report applies a record: the tables of RFC 3376 section 6.4 and RFC 3810 section
// 7.4. b is the record's set of sources; gmi is when a membership that is reported
// now ends. It reports whether all sources found room.
func (g *group) report(t gmp.RecordType, b []netip.Addr, gmi time.Time, limit int) (ask, bool) {
	if g.exclude {
		return g.reportExclude(t, b, gmi, limit)
	}
	a := g.wanted()
	switch t {
	case gmp.IsIn, gmp.Allow: // INCLUDE (A+B); (B)=GMI
		return ask{}, g.set(b, gmi, limit)
	case gmp.Block: // INCLUDE (A); Send Q(G,A*B)
		return ask{sources: both(a, b)}, true
	case gmp.ToIn: // INCLUDE (A+B); (B)=GMI; Send Q(G,A-B)
		return ask{sources: minus(a, b)}, g.set(b, gmi, limit)
	}
	// EXCLUDE (A*B,B-A); (B-A)=0; Delete (A-B); Group Timer=GMI
	g.remove(minus(a, b))
	g.set(minus(b, a), time.Time{}, limit) // what finds no room is delivered
	g.exclude, g.timer = true, gmi
	if t == gmp.ToEx { // Send Q(G,A*B)
		return ask{sources: both(a, b)}, true
	}
	return ask{}, true
}

// reportExclude is report in EXCLUDE (X,Y).
func (g *group) reportExclude(t gmp.RecordType, a []netip.Addr, gmi time.Time, limit int) (ask, bool) {
	x, y := g.wanted(), g.blocked()
	switch t {
	case gmp.IsIn, gmp.Allow: // EXCLUDE (X+A,Y-A); (A)=GMI
		return ask{}, g.set(a, gmi, limit)
	case gmp.Block: // EXCLUDE (X+(A-Y),Y); (A-X-Y)=Group Timer; Send Q(G,A-Y)
		g.set(minus(minus(a, x), y), g.timer, limit)
		return ask{sources: minus(a, y)}, true
	case gmp.ToIn: // EXCLUDE (X+A,Y-A); (A)=GMI; Send Q(G,X-A); Send Q(G)
		return ask{group: true, sources: minus(x, a)}, g.set(a, gmi, limit)
	}
	// EXCLUDE (A-Y,Y*A); Delete (X-A), Delete (Y-A); Group Timer=GMI
	fresh := minus(minus(a, x), y)
	g.remove(minus(x, a))
	g.remove(minus(y, a))
	until := gmi // (A-X-Y)=GMI
	if t == gmp.ToEx {
		until = g.timer // (A-X-Y)=Group Timer; Send Q(G,A-Y)
	}
	g.set(fresh, until, limit)
	g.timer = gmi
	if t == gmp.ToEx {
		return ask{sources: minus(a, y)}, true
	}
	return ask{}, true
}

// compat changes a record to what it means while hosts of older versions are there
// (RFC 3376 section 7.3.2, RFC 3810 section 8.3.2); it is false for one that means
// nothing then.
func (g *group) compat(now time.Time, t gmp.RecordType, b []netip.Addr) ([]netip.Addr, bool) {
	if !now.Before(g.v1) && !now.Before(g.v2) {
		return b, true
	}
	switch {
	case t == gmp.Block, t == gmp.ToIn && now.Before(g.v1):
		return nil, false
	case t == gmp.ToEx:
		return nil, true
	}
	return b, true
}

// version returns the version of IGMP or MLD that is spoken in the group.
func (g *group) version(now time.Time) uint8 {
	newest := uint8(2)
	if g.group.Is4() {
		newest = 3
	}
	switch {
	case now.Before(g.v1):
		return 1
	case now.Before(g.v2):
		return newest - 1
	}
	return newest
}

// expire ends the timers that have run out (RFC 3376 sections 6.2.2, 6.2.3 and 6.5).
func (g *group) expire(now time.Time) {
	over := g.exclude && !now.Before(g.timer)
	for a, src := range g.sources {
		switch {
		case src.timer.IsZero() && over: // Y goes with the mode
			delete(g.sources, a)
		case src.timer.IsZero() || now.Before(src.timer):
		case g.exclude && !over: // from X to Y
			src.timer, src.asks = time.Time{}, 0
		default:
			delete(g.sources, a)
		}
	}
	if over {
		g.exclude, g.timer, g.asks = false, time.Time{}, 0
	}
}

// empty reports whether nobody wants anything.
func (g *group) empty() bool { return !g.exclude && len(g.sources) == 0 }

// wake returns when something happens in the group next.
func (g *group) wake() time.Time {
	t := g.next
	if g.exclude {
		t = earlier(t, g.timer)
	}
	for _, src := range g.sources {
		t = earlier(t, src.timer)
	}
	if g.later != nil {
		t = earlier(t, g.later.at)
	}
	return t
}

// lower makes the group's timers run out at a time at most: of the sources, or of
// the group itself if there are none (RFC 3376 section 6.6.1).
func (g *group) lower(to time.Time, sources []netip.Addr) {
	if len(sources) == 0 {
		if g.exclude && to.Before(g.timer) {
			g.timer = to
		}
		return
	}
	for _, a := range sources {
		if src := g.sources[a]; src != nil && to.Before(src.timer) {
			src.timer = to
		}
	}
}
