package client

import (
	"time"

	"campagnol/rdv/wire"
)

// mayClear reports whether we register in clear if there is no channel.
func (m *serverChannel) mayClear() bool {
	return m.cfg.auth == AuthAuto && m.by == nil && m.link == nil && !m.cfg.known()
}

// clearAt returns when KNOCKs have gone unanswered for too long.
func (m *serverChannel) clearAt() time.Time { return m.began.Add(clearPatience + m.cfg.patience) }

// inClear leaves the registration to HELLO, and looks again after about d.
func (m *serverChannel) inClear(now time.Time, d time.Duration, out []chanOut) []chanOut {
	m.wait(now, d)
	if m.clear {
		return out
	}
	m.clear = true
	return append(out, chanOut{act: actClear})
}

// look begins a round if none is under way and the last is not too near.
func (m *serverChannel) look(now time.Time, out []chanOut) []chanOut {
	if m.state != chanWaiting && m.state != chanUp || now.Sub(m.began) < knockGap {
		return out
	}
	return m.begin(now, out)
}

// lookSoon is look, but where the last round is too near it is made up for: in clear
// nothing else would make us look again before lookInterval has passed.
func (m *serverChannel) lookSoon(now time.Time, out []chanOut) []chanOut {
	soon := m.began.Add(knockGap)
	if m.clear && m.state == chanWaiting && len(m.putOff) == 0 && now.Before(soon) && soon.Before(m.next) {
		m.next = soon
		return out
	}
	return m.look(now, out)
}

// helloDone takes that we are registered in clear. If KNOCKs have had no answer, the RDV
// was away then, and it may have a channel.
func (m *serverChannel) helloDone(now time.Time, out []chanOut) []chanOut {
	if m.mute {
		m.mute = false // once: there are networks that let no KNOCK through
		return m.lookSoon(now, out)
	}
	return out
}

// handleClear takes a PONG or a RECONNECT in clear from the RDV's address.
func (m *serverChannel) handleClear(now time.Time, t wire.Type, out []chanOut) []chanOut {
	switch {
	case m.state == chanOff:
	case t == wire.Pong:
		m.checks = 0
		out = m.hear(now, out)
	case t == wire.Reconnect && m.state == chanKnocking && m.clear && m.mayClear():
		// One that was restarted answers PING and ASK like so, too, and a COOKIE may
		// follow. HELLO does not wait for the end of the round.
	case t == wire.Reconnect && m.state == chanKnocking:
		m.absent = true
		if m.mayClear() { // an original: we have said nothing but KNOCK so far
			return m.inClear(now, lookInterval, out)
		}
	case t == wire.Reconnect && m.checks > 0:
		return m.reconnect(now, out)
	case t == wire.Reconnect && m.state == chanUp && now.Sub(m.doubt) < doubtLife && now.Sub(m.began) >= doubtRest:
		return m.begin(now, out)
	case t == wire.Reconnect && m.clear && m.absent && now.Before(m.clearAt()):
		// to another KNOCK of the round that has just ended
	case t == wire.Reconnect:
		return m.lookSoon(now, out)
	}
	return out
}
