package client

import (
	"errors"
	"slices"
	"time"

	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// How a channel spends its time.
const (
	knockFirst = 100 * time.Millisecond  // between the first two KNOCKs; it doubles
	knockMax   = 3200 * time.Millisecond // up to this
	knockTries = 6                       // a round; then the back-off

	// clearPatience is how long KNOCKs may go unanswered before we register in
	// clear, where we may: three of them, and what is left of the round trip.
	clearPatience = 500 * time.Millisecond

	// lookInterval is how often a client that is registered in clear looks
	// whether there is a channel by now.
	lookInterval = 5 * time.Minute

	// knockGap is how often RECONNECT, which anybody can send in the RDV's
	// name, makes us knock.
	knockGap = 10 * time.Second

	// While paths to peers have gone dark, we may be elsewhere than the RDV thinks, and
	// ask it: RECONNECT for an answer, within doubtLife, makes us knock sooner. Who forges
	// it costs us a handshake each doubtRest, and nothing when there are no doubts.
	doubtGap  = 100 * time.Millisecond // between two PINGs in doubt
	doubtLife = time.Second
	doubtRest = time.Second

	// admitPatience is how long the RDV may leave a ClientHello unanswered
	// before we knock again: the cookie may be another's.
	admitPatience = 3 * time.Second

	// waitMax is the longest WAIT that we obey.
	waitMax = 30 * time.Second

	// steadyAfter is how long a channel must have stood for its end to be
	// followed by the next one at once: else two clients with one key would
	// take the address from each other without a pause.
	steadyAfter = 30 * time.Second

	// linkPatience is how long the RDV may be silent before we no longer count as
	// registered: it has forgotten us long before.
	linkPatience = 30 * time.Second

	// linkLife is for how long a channel that another has replaced is listened
	// to: what the RDV has sent over it may still be on its way.
	linkLife = 10 * time.Second

	// maxCookies bounds the cookies that are tried at the same time. The RDV
	// sends one; others come from those who write its address on a datagram.
	maxCookies = 3
)

// A cookie is the RDV's proof that we receive what is sent to our address.
type cookie = [wire.CookieSize]byte

// A serverChannel keeps an authenticated channel to the RDV. It is a machine: no
// I/O, no clock. It never gives up.
//
//	   ┌──────── RECONNECT, silence, close_notify, other settings ──────┐
//	   ▼                                                                │
//	KNOCKING ──COOKIE──► SHAKING ──DTLS──► JOINING ──REGISTERED──► UP ──┘
//	 ▲  └───────┬───────────┴─────────────────┘
//	 │          ▼ in vain, or WAIT
//	 └────── WAITING: a back-off, or minutes in which we register in clear
//
// The state is that of the attempt at the next channel. The one that stands is
// used until the next one does.
type serverChannel struct {
	cfg channelConfig

	by       punch.Conn // the stream that the attempt goes over; nil: UDP. In clear there is UDP only
	state    chanState
	next     time.Time // KNOCK, or the end of a wait
	tries    int       // KNOCKs of this round
	began    time.Time // of this round
	cookies  []cookie  // newest last
	putOff   []cookie  // those with which a WAIT came in this round
	answered bool      // the handshake has had an answer
	absent   bool      // the RDV seems to have no channel: RECONNECT or CLOSED in this round
	mute     bool      // it has left all KNOCKs of this round unanswered, which has ended
	backoff  time.Duration
	clear    bool // we register in clear meanwhile

	joining  *link // REGISTER is out on it
	link     *link // it stands; nil: none does
	old      *link // link has replaced it; nil: none
	oldUntil time.Time

	ping   time.Time // the next one; while a link stands
	doubt  time.Time // the last one that inDoubt has said
	heard  time.Time // the RDV, last
	silent bool      // and it was reported
	checks int       // PINGs that are still to be said before we think that it no longer knows us; 0: no doubt

	lastID   uint32
	requests []*request // that have no answer yet
	refusal  noChannel  // the last
	spare    []byte

	fetcher fetcher // of what all members should have
	duty    *duty   // of the VPN's authority; nil: we are not it
}

// A channelConfig says what a serverChannel is about.
type channelConfig struct {
	auth     Auth
	known    func() bool // a channel has stood with this RDV: never in clear again
	register channel.Message
	has      func(channel.Object) bool // an object need not be fetched; nil: none is wanted
	jitter   func() float64            // 0 to 1

	// elsewhere reports whether an object is being fetched from another RDV; nil: there
	// is none.
	elsewhere func(now time.Time, o channel.Object) bool

	patience time.Duration // beyond clearPatience, for an RDV with several addresses
}

func newServerChannel(now time.Time, cfg channelConfig) *serverChannel {
	m := &serverChannel{cfg: cfg, backoff: backoffMin, heard: now}
	if cfg.auth != AuthNo {
		m.state, m.next = chanWaiting, now
	}
	return m
}

// on reports whether the machine does anything.
func (m *serverChannel) on() bool { return m.state != chanOff }

// stands reports whether we are registered over a channel.
func (m *serverChannel) stands() bool { return m.link != nil }

// timeout returns when advance must be called next; zero means never.
func (m *serverChannel) timeout() time.Time {
	var next time.Time
	consider := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	switch m.state {
	case chanWaiting, chanKnocking:
		consider(m.next)
	case chanShaking:
		if !m.answered { // else the handshake itself has an end
			consider(m.next)
		}
	}
	if m.link != nil {
		consider(m.ping)
	}
	if m.old != nil {
		consider(m.oldUntil)
	}
	for _, r := range m.requests {
		if r.next.IsZero() {
			return m.heard // at once: that is a moment of the past
		}
		consider(r.next)
	}
	for _, t := range [...]time.Time{m.fetcher.wake, m.duty.timeout()} {
		if !t.IsZero() {
			consider(t)
		}
	}
	return next
}

// advance takes the passing of time and appends what to do to out.
func (m *serverChannel) advance(now time.Time, out []chanOut) []chanOut {
	if m.old != nil && !now.Before(m.oldUntil) {
		m.old = nil
	}
	if m.link != nil && !now.Before(m.ping) {
		out = m.checkPing(now, out)
	}
	switch m.state {
	case chanWaiting:
		if !now.Before(m.next) {
			out = m.begin(now, out)
		}
	case chanKnocking:
		if !now.Before(m.next) {
			out = m.knockOn(now, out)
		}
	case chanShaking:
		if !m.answered && !now.Before(m.next) {
			out = append(out, chanOut{act: actAbandon})
			out = m.fail(now, errNoAdmit, out)
		}
	}
	out = m.repeat(now, out)
	out = m.announceAgain(now, out)
	if w := m.fetcher.wake; !w.IsZero() && !now.Before(w) {
		out = m.fetchOn(now, out)
	}
	return out
}

// begin begins a round.
func (m *serverChannel) begin(now time.Time, out []chanOut) []chanOut {
	m.tries, m.cookies, m.putOff, m.began = 0, nil, nil, now
	m.answered, m.absent, m.mute = false, false, false
	m.state = chanKnocking
	if m.link.steady(now) {
		m.backoff = backoffMin
	}
	if m.link == nil && !m.clear && !m.mayClear() {
		out = append(out, chanOut{act: actTrying})
	}
	return m.knock(now, out)
}

// knockOn does what is due while KNOCKs are unanswered.
func (m *serverChannel) knockOn(now time.Time, out []chanOut) []chanOut {
	if m.mayClear() && !now.Before(m.clearAt()) {
		m.mute = true
		return m.inClear(now, lookInterval, out)
	}
	if m.tries >= knockTries {
		if m.absent {
			return m.fail(now, errNoChannel, out)
		}
		return m.fail(now, errNoKnock, out)
	}
	return m.knock(now, out)
}

func (m *serverChannel) knock(now time.Time, out []chanOut) []chanOut {
	m.next = now.Add(min(knockFirst<<m.tries, knockMax))
	if end := m.clearAt(); now.Before(end) && m.next.After(end) && m.mayClear() {
		m.next = end
	}
	m.tries++
	b := wire.GateMessage{Type: wire.Knock, Version: wire.GateVersion}.Append(nil)
	return append(out, chanOut{act: actSend, data: b})
}

// wait makes the next round begin after about d: a quarter more or less, so that
// clients do not come back in step.
func (m *serverChannel) wait(now time.Time, d time.Duration) {
	m.state, m.putOff = chanWaiting, nil
	m.next = now.Add(time.Duration(float64(d) * (0.75 + m.cfg.jitter()/2)))
}

// later returns the back-off after a round in vain, and lets it grow up to most.
func (m *serverChannel) later(most time.Duration) time.Duration {
	d := min(m.backoff, most)
	m.backoff = min(2*d, most)
	return d
}

// fail ends a round without a channel.
func (m *serverChannel) fail(now time.Time, why error, out []chanOut) []chanOut {
	m.dropRegister()
	m.joining = nil
	m.refusal = noChannel{why, now}
	out = append(out, chanOut{act: actRefused, err: why})
	if m.mayClear() {
		if errors.Is(why, errNoAdmit) || errors.Is(why, errNoJoin) { // there is a channel, and silence is no refusal
			return m.inClear(now, m.later(lookInterval), out)
		}
		return m.inClear(now, lookInterval, out)
	}
	m.wait(now, m.later(backoffMax))
	return out
}

// renew begins the next channel at once, for what has changed. The one that
// stands is used until then.
func (m *serverChannel) renew(now time.Time, cfg channelConfig, out []chanOut) []chanOut {
	m.cfg = cfg
	if m.state == chanOff {
		return out
	}
	out = append(out, chanOut{act: actAbandon})
	m.dropRegister()
	m.joining, m.backoff = nil, backoffMin
	return m.begin(now, out)
}

// lose takes that the link has ended.
func (m *serverChannel) lose(now time.Time, why error, out []chanOut) []chanOut {
	steady := m.link.steady(now)
	m.link, m.silent = nil, false
	m.suspendFetch()
	out = append(out, chanOut{act: actDown, err: why})
	if m.state != chanUp {
		return out // the next is on its way
	}
	if steady {
		m.backoff = backoffMin
		return m.begin(now, out)
	}
	m.wait(now, m.later(backoffMax))
	return out
}

// sayPing keeps us registered, and notices if nobody answers.
func (m *serverChannel) sayPing(now time.Time, out []chanOut) []chanOut {
	if now.Sub(m.heard) > linkPatience {
		return m.lose(now, errSilent, out)
	}
	m.ping = now.Add(m.link.pingInterval())
	out = append(out, chanOut{act: actSend, link: m.link, data: wire.Message{Type: wire.Ping}.Append(nil)})
	if now.Sub(m.heard) <= rdvPatience {
		return out
	}
	if !m.silent {
		m.silent = true
		out = append(out, chanOut{act: actSilent})
	}
	if m.state == chanUp {
		out = m.begin(now, out)
	}
	return out
}

// inDoubt sees at once whether the RDV still knows us, since peers no longer answer.
func (m *serverChannel) inDoubt(now time.Time, out []chanOut) []chanOut {
	if m.link == nil || now.Sub(m.doubt) < doubtGap {
		return out
	}
	m.doubt = now
	return append(out, chanOut{act: actSend, link: m.link, data: wire.Message{Type: wire.Ping}.Append(nil)})
}

// hear takes that the RDV answers.
func (m *serverChannel) hear(now time.Time, out []chanOut) []chanOut {
	m.heard = now
	if m.silent {
		m.silent = false
		out = append(out, chanOut{act: actBack})
	}
	return out
}

// handleGate takes a gate message from the RDV's address.
func (m *serverChannel) handleGate(now time.Time, g wire.GateMessage, out []chanOut) []chanOut {
	switch g.Type {
	case wire.Cookie:
		if g.Version == wire.GateVersion {
			return m.handleCookie(now, g.Cookie, out)
		}
	case wire.Wait:
		if m.state == chanShaking && slices.Contains(m.cookies, g.Cookie) {
			return m.handleWait(now, g, out)
		}
	case wire.Closed:
		if m.state == chanKnocking {
			m.absent = true
			if m.mayClear() {
				return m.inClear(now, lookInterval, out)
			}
		}
	}
	return out
}

// handleWait begins the round again later, unless the RDV's cookie may be another:
// whoever has forged a COOKIE can forge the WAIT for it.
func (m *serverChannel) handleWait(now time.Time, g wire.GateMessage, out []chanOut) []chanOut {
	if len(m.putOff) < maxCookies {
		m.putOff = append(m.putOff, g.Cookie)
	}
	m.cookies = slices.DeleteFunc(m.cookies, func(c cookie) bool { return c == g.Cookie })
	if len(m.cookies) > 0 {
		return append(out, chanOut{act: actCookies, cookies: slices.Clone(m.cookies)})
	}
	m.state = chanWaiting
	m.next = now.Add(min(time.Duration(g.Millis)*time.Millisecond, waitMax))
	return append(out, chanOut{act: actAbandon})
}

// handleCookie begins the handshake. While it has no answer, the RDV's cookie may
// be another than the first that came.
func (m *serverChannel) handleCookie(now time.Time, ck cookie, out []chanOut) []chanOut {
	switch {
	case slices.Contains(m.putOff, ck):
		return out
	case m.state == chanKnocking, m.state == chanWaiting && len(m.putOff) > 0:
		m.state, m.cookies, m.answered = chanShaking, []cookie{ck}, false
		m.next = now.Add(admitPatience)
		if m.link == nil && !m.clear && m.mayClear() {
			out = append(out, chanOut{act: actTrying})
		}
		return append(out, chanOut{act: actBegin, cookies: slices.Clone(m.cookies)})
	case m.state != chanShaking || m.answered || slices.Contains(m.cookies, ck):
		return out
	}
	m.cookies = append(m.cookies, ck)
	if len(m.cookies) > maxCookies {
		m.cookies = m.cookies[1:]
	}
	return append(out, chanOut{act: actCookies, cookies: slices.Clone(m.cookies)})
}

// handshaken takes the end of the handshake: a link, or why there is none.
func (m *serverChannel) handshaken(now time.Time, l *link, err error, out []chanOut) []chanOut {
	if m.state != chanShaking {
		return out
	}
	if err != nil {
		return m.fail(now, err, out)
	}
	m.state, m.joining = chanJoining, l
	return m.sayRegister(now, l, out)
}

// registered takes the RDV's answer to REGISTER: the next link stands.
func (m *serverChannel) registered(now time.Time, msg *channel.Message, out []chanOut) []chanOut {
	l := m.joining
	l.since, l.lease = now, time.Duration(msg.Lease)*time.Second
	if len(msg.Endpoints) > 0 {
		l.endpoint = msg.Endpoints[0]
	}
	fresh := m.link == nil
	if !fresh {
		m.old, m.oldUntil = m.link, now.Add(linkLife)
	}
	m.dropRegister() // an update over the link before
	m.link, m.joining, m.checks = l, nil, 0
	m.state, m.refusal, m.silent = chanUp, noChannel{}, false
	m.heard, m.ping = now, now.Add(l.pingInterval())
	m.resumeFetch()
	for _, r := range m.requests { // the RDV may have forgotten the old link's keys
		r.next, r.sent = now, min(r.sent, 1)
	}
	if m.clear {
		m.clear = false
		out = append(out, chanOut{act: actQuiet})
	}
	out = append(out, chanOut{act: actUp, link: l, fresh: fresh})
	return m.offered(now, msg.Objects, m.announce(now, out))
}
