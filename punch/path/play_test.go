package path

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/punch"
)

var (
	wan   = at("203.0.113.1:5000")
	other = at("203.0.113.2:5000")
	third = at("[2001:db8::3]:5000")
	lan   = at("192.168.1.2:5000")
)

// at returns where a peer is, by the primary socket.
func at(addr string) punch.Endpoint { return punch.Endpoint{Addr: netip.MustParseAddrPort(addr)} }

// start is when plays begin.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A play is a Keeper and the network that it sees.
type play struct {
	t     *testing.T
	k     *Keeper
	now   time.Time
	drawn uint64

	rtt       map[punch.Endpoint]time.Duration // of the paths that work
	back      []response                       // on their way
	sends     bool                             // a packet every 10 ms
	hears     bool                             // likewise from the peer, over path while that works
	data      time.Time                        // the next one
	received  time.Time                        // the last one
	sent      time.Time                        // likewise
	heard     time.Time
	challenge map[punch.Endpoint]int // how many were sent
	when      map[punch.Endpoint][]time.Duration
	acts      []string // the others
}

// A response is on its way.
type response struct {
	at     time.Time
	from   punch.Endpoint
	number uint64
}

// newPlay begins a play with a session over wan, which works.
func newPlay(t *testing.T, list ...punch.Endpoint) *play {
	p := &play{t: t, now: start, rtt: map[punch.Endpoint]time.Duration{wan: 20 * ms}}
	p.forget()
	p.k = New(start, func() uint64 { p.drawn++; return p.drawn * 0x9e3779b97f4a7c15 }, wan, named(list...))
	p.data = start
	return p
}

func named(list ...punch.Endpoint) []punch.Candidate {
	var cs []punch.Candidate
	for _, a := range list {
		cs = append(cs, punch.Candidate{Addr: a.Addr, Kind: punch.Observed})
	}
	return cs
}

// forget forgets what was done so far.
func (p *play) forget() {
	p.challenge, p.acts, p.when = map[punch.Endpoint]int{}, nil, map[punch.Endpoint][]time.Duration{}
}

// step does what is due.
func (p *play) step() {
	for len(p.back) > 0 && !p.now.Before(p.back[0].at) {
		r := p.back[0]
		p.back = p.back[1:]
		if p.rtt[r.from] > 0 { // it still works
			p.heard = p.now
			if !p.k.Responded(p.now, r.number) {
				p.t.Errorf("the response from %v counts for nothing", r.from)
			}
		}
	}
	if !p.now.Before(p.data) {
		p.data = p.now.Add(10 * ms)
		if p.sends {
			p.sent = p.now
			p.k.Wake(p.now)
		}
		if p.hears && p.rtt[p.k.Path()] > 0 {
			p.received, p.heard = p.now, p.now
		}
	}
	p.k.Observe(p.sent, p.received, p.heard)
	for _, o := range p.k.Advance(p.now, nil) {
		since := p.now.Sub(start)
		switch o.Do {
		case Challenge:
			p.challenge[o.At]++
			p.when[o.At] = append(p.when[o.At], since)
			if d := p.rtt[o.At]; d > 0 {
				p.back = append(p.back, response{p.now.Add(d), o.At, o.Number})
				slices.SortStableFunc(p.back, func(a, b response) int { return a.at.Compare(b.at) })
			}
		case Move:
			p.acts = append(p.acts, fmt.Sprintf("%v move %v: %s", since, o.At, o.Why))
		case Ask:
			p.acts = append(p.acts, fmt.Sprintf("%v ask", since))
		case Revive:
			p.acts = append(p.acts, fmt.Sprintf("%v revive", since))
		}
	}
}

// play lets time pass.
func (p *play) play(d time.Duration) {
	p.t.Helper()
	end := p.now.Add(d)
	for steps := 0; ; steps++ {
		if steps > 1_000_000 {
			p.t.Fatal("the machine does not let time pass")
		}
		p.step()
		next := earlier(end, p.k.Timeout())
		if p.sends || p.hears {
			next = earlier(next, p.data)
		}
		if len(p.back) > 0 {
			next = earlier(next, p.back[0].at)
		}
		if !next.After(p.now) { // more is due at once
			next = p.now.Add(time.Microsecond)
		}
		if next.After(end) {
			p.now = end
			return
		}
		p.now = next
		if p.now.Equal(end) {
			return
		}
	}
}

// wantActs checks what was done beside challenges, of which each line has to contain
// what is wanted of it.
func (p *play) wantActs(want ...string) {
	p.t.Helper()
	ok := len(p.acts) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = strings.Contains(p.acts[i], want[i])
	}
	if !ok {
		p.t.Errorf("did\n\t%s\nwant\n\t%s", strings.Join(p.acts, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// count returns how many acts contain a text.
func (p *play) count(text string) (n int) {
	for _, a := range p.acts {
		if strings.Contains(a, text) {
			n++
		}
	}
	return n
}
