package hard

import (
	"net/netip"
	"time"
)

// How an attempt spends its time: 500 punches a second, which a home router's processor
// bears, in volleys of what no queue on the way minds.
const (
	volleyInterval = 20 * time.Millisecond
	volleySize     = 10

	// roundInterval is how long the hard side waits before it sends from each socket
	// again, in case the first punch was lost.
	roundInterval = time.Second

	// primaryTime is how long the hard side whose NAT hands out ports in turn opens no
	// socket: the mapping of its primary one is close to the port that was observed, and
	// is among the first guesses.
	primaryTime = 200 * time.Millisecond

	// answerTime is how long the guesser waits for an answer to its last guess, and
	// openTime how long the hard side keeps its sockets in all: the peer may have had
	// others to find first.
	answerTime = time.Second
	openTime   = 6 * time.Second
)

// Primary is the index of the client's own socket in an [Out].
const Primary = -1

// An Out is a punch to send.
type Out struct {
	// Socket is Primary, or the number of an extra socket. The first use of a number,
	// which is one higher than the last before, means that it is to be opened.
	Socket int
	To     netip.AddrPort
}

// A Budget bounds one attempt; the zero Budget allows none.
type Budget struct {
	Sockets int // to be open
	Probes  int // punches to send, beyond ordinary ones
}

// The largest budget that a client gives, whatever it is asked for.
const (
	MaxSockets = 256
	MaxProbes  = 4096
)

// DefaultBudget is enough to succeed in 299 of 300 cases, and just within 3 s: with 1024 punches one
// of 60 would fail.
var DefaultBudget = Budget{Sockets: 256, Probes: 1400}

// Within returns b, with no more than anybody gets.
func (b Budget) Within() Budget {
	return Budget{Sockets: min(b.Sockets, MaxSockets), Probes: min(b.Probes, MaxProbes)}
}

// An Attempt does what a [Plan] says.
type Attempt struct {
	role    Role
	peer    netip.AddrPort // its public endpoint, as a server sees it
	guesses order          // of a guesser

	sockets int // that may be open
	opened  int
	turn    int // the socket whose turn it is
	probes  int // that may still be sent
	sent    int

	round time.Time // when this round of the sockets began
	next  time.Time // volley; zero: none
	end   time.Time // zero: not known yet
}

// NewAttempt starts an attempt to reach the peer whose public endpoint a server sees at
// peer. seed decides about what is random.
func NewAttempt(now time.Time, p Plan, peer netip.AddrPort, b Budget, seed uint64) *Attempt {
	b = b.Within()
	a := &Attempt{role: p.Role, peer: peer, probes: b.Probes, next: now}
	switch {
	case p.Role == Guess:
		a.guesses = order{seed: mix(seed), observed: peer.Port(), step: p.Step}
	case p.Role == Open:
		if p.Step != 0 {
			a.next = now.Add(primaryTime)
		}
		a.sockets, a.end, a.round = b.Sockets, now.Add(openTime), a.next
	}
	if a.probes <= 0 || p.Role == None || p.Role == Open && a.sockets <= 0 {
		a.next, a.end = time.Time{}, now
	}
	return a
}

// Limit tells that no more than n sockets can be opened.
func (a *Attempt) Limit(n int) {
	a.sockets, a.opened = min(a.sockets, n), min(a.opened, n)
	if a.role == Open && a.sockets == 0 {
		a.Stop()
	}
}

// Stop ends the sending: a path is open. What is on its way may still be answered.
func (a *Attempt) Stop() { a.next = time.Time{} }

// Sent returns how many punches were sent.
func (a *Attempt) Sent() int { return a.sent }

// Done reports whether nothing is to be expected any more.
func (a *Attempt) Done(now time.Time) bool { return !a.end.IsZero() && !now.Before(a.end) }

// Timeout returns when Advance must be called next, or zero for never.
func (a *Attempt) Timeout() time.Time {
	if a.next.IsZero() || !a.end.IsZero() && a.end.Before(a.next) {
		return a.end
	}
	return a.next
}

// Advance takes the passing of time and appends what to send to out.
func (a *Attempt) Advance(now time.Time, out []Out) []Out {
	if a.next.IsZero() || now.Before(a.next) || a.Done(now) {
		return out
	}
	a.next = now.Add(volleyInterval)
	for range volleySize {
		o, ok := a.probe()
		if !ok {
			a.rest(now)
			break
		}
		a.probes--
		a.sent++
		out = append(out, o)
	}
	return out
}

// probe returns the next punch, and false if there is none for now.
func (a *Attempt) probe() (Out, bool) {
	if a.probes <= 0 {
		return Out{}, false
	}
	if a.role == Guess {
		port, ok := a.guesses.next()
		return Out{Primary, netip.AddrPortFrom(a.peer.Addr(), port)}, ok
	}
	if a.turn >= a.sockets {
		return Out{}, false
	}
	a.turn++
	a.opened = max(a.opened, a.turn)
	return Out{a.turn - 1, a.peer}, true
}

// rest sets what follows when there is nothing to send.
func (a *Attempt) rest(now time.Time) {
	switch {
	case a.role == Guess:
		a.next, a.end = time.Time{}, now.Add(answerTime)
	case a.probes <= 0:
		a.next = time.Time{}
	default:
		a.turn = 0
		a.round = later(a.round.Add(roundInterval), now.Add(volleyInterval))
		a.next = a.round
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
