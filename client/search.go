package client

import (
	"slices"
	"time"

	"campagnol/punch"
	punchpath "campagnol/punch/path"
	"campagnol/rdv/wire"
)

// A session that leads through a relay goes on looking for a direct path. Package path
// challenges what the RDV has named, which opens ordinary NATs at both ends; a search does
// beside it what a try would do, for the sake of hard ones. Neither knows of a handshake:
// where a punch of the peer is heard, the session is challenged.
//
//	session by a relay ──introduced──► search ──a punch──► challenge ──answer──► direct
//	        ▲                            │
//	        └──────── in vain ───────────┘  again after 1, 2, 5, 10 min

// A quest is what finds out where a peer can be reached: by punches to where it may be,
// and by what is done about a hard NAT.
type quest struct {
	attempt *punch.Attempt // nil while NEW
	hard    hardTry
}

// A search is a quest for a direct path, beside a session through a relay.
type search struct {
	quest
	until time.Time
}

// lookWaits are how long a session in use leads through a relay until the RDV is asked
// to introduce the two ends anew, again and again. The last one stays.
var lookWaits = [...]time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute}

// lookUse is how lately a session must have been used for that.
const lookUse = time.Minute

// serverLook is how much longer the session's DTLS server waits, so that normally one end
// asks.
const serverLook = 10 * time.Second

// A look is when the RDV is to be asked for a peer whose session leads through a relay.
type look struct {
	at    time.Time // zero: the session does not
	last  time.Time // when it was, or the two ends were introduced
	count int       // how often, as one end sees it like the other
}

// sameLook is how soon after the last one an introduction is the same: the answer, or that
// to the other end.
const sameLook = 30 * time.Second

// note notes that the RDV has been asked, or has introduced the two ends.
func (l *look) note(now time.Time) {
	if now.Sub(l.last) >= sameLook {
		l.count++
	}
	l.last = now
}

// relayed reports whether p's session leads through a relay.
func (p *peer) relayed() bool {
	return p.session != nil && p.paths != nil && p.paths.View().Class() == punchpath.Relay
}

// detours reports whether p's session takes a way that is there for want of a direct one
// by UDP: through a relay, or over a connection.
func (p *peer) detours() bool {
	return p.session != nil && p.paths != nil && p.paths.View().Class() >= punchpath.TCP
}

// RelayOf returns who passes on what goes to a peer's endpoint that was found in a way,
// for people; "": nobody, as far as is known.
func RelayOf(at punch.Endpoint, found punch.CandidateKind) string {
	switch r, ours := at.Conn.(punch.RelayConn); {
	case ours:
		return r.Relay()
	case found == punch.Relayed:
		return "the peer's relay at " + at.Addr.Addr().String()
	}
	return ""
}

// relayAttr returns what the log says of a path that leads through a relay.
func (p *peer) relayAttr() []any {
	if !p.relayed() {
		return nil
	}
	return []any{"relay", RelayOf(p.at, p.paths.Kind())}
}

// followRelay begins to look for a direct path when p's session has come to lead through
// a relay, or over a connection, and ends that when it does no longer.
func (c *Client) followRelay(now time.Time, p *peer) {
	switch {
	case !p.detours():
		if p.search != nil && p.session != nil {
			c.hardSucceeded(p, &p.search.quest)
		}
		c.endSearch(p)
		p.look = look{}
	case c.set.RelayOnly:
	case p.look.at.IsZero():
		c.wantStream(now, p)
		p.look.last = now
		c.lookLater(now, p)
		c.beginSearch(now, p)
	}
}

// lookLater sets when the RDV is asked for p next.
func (c *Client) lookLater(now time.Time, p *peer) {
	wait := lookWaits[min(p.look.count, len(lookWaits)-1)]
	if p.server {
		wait += serverLook
	}
	p.look.at = now.Add(wait)
}

