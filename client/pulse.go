package client

import (
	"time"

	"campagnol/rdv/wire"
	"campagnol/tunnel"
)

// Whether a peer is still there. While we send to it and hear nothing, it is looked
// for: package path does that within the session. When that brings nothing, a new way to
// it is tried beside the session, which stays until that has succeeded or the peer has
// been silent for long. An original cannot be asked: it may be a mere listener, so it
// gets more time, and then the latter at once.
const (
	// pulsePause is after how long without a packet for a peer the data path
	// tells control that one is sent.
	pulsePause = tunnel.Stamp(time.Second)

	pulseInterval = 500 * time.Millisecond // between two looks at an original's session in use
	probeInterval = 250 * time.Millisecond // between two probes
	listenTime    = 5 * time.Second        // of an original

	reviveMin  = time.Second      // between two tries to reach a missing peer
	reviveMax  = 15 * time.Second // growing with the time that it is missing
	reviveRest = 10 * time.Second // without a try, after which it is missing from the beginning
	deadTime   = 45 * time.Second // after which a missing peer's session is closed
)

// A pulse is what is known of a peer being there. All but the last three fields are about
// originals.
type pulse struct {
	at      time.Time // when to look again; zero: when it is used again
	used    time.Time // since when, after a pause
	missing time.Time // since when; zero: it is there
	missed  time.Time // last
	next    time.Time // try to reach it
}

// wake begins to watch p's session, which is used after a pause.
func (c *Client) wake(now time.Time, p *peer) {
	if p.session != nil {
		p.mtu.Wake(now)
	}
	switch {
	case p.session == nil:
		return
	case p.paths != nil:
		p.paths.Wake(now)
	case p.pulse.at.IsZero():
		p.pulse.at, p.pulse.used = now.Add(pulseInterval), now
	}
	c.due.set(p, c.peerTimeout(p))
}

// feelPulse looks at a session that is used.
func (c *Client) feelPulse(now time.Time, p *peer) {
	if p.paths != nil {
		c.advancePaths(now, p)
		return
	}
	pl := &p.pulse
	if pl.at.IsZero() || now.Before(pl.at) {
		return
	}
	s := p.session
	sent, heard := c.clock.Time(s.LastOut()), c.clock.Time(s.Heard())
	if heard.IsZero() {
		heard = s.Opened()
	}
	if !sent.After(heard) || now.Sub(heard) < pulseInterval {
		*pl = pulse{at: now.Add(pulseInterval)}
		if now.Sub(sent) > time.Duration(pulsePause) {
			pl.at = time.Time{} // not used; the data path will say when it is
		}
		return
	}
	if from := later(heard, pl.used); now.Sub(from) < listenTime {
		pl.at = from.Add(listenTime)
		return
	}
	pl.at = now.Add(pulseInterval)
	c.miss(now, p)
}

// later returns the later of two moments.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// abilities are what we tell peers about ourselves.
func (c *Client) abilities() tunnel.Abilities {
	return tunnel.Abilities{
		ECN: c.cfg.ECN, Fragments: c.cfg.Ethernet != nil && c.cfg.Ethernet.Fragment,
		Relays: c.set.RelayFor, Relayed: true,
	}
}

// probe asks p whether it is there.
func (c *Client) probe(now time.Time, p *peer) {
	for _, b := range p.session.Probe(c.abilities(), nil) {
		c.sendToPeer(now, p, b)
	}
}

// miss does what can be done for a peer that does not answer. It may end its session.
func (c *Client) miss(now time.Time, p *peer) {
	pl := &p.pulse
	if pl.missing.IsZero() || now.Sub(pl.missed) > reviveRest {
		pl.missing, pl.next = now, now
		c.log.Info("Peer no longer answers; trying to reach it anew", "peer", p.vpn, "addr", p.at.Addr)
	}
	pl.missed = now
	if p.session.IsOurs() && now.Sub(pl.missing) > deadTime {
		c.log.Info("Closing DTLS connection with peer", "peer", p.vpn, "reason", "no answer")
		c.tell(wire.Close, p.vpn)
		c.refused.note(now, p.vpn)
		c.failures.note(now, p.vpn, "the peer no longer answers", nil)
		p.ending = "the peer no longer answers"
		c.dropSession(p)
		return
	}
	if !now.Before(pl.next) && p.try == nil {
		pl.next = now.Add(min(max(reviveMin, now.Sub(pl.missing)/4), reviveMax))
		p.try = &try{asked: true, began: now, until: now.Add(askPatience)}
		c.ask(now, p)
	}
}
