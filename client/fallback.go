package client

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"campagnol/punch"
)

// When a client turns to a stream, and back to UDP.
const (
	// startPatience is how long an RDV at which we are not registered may leave us
	// without any answer by UDP before a stream is opened beside. Four KNOCKs have been
	// lost by then.
	startPatience = 1200 * time.Millisecond

	// streamPatience is the same for one at which we are registered, and askedAgain how
	// often it hears a PING meanwhile: one that is lost must not make us leave.
	streamPatience = 3 * time.Second
	askedAgain     = 750 * time.Millisecond

	// maxStreams is to how many RDVs there are streams at a time. One would do; when it
	// ends, the other is there already.
	maxStreams = 2

	// openPatience bounds the opening of a stream.
	openPatience = 5 * time.Second

	// While there is a stream, UDP is probed. After probesWanted answers in a row it
	// works again: one may have slipped through where most are lost.
	probeFirst   = time.Second
	probeGap     = 5 * time.Second
	probesWanted = 2

	// probeRest is how long after a move back to UDP that was in vain the next probe is;
	// it doubles, up to restMax. Anybody can answer a probe in the RDV's name.
	probeRest = 10 * time.Second
	restMax   = 5 * time.Minute

	// movedPatience is how long the RDV may be silent over a stream after our network
	// has changed: a stream does not move with us, and nobody tells us that it is dead.
	movedPatience = 700 * time.Millisecond
)

// streamWaits are how long we wait before the next stream to an RDV, after one that was
// of no use: the last one again and again.
var streamWaits = [...]time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second, time.Minute}

// Why there is a stream, or none any more.
var (
	errNoUDP       = errors.New("no answer by UDP")
	errStreamEnded = errors.New("the connection has ended")
	errStreamVain  = errors.New("no channel over the connection")
	errStreamMoved = errors.New("the network has changed")
)

// A fallback decides when there is a stream to an RDV (Config.OpenStream), and what of
// the channel goes over it. It is a machine: no I/O, no clock.
//
//	UDP ──no answer──► opening ──► open: the next channel goes over it ──UDP answers──► moving
//	 ▲                    │           │         ▲                                        │ │
//	 └────back-off────────┴──ended────┘         └───────────────in vain──────────────────┘ │
//	 └───────────────────the channel stands over UDP: the stream is closed────────────────┘
//
// Over which way the next channel is tried is in serverChannel.by, and over which one a
// channel goes in link.conn: the one that stands is used until the next one does.
type fallback struct {
	usable bool // there may be a stream

	since  time.Time // since when UDP is asked in vain; zero: it has answered
	again  time.Time // when to say PING again meanwhile; zero: not at all
	broken time.Time // when a round by UDP has failed, answers or not; zero: none has since a channel stood

	opening *opening   // nil: none is being opened
	conn    punch.Conn // that is open; nil: none
	at      netip.AddrPort
	next    time.Time // when the next may be opened
	tries   int       // that were of no use
	over    bool      // the channel was over a stream when it was reported last

	probe   time.Time // the next, by UDP
	awaited bool      // its answer
	answers int       // of the last probes, in a row
	rest    time.Duration
	doubt   time.Time // when conn is given up if nothing has come since movedPatience before; zero: not
}

// An opening is a stream that is being opened.
type opening struct{ cancel context.CancelFunc }

// An openEnd is how the opening of a stream ended.
type openEnd struct {
	run  *opening
	conn punch.Conn
	at   netip.AddrPort // where the RDV is, that it leads to
	err  error
}

// ask notes that something is said by UDP that has an answer.
func (f *fallback) ask(now time.Time) {
	if f.usable && f.since.IsZero() {
		f.since, f.again = now, now.Add(askedAgain)
	}
}

// heard notes that something has come by UDP.
func (f *fallback) heard(now time.Time) {
	f.since, f.again = time.Time{}, time.Time{}
	if !f.awaited {
		return
	}
	f.awaited = false
	if f.answers++; f.answers < probesWanted {
		f.probe = now.Add(probeFirst)
	}
}