// beginSearch looks for a direct path to p, or gives the search that there is new time.
func (c *Client) beginSearch(now time.Time, p *peer) {
	if p.search == nil {
		p.search = &search{}
		c.log.Debug("Looking for a direct path to the peer", "peer", p.vpn)
		if tab := c.table.Load(); !tab.isPunching(p.vpn) {
			c.publish(tab.withPunching(p.vpn, true))
		}
	}
	s := p.search
	s.until = now.Add(tryLife)
	if s.attempt == nil || !s.looks() {
		s.attempt = punch.NewAttempt(now, punch.Config{Self: c.cfg.VPNAddr, Peer: p.vpn})
	}
	s.attempt.Try(now, directOf(p.named)...)
}

// directOf returns those of a peer's candidates that do not lead through a relay.
func directOf(list []punch.Candidate) []punch.Candidate {
	return slices.DeleteFunc(slices.Clone(list), func(n punch.Candidate) bool { return n.Kind == punch.Relayed })
}

// inheritSearch makes a search of what is left of p's try, which has led to a session
// through a relay: what it does about a hard NAT goes on.
func (c *Client) inheritSearch(now time.Time, p *peer) {
	if c.followRelay(now, p); p.search == nil {
		return
	}
	from, to := &p.try.quest, &p.search.quest
	to.hard, from.hard = from.hard, hardTry{}
	if c.hard.busy == from {
		c.hard.busy = to
	}
	for i := range c.hard.waiting {
		if w := &c.hard.waiting[i]; w.quest == from {
			w.quest = to
		}
	}
}

// looks reports whether a search still punches.
func (s *search) looks() bool {
	state, _ := s.attempt.State()
	return state == punch.Punching
}

// over reports whether nothing is to be expected of a search any more.
func (s *search) over(now time.Time) bool {
	state, _ := s.attempt.State()
	return !now.Before(s.until) || state == punch.Failed && !s.hard.waiting && s.hard.timeout().IsZero()
}

// timeout returns when there is something to do.
func (s *search) timeout() time.Time {
	next := s.until
	for _, t := range [...]time.Time{s.attempt.Timeout(), s.hard.timeout()} {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	return next
}

// advanceSearch does what is due for a direct path to p.
func (c *Client) advanceSearch(now time.Time, p *peer) {
	if s := p.search; s != nil {
		c.messages = s.attempt.Advance(now, c.messages[:0])
		c.post(c.messages)
		c.advanceHard(now, p, &s.quest)
		if s.over(now) {
			c.endSearch(p)
		}
	}
	if l := &p.look; !l.at.IsZero() && !now.Before(l.at) {
		if now.Sub(c.lastUse(p)) < lookUse && c.asks.take(now, askRate, askBurst) {
			l.note(now)
			c.tell(wire.Ask, p.vpn)
		}
		c.lookLater(now, p)
	}
}

// heardInSearch takes a punch of p that was heard while a direct path is looked for. It
// proves nothing, so that the session is challenged there.
func (c *Client) heardInSearch(now time.Time, p *peer, from punch.Endpoint, m wire.Message, answer bool) {
	s := p.search
	if p.paths.Relayed(from) || from.Streamed() || !c.eligible(from.Addr) || !c.heardBy(p, &s.quest, from) {
		return
	}
	if answer {
		c.messages = s.attempt.Handle(now, from, m, c.messages[:0])
		c.post(c.messages)
	}
	p.paths.Hint(now, from)
	c.advancePaths(now, p)
}

// endSearch ends the search for a direct path to p, if there is one. Sockets by which
// there is none are closed.
func (c *Client) endSearch(p *peer) {
	s := p.search
	if s == nil {
		return
	}
	p.search = nil
	for _, conn := range s.hard.conns {
		if p.paths != nil && !slices.Contains(p.extras, conn) {
			p.paths.Forget(conn)
		}
	}
	c.closeExtras(&s.hard, p.extras...)
	c.releaseHard(&s.quest)
	if p.try == nil {
		c.publish(c.table.Load().withPunching(p.vpn, false))
	}
}

// guesses reports whether a quest sends punches for the sake of a hard NAT.
func (q *quest) guesses() bool { return q.hard.attempt != nil && !q.hard.over }
