// Package pmtu finds the largest packet that a path carries, without help of the
// routers on it (RFC 8899, DPLPMTUD): some lose what is too large and say nothing.
//
// A [Search] is a machine without I/O: its owner sends the probes that it wants, tells
// it which were answered, and heeds its Limit. A probe is padded to its size, and its
// answer is small, so that nothing is learned about the way back.
package pmtu

import (
	"slices"
	"time"
)

// How a search spends its time.
const (
	// graceMin and graceMax bound how long an answer is waited for: three round
	// trips, as far as they are known.
	graceMin   = 30 * time.Millisecond
	graceMax   = time.Second
	graceFirst = 200 * time.Millisecond

	// maxProbes is how many probes of a size have to be lost, while smaller ones of
	// the same time are not, before the path counts as too small for it (RFC 8899
	// section 5.1.2: MAX_PROBES).
	maxProbes = 3

	// silenceMax is the longest pause between two rounds while nothing is answered.
	silenceMax = 10 * time.Second

	// confirmInterval is how often a path in use is asked whether it still carries
	// what it did (CONFIRMATION_TIMER), and raiseInterval how often it is seen
	// whether it carries more (PMTU_RAISE_TIMER).
	confirmInterval = 10 * time.Second
	raiseInterval   = 10 * time.Minute

	// precision is by how many bytes the result may be too small.
	precision = 4
)

// plateaus are sizes at which paths end: of Ethernet under PPPoE (1492), of tunnels of
// several kinds, of IPv6 at least (1280); and some below.
var plateaus = [...]int{768, 1006, 1100, 1200, 1280, 1340, 1380, 1400, 1420, 1440, 1460, 1472, 1480, 1492, 1500}

// A Config says what a Search is about. Sizes are those of IP packets, in bytes.
type Config struct {
	Min  int // what every path carries (MIN_PLPMTU)
	Base int // what nearly all do (BASE_PLPMTU)
	Max  int // what is of use (MAX_PLPMTU)

	// Bounded says that the path is known to carry no more than Max, though more would
	// be of use: Max is a limit from the beginning.
	Bounded bool

	Random func() uint64 // numbers of probes, which nobody must guess

	// Passive makes a Search that sends no probes, because the other end would not
	// answer: it heeds TooBig, and forgets it after a while.
	Passive bool
}

// A Probe is one to be sent: a packet of Size bytes with a number that its answer
// brings back.
type Probe struct {
	Number uint64
	Size   int
}

// A Search finds out what one path carries. A nil Search knows nothing, and wants
// nothing.
type Search struct {
	cfg   Config
	state state
	out   []sent // the probes of this round
	next  time.Time
	wait  time.Duration // while nothing is answered
	rtt   time.Duration // 0: not known

	low    int         // the largest size that was answered; 0: none
	high   int         // the smallest size that is too large
	misses map[int]int // probes of a size that were lost while others were not
	limit  int
	raise  time.Time
	rounds int // of this search
}

type state uint8

const (
	searching  state = iota
	complete         // until the time of the next look
	confirming       // whether low still passes
)

type sent struct {
	Probe
	at       time.Time
	answered bool
}

// New returns a search that is due at once. Until it knows better nothing is too large.
func New(now time.Time, cfg Config) *Search {
	cfg.Max = max(cfg.Max, cfg.Min)
	cfg.Base = min(max(cfg.Base, cfg.Min), cfg.Max)
	s := &Search{cfg: cfg, wait: graceFirst}
	if !cfg.Passive {
		s.search(now, cfg.Max+1)
	}
	return s
}

// search begins anew, for sizes below high.
func (s *Search) search(now time.Time, high int) {
	s.state, s.out, s.next, s.rounds = searching, nil, now, 0
	s.low, s.high, s.misses = 0, high, nil
	s.raise = time.Time{}
}

// Limit returns the size of the largest packet that may be sent; 0: of any.
func (s *Search) Limit() int {
	switch {
	case s == nil:
		return 0
	case s.limit == 0 && s.cfg.Bounded:
		return s.cfg.Max
	}
	return s.limit
}

// Wide reports whether the path is known to carry all that is of use.
func (s *Search) Wide() bool { return s != nil && !s.cfg.Bounded && s.low >= s.cfg.Max }

// Timeout returns when Advance has something to do; zero: when the path is used again.
func (s *Search) Timeout() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.next
}

// Wake takes that the path is used again after a pause.
func (s *Search) Wake(now time.Time) {
	if s.next.IsZero() && !s.cfg.Passive {
		s.next = now
	}
}

// Advance takes the passing of time, and appends the probes that are due to out. used
// says whether something was sent on the path since the last time, or for as long as
// that does not matter.
func (s *Search) Advance(now time.Time, used bool, out []Probe) []Probe {
	if s.next.IsZero() || now.Before(s.next) {
		return out
	}
	if s.cfg.Passive {
		s.limit, s.next = 0, time.Time{}
		return out
	}
	switch s.state {
	case complete:
		switch {
		case !used:
			s.next = time.Time{}
			return out
		case !s.raise.IsZero() && !now.Before(s.raise):
			s.state, s.high, s.raise, s.rounds = searching, s.cfg.Max+1, time.Time{}, 0
		default:
			s.state = confirming
		}
		return s.round(now, out)
	case confirming:
		if s.judge(now) && s.misses[s.low] >= maxProbes { // a black hole (section 4.3)
			s.search(now, s.low)
		}
	case searching:
		s.judge(now)
		s.conclude(now)
	}
	if now.Before(s.next) {
		return out
	}
	return s.round(now, out)
}