// due returns when a stream is to be opened; zero: there is one, or UDP works as far as
// we know. linked says that we are registered over UDP.
func (f *fallback) due(linked bool) time.Time {
	var t time.Time
	switch {
	case !f.usable, f.conn != nil, f.opening != nil:
		return t
	case !f.since.IsZero() && linked:
		t = f.since.Add(streamPatience)
	case !f.since.IsZero():
		t = f.since.Add(startPatience)
	}
	if t.IsZero() && !linked {
		t = f.broken
	}
	if t.IsZero() {
		return t
	}
	return later(t, f.next)
}

// putOff notes that a stream was of no use.
func (f *fallback) putOff(now time.Time) {
	f.next = now.Add(streamWaits[min(f.tries, len(streamWaits)-1)])
	f.tries++
}

// sayProbe takes that a probe is said.
func (f *fallback) sayProbe(now time.Time) {
	if f.awaited { // the last had no answer
		f.answers = 0
	}
	f.awaited = true
	f.probe = now.Add(probeGap)
	f.ask(now)
}

// works reports whether UDP has answered as often as is wanted.
func (f *fallback) works() bool { return f.answers >= probesWanted }

// vain takes that UDP has answered probes, and that no channel has come of it.
func (f *fallback) vain(now time.Time) {
	f.rest = min(max(probeRest, 2*f.rest), restMax)
	f.probe, f.awaited, f.answers = now.Add(f.rest), false, 0
}

// moved takes that we may be in another network now, of which nothing is known.
func (f *fallback) moved(now time.Time) {
	f.since, f.again, f.broken = time.Time{}, time.Time{}, time.Time{}
	f.next, f.tries, f.rest = now, 0, 0
	if f.conn != nil {
		f.doubt = now.Add(movedPatience)
		f.probe, f.awaited, f.answers = now, false, 0
	}
}

// dead reports whether a stream over which the RDV was heard last then is to be given up.
func (f *fallback) dead(now, heard time.Time) bool {
	switch {
	case f.doubt.IsZero():
		return false
	case heard.After(f.doubt.Add(-movedPatience)):
		f.doubt = time.Time{}
		return false
	}
	return !now.Before(f.doubt)
}

// wayFailed reports whether a round without a channel may be the fault of the way, which
// drops datagrams, or large ones, or those of DTLS; or of somebody on it, who speaks in
// the RDV's name. Only what came over a channel is certainly the RDV's word.
func wayFailed(err error) bool {
	var refused *RefusedError
	return !errors.As(err, &refused) && !errors.Is(err, errClosed)
}

// heardBy notes that something has come from the RDV: over a stream or, if conn is nil,
// by UDP.
func (r *rendezvous) heardBy(now time.Time, conn punch.Conn) {
	if conn == nil {
		r.fall.heard(now)
	}
}

// overStream reports whether we are registered, and that over a stream.
func (r *rendezvous) overStream() bool { return r.server.stands() && r.server.link.conn != nil }

// uses reports whether a channel, or the attempt at one, goes over a stream.
func (r *rendezvous) uses(conn punch.Conn) bool {
	m := r.server
	for _, l := range [...]*link{m.link, m.joining, m.old} {
		if l != nil && l.conn == conn {
			return true
		}
	}
	return m.by == conn || r.shaking != nil && r.shaking.by == conn
}

// stuck reports whether the attempt at a channel over a stream has failed, and none
// stands over it. One that the RDV has put off has not.
func (r *rendezvous) stuck(conn punch.Conn) bool {
	m := r.server
	return m.by == conn && m.state == chanWaiting && len(m.putOff) == 0 && (m.link == nil || m.link.conn != conn)
}

// cut takes that a stream has ended, and with it all that went over it.
func (m *serverChannel) cut(now time.Time, conn punch.Conn, why error, out []chanOut) []chanOut {
	if m.old != nil && m.old.conn == conn {
		m.old = nil
	}
	if m.by == conn {
		m.by = nil
		if m.state == chanKnocking || m.state == chanShaking || m.state == chanJoining {
			out = append(out, chanOut{act: actAbandon})
			m.dropRegister()
			m.joining = nil
			m.wait(now, backoffMin)
		}
		m.settle()
	}
	if m.link != nil && m.link.conn == conn {
		return m.lose(now, why, out)
	}
	return out
}

// settle ends a pause before the next attempt if a link stands that is good.
func (m *serverChannel) settle() {
	if m.state == chanWaiting && m.link != nil {
		m.state, m.putOff = chanUp, nil
	}
}
