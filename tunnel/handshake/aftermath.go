package handshake

import "time"

// How the last flight of a handshake is repeated (RFC 6347 section 4.2.4).
const (
	// RepeatGap is the least time between two answers of an [Aftermath].
	RepeatGap = 100 * time.Millisecond

	// RepeatLife is how long a peer may still miss the last flight.
	RepeatLife = 2 * time.Minute
)

// An Aftermath answers the handshake messages that a peer sends although the
// handshake is over for us. One goroutine owns it.
type Aftermath struct {
	lastFlight [][]byte
	ended      time.Time
	answered   time.Time
}

// NewAftermath returns the aftermath of a handshake that ended at now.
func NewAftermath(now time.Time, r *Result) Aftermath {
	return Aftermath{lastFlight: r.LastFlight, ended: now}
}

// Settle notes that data has come: the peer has got our last flight.
func (a *Aftermath) Settle() { a.lastFlight = nil }

// Handle takes the content of a protected handshake record. It returns the
// datagrams of our last flight, which the peer seems to miss and which are to be
// sent as they are; or that the peer wants to handshake anew within the session,
// which is to be refused with a no_renegotiation warning (RFC 5246 section
// 7.2.2). Either at most every [RepeatGap].
func (a *Aftermath) Handle(now time.Time, payload []byte) (repeat [][]byte, renegotiates bool) {
	const helloRequest, clientHello, finished = 0, 1, 20 // RFC 5246 section 7.4
	if len(payload) == 0 {
		return nil, false
	}
	switch payload[0] {
	case finished:
		return a.LastFlight(now), false
	case helloRequest, clientHello:
		return nil, a.turn(now)
	}
	return nil, false
}

// LastFlight returns the datagrams of our last flight, to be sent as they are: none
// if the peer has got them, or was given them a moment ago.
func (a *Aftermath) LastFlight(now time.Time) [][]byte {
	if now.Sub(a.ended) > RepeatLife {
		a.lastFlight = nil
	}
	if !a.turn(now) {
		return nil
	}
	return a.lastFlight
}

// turn reports whether it is time for another answer.
func (a *Aftermath) turn(now time.Time) bool {
	if now.Sub(a.answered) < RepeatGap {
		return false
	}
	a.answered = now
	return true
}