// round sends probes of the sizes that would tell most.
func (s *Search) round(now time.Time, out []Probe) []Probe {
	s.out = s.out[:0]
	for _, size := range s.sizes() {
		p := Probe{s.cfg.Random(), size}
		s.out = append(s.out, sent{Probe: p, at: now})
		out = append(out, p)
	}
	s.rounds++
	s.next = now.Add(s.grace())
	return out
}

// grace returns how long answers are waited for.
func (s *Search) grace() time.Duration {
	if s.rtt == 0 {
		return s.wait
	}
	return min(max(3*s.rtt, graceMin), graceMax)
}

// sizes returns the sizes of the next round, in ascending order: one at least that has
// passed or is most likely to, which tells whether the path is there at all.
func (s *Search) sizes() []int {
	switch {
	case s.state == confirming:
		return ascending(s.cfg.Min, s.low)
	case s.low == 0 && s.rounds == 0:
		return ascending(min(s.cfg.Base, s.high-1), s.high-1)
	case s.low == 0 && s.rtt == 0: // perhaps not even Base passes
		return ascending(s.cfg.Min, min(s.cfg.Base, s.high-1), s.high-1)
	}
	sizes := []int{max(s.low, s.cfg.Min)}
	for _, p := range plateaus {
		if p > s.low && p < s.high {
			sizes = append(sizes, p)
		}
	}
	if len(sizes) == 1 { // between two of them
		const parts = 8
		for i := 1; i < parts; i++ {
			sizes = append(sizes, max(s.low, s.cfg.Min)+(s.high-s.low)*i/parts)
		}
	}
	if s.high > s.cfg.Max || s.misses[s.high-1] > 0 {
		sizes = append(sizes, s.high-1)
	}
	return ascending(sizes...)
}

// ascending returns sizes in order, each once.
func ascending(sizes ...int) []int {
	slices.Sort(sizes)
	return slices.Compact(sizes)
}

// Responded takes the answer to a probe, and reports whether there was such a probe.
func (s *Search) Responded(now time.Time, number uint64) bool {
	i := slices.IndexFunc(s.out, func(p sent) bool { return p.Number == number })
	if i < 0 {
		return false
	}
	p := &s.out[i]
	if p.answered {
		return true
	}
	p.answered = true
	if rtt := now.Sub(p.at); s.rtt == 0 || rtt < s.rtt {
		s.rtt = max(rtt, time.Microsecond)
	}
	if p.Size > s.low {
		s.low = p.Size
		s.high = max(s.high, p.Size+1)
	}
	if !slices.ContainsFunc(s.out, func(p sent) bool { return !p.answered }) {
		s.next = now // all is known
	} else if soon := now.Add(s.grace()); soon.Before(s.next) {
		s.next = soon
	}
	return true
}

// judge counts what was lost in a round, and reports whether the path was there at all.
func (s *Search) judge(now time.Time) bool {
	heard := 0
	for _, p := range s.out {
		if p.answered {
			heard = max(heard, p.Size)
		}
	}
	if len(s.out) == 0 {
		return false
	}
	if heard == 0 {
		s.rtt = 0
		s.next = now.Add(s.wait)
		s.wait = min(2*s.wait, silenceMax)
		s.out = s.out[:0]
		return false
	}
	s.wait = graceFirst
	for _, p := range s.out {
		if p.answered || p.Size <= heard {
			continue
		}
		if s.misses == nil {
			s.misses = map[int]int{}
		}
		s.misses[p.Size]++
		if s.misses[p.Size] >= maxProbes && s.state == searching {
			s.high = min(s.high, max(p.Size, s.low+1))
		}
	}
	s.out = s.out[:0]
	if s.state == confirming && heard >= s.low {
		s.settle(now)
	}
	return true
}

// conclude ends a search that has found its answer, and says what it has found so far
// as soon as that is known to be less than what is sent.
func (s *Search) conclude(now time.Time) {
	switch {
	case s.low >= s.cfg.Max:
		s.limit = 0
	case s.low > 0 && s.high <= s.cfg.Max && !s.plateausLeft():
		s.limit = s.low
	}
	if s.low > 0 && (s.low >= s.cfg.Max || s.high-s.low <= precision) {
		s.settle(now)
	}
}

// plateausLeft reports whether a plateau may still be the answer.
func (s *Search) plateausLeft() bool {
	return slices.ContainsFunc(plateaus[:], func(p int) bool { return p > s.low && p < s.high })
}

// settle waits until the path is to be looked at again.
func (s *Search) settle(now time.Time) {
	s.state, s.next = complete, now.Add(confirmInterval)
	s.out, s.misses = nil, nil
	if s.low < s.cfg.Max && s.raise.IsZero() {
		s.raise = now.Add(raiseInterval)
	}
}

// TooBig takes that somebody says that the path carries packets of size bytes at most.
// It is heeded at once, and then looked into: it may be mistaken, or forged, but not
// make us send less than Min.
func (s *Search) TooBig(now time.Time, size int) {
	size = max(size, s.cfg.Min)
	if s.cfg.Passive {
		if s.limit == 0 || size <= s.limit { // else it is about a packet from before
			s.limit, s.next = size, now.Add(raiseInterval)
		}
		return
	}
	if size >= s.cfg.Max || s.limit != 0 && size >= s.limit {
		return
	}
	s.search(now, size+1)
	s.limit = size
	s.raise = now.Add(raiseInterval)
}
