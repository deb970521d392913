package audit

import (
	"net/netip"
	"time"
)

// How many records there are of what others cause. A stranger may come from ever more
// places: at the worst that is 32 records a minute and event, some megabytes an hour.
const (
	limitTime = time.Minute

	strangerBurst   = 1  // records of one source before they are counted
	memberBurst     = 20 // likewise
	strangerSources = 32 // that are told apart, for each event
	memberSources   = 1024
)

// others is the reason in a record about sources that are not told apart.
const others = "from more sources than are told apart"

// A limiter decides which records are written at once, and counts the others. It has no
// clock.
type limiter struct {
	events map[class]*sources
}

// A class of records has sources of its own: members behind the NAT of a stranger are not
// in his place.
type class struct {
	event Event
	cause Cause
}

// sources are where records of one class have come from lately.
type sources struct {
	by   map[source]*tally
	rest *tally // of those that are not told apart; nil: there are none
}

// A source is what records have in common that are counted together. For strangers it is
// the network that they come from, as the rest is whatever they like.
type source struct {
	outcome   Outcome
	code      string
	name      string
	key       string
	vpn, peer netip.Addr
	network   netip.Prefix
	direction string
	command   string
}

// A tally counts records of one source in an interval.
type tally struct {
	begun time.Time
	told  int    // at once
	count uint64 // not told yet
	since time.Time
	last  Record // of those not told
}

func newLimiter() limiter { return limiter{events: map[class]*sources{}} }

// admit reports whether r is to be written at once. If not, it is counted.
func (l *limiter) admit(r *Record) bool {
	kind := kinds[r.Event]
	if kind == nil || kind.Cause == Here {
		return true
	}
	of := class{r.Event, kind.Cause}
	if r.Key != "" && r.Serial != "" { // nobody is known so who has not shown them
		of.cause = Member
	}
	burst, most := memberBurst, memberSources
	if of.cause == Stranger {
		burst, most = strangerBurst, strangerSources
	}
	s := l.events[of]
	if s == nil {
		s = &sources{by: map[source]*tally{}}
		l.events[of] = s
	}
	key := sourceOf(r, of.cause)
	t := s.by[key]
	switch {
	case t == nil && len(s.by) < most:
		t = &tally{begun: r.Time}
		s.by[key] = t
	case t == nil:
		if s.rest == nil {
			s.rest = &tally{begun: r.Time, told: burst}
		}
		t, r = s.rest, &Record{Time: r.Time, Event: r.Event, Outcome: r.Outcome, Reason: others, Count: r.Count}
	}
	if t.told < burst {
		t.told++
		return true
	}
	t.add(r)
	return false
}

// add counts a record.
func (t *tally) add(r *Record) {
	if t.count == 0 {
		t.since = r.Time
	}
	t.count += max(r.Count, 1)
	t.last = *r
}

// sourceOf returns what r is counted under.
func sourceOf(r *Record, cause Cause) source {
	s := source{outcome: r.Outcome, code: r.Code, network: networkOf(r.From.Addr()), direction: r.Direction}
	if r.outcome() == Success { // so many clients in clear may be behind one NAT
		s.vpn = r.VPNAddr
	}
	if cause == Member {
		s.name, s.key, s.vpn, s.peer, s.command = r.Name, r.Key, r.VPNAddr, r.Peer, r.Command
	}
	return s
}

// networkOf returns what one customer of a provider has: an IPv4 address, or an IPv6
// /64.
func networkOf(a netip.Addr) netip.Prefix {
	if !a.IsValid() {
		return netip.Prefix{}
	}
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil { // it has as many bits
		return netip.Prefix{}
	}
	return p
}

// due appends the records about what was counted in intervals that are over at now; if
// all, those that go on as well.
func (l *limiter) due(now time.Time, all bool, out []Record) []Record {
	for of, s := range l.events {
		for key, t := range s.by {
			if !all && now.Sub(t.begun) < limitTime {
				continue
			}
			if t.count == 0 {
				delete(s.by, key)
				continue
			}
			out = append(out, t.tell(now))
		}
		if t := s.rest; t != nil && (all || now.Sub(t.begun) >= limitTime) {
			if t.count == 0 {
				s.rest = nil
			} else {
				out = append(out, t.tell(now))
			}
		}
		if len(s.by) == 0 && s.rest == nil {
			delete(l.events, of)
		}
	}
	return out
}

// tell returns the record about what was counted, and begins another interval, in which
// nothing is told at once.
func (t *tally) tell(now time.Time) Record {
	r := t.last
	r.Count, r.Since = t.count, t.since
	if t.count == 1 {
		r.Count, r.Since = t.last.Count, time.Time{}
	}
	*t = tally{begun: now, told: max(memberBurst, strangerBurst)}
	return r
}
