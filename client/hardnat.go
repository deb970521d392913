package client

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
	"campagnol/punch/hard"
	"campagnol/rdv/channel"
)

// speakTime is how long we wait, where a new port of ours was found, for the peer to say
// that it has heard us there: until then it takes no ClientHello from it, and the next
// one would come later than this.
const speakTime = 200 * time.Millisecond

// A hardDesk is what is known of all ways through hard NATs that were looked for. One
// is looked for at a time: our own NAT's ports, and the peers' patience, are not ours
// to use up.
type hardDesk struct {
	ration  hard.Ration
	busy    *quest     // whose turn it is; nil: nobody's
	waiting []hardTurn // for theirs, in order; some have lost interest
}

// A hardTurn is a quest that waits for its turn.
type hardTurn struct {
	peer  *peer
	quest *quest
}

// A hardTry is what a quest does to find a way through a hard NAT, ours or the peer's.
// Its zero value does nothing.
type hardTry struct {
	plan    hard.Plan
	target  netip.AddrPort // where the RDV sees the peer
	at      time.Time      // when to begin; zero: never
	waiting bool           // for its turn
	attempt *hard.Attempt  // nil: it has not begun
	over    bool           // the attempt
	speak   time.Time      // when to begin the handshake whatever the peer has heard; zero: no such time
	spoken  bool           // that was

	conns []punch.Conn // extra sockets, by index until the attempt has stopped
	conn  punch.Conn   // of these, the one by which the peer was heard; nil: none
}

// timeout returns when there is something to do; zero: never.
func (h *hardTry) timeout() time.Time {
	switch {
	case h.waiting || h.over:
		return time.Time{}
	case h.attempt != nil:
		return h.attempt.Timeout()
	}
	return h.at
}

// quest returns what is under way to find out where p can be reached, or nil: a search,
// if there is one, since a try beside a session is often soon over.
func (p *peer) quest() *quest {
	switch {
	case p.search != nil:
		return &p.search.quest
	case p.try != nil && p.try.attempt != nil:
		return &p.try.quest
	}
	return nil
}

// meetNAT: the RDV tells what a peer that we try to reach is behind.
func (c *Client) meetNAT(now time.Time, vpn netip.Addr, msg *channel.Message) {
	p, target := c.peers[vpn], c.publicOf(msg)
	if p == nil || !target.IsValid() || c.set.HardNAT == (hard.Budget{}) {
		return
	}
	q := p.quest()
	if q == nil {
		return
	}
	h := &q.hard
	if h.attempt != nil || h.waiting {
		return
	}
	plan := hard.Make(c.nat, msg.NAT)
	if plan.Role == hard.None || plan.Role == hard.Open && c.cfg.OpenSocket == nil {
		h.at = time.Time{}
		return
	}
	h.plan, h.target = plan, target
	if h.at.IsZero() {
		h.at = now.Add(plan.Lead)
	}
	c.settle(p)
}

// publicOf returns the peer's public IPv4 endpoint, as the RDV or a STUN server sees it;
// the zero AddrPort if it is not known.
func (c *Client) publicOf(msg *channel.Message) netip.AddrPort {
	var at netip.AddrPort
	for _, n := range c.usableOf(msg.Endpoints, msg.Candidates) {
		if n.Kind == punch.Observed && n.Addr.Addr().Unmap().Is4() && (!at.IsValid() || slices.Contains(msg.Endpoints, n.Addr)) {
			at = n.Addr
		}
	}
	return at
}

// advanceHard does what is due for the way through a hard NAT that a quest for p looks for.
func (c *Client) advanceHard(now time.Time, p *peer, q *quest) {
	h := &q.hard
	if !h.speak.IsZero() && !now.Before(h.speak) {
		h.speak, h.spoken = time.Time{}, true
	}
	if t := h.timeout(); t.IsZero() || now.Before(t) {
		return
	}
	sought := q.sought()
	switch {
	case h.attempt == nil && !sought: // there is a way
		h.at = time.Time{}
		c.callNext()
		return
	case h.attempt == nil && !c.beginHard(now, p, q):
		return
	}
	if !sought {
		h.attempt.Stop()
		if h.conn == nil { // ordinary punching was faster, or a guess was right
			c.closeExtras(h)
		}
	}
	for _, o := range h.attempt.Advance(now, nil) {
		c.sendProbe(q, o)
	}
	if h.attempt.Done(now) {
		h.over = true
		c.closeExtras(h, h.conn)
		c.releaseHard(q)
	}
}

// maySpeak reports whether it is time for us to begin the handshake.
func (c *Client) maySpeak(now time.Time, t *try) bool {
	h := &t.hard
	if h.attempt == nil || h.plan.Role != hard.Open || h.spoken || t.attempt.PeerHasHeard() {
		return true
	}
	if h.speak.IsZero() {
		h.speak = now.Add(speakTime)
	}
	return false
}

// beginHard begins to look for a way, if it is the quest's turn.
func (c *Client) beginHard(now time.Time, p *peer, q *quest) bool {
	d, h := &c.hard, &q.hard
	switch {
	case d.busy != nil:
		h.waiting = true
		d.waiting = append(d.waiting, hardTurn{p, q})
		return false
	case !d.ration.Begin(now, p.vpn, h.target.Addr()):
		c.log.Debug("No way through a hard NAT is looked for so soon after the last time", "peer", p.vpn, "addr", h.target)
		h.at = time.Time{}
		c.callNext()
		return false
	}
	c.flush() // which closes the sockets of the attempt before
	d.busy = q
	h.attempt = hard.NewAttempt(now, h.plan, h.target, c.set.HardNAT, math.Float64bits(c.cfg.Jitter()))
	c.log.Info("Looking for a way through a hard NAT", "peer", p.vpn, "addr", h.target, "role", h.plan.Role.String())
	return true
}

// sendProbe sends a punch that may find the peer. Thousands are not worth a line in the
// log each.
func (c *Client) sendProbe(q *quest, o hard.Out) {
	h := &q.hard
	var conn punch.Conn
	if o.Socket != hard.Primary {
		if o.Socket == len(h.conns) {
			c.openExtra(h)
		}
		if o.Socket >= len(h.conns) {
			return // it could not be opened
		}
		conn = h.conns[o.Socket]
	}
	c.hard.ration.Cost.Probes++
	c.sendTo(punch.Endpoint{Addr: o.To, Conn: conn}, q.attempt.Probe().Append(nil))
}

// openExtra opens another socket, and listens to it.
func (c *Client) openExtra(h *hardTry) {
	conn, err := c.cfg.OpenSocket()
	if err != nil {
		c.log.Info("Cannot open as many sockets as a hard NAT needs", "open", len(h.conns), "err", err)
		h.attempt.Limit(len(h.conns))
		return
	}
	c.hard.ration.Cost.Sockets++
	h.conns = append(h.conns, conn)
	c.wg.Go(func() { c.fromExtra(conn) })
}

// heardBy takes note of where a punch of p has come from, and reports whether it counts:
// the first of the extra sockets that hears anything is the only one that does.
func (c *Client) heardBy(p *peer, q *quest, at punch.Endpoint) bool {
	h := &q.hard
	switch {
	case at.Conn == nil || c.shared[at.Conn]:
		return true
	case slices.Contains(p.extras, at.Conn):
		return at == p.at
	case !h.leadsTo(at):
		return false
	case h.conn == nil:
		if !q.sought() {
			return false // there is a better way
		}
		h.conn = at.Conn
		h.attempt.Stop()
		c.silence(p, q, at.Addr)
	}
	return at.Conn == h.conn
}

// silence ends handshakes in which we speak to an address where nobody hears us.
func (c *Client) silence(p *peer, q *quest, addr netip.AddrPort) {
	if p.try == nil || q != &p.try.quest {
		return
	}
	for _, r := range slices.Clone(p.try.running) {
		if !r.server && !r.silent.IsZero() && r.at.Addr == addr && r.at.Conn == nil {
			c.remove(p, r)
		}
	}
}

// leadsTo reports whether an endpoint is where the peer is, by one of the extra sockets.
func (h *hardTry) leadsTo(at punch.Endpoint) bool {
	return at.Conn != nil && at.Addr == h.target && slices.Contains(h.conns, at.Conn)
}

// preferHard makes where a punch came from the path, if that is what the extra sockets
// are for: that the primary one hears the peer, too, is no way out.
func (c *Client) preferHard(now time.Time, t *try, at punch.Endpoint) {
	if _, path := t.attempt.State(); t.hard.conn != nil && at.Conn == t.hard.conn && path.Conn == nil && path.Addr == at.Addr {
		t.attempt.Prefer(now, at)
	}
}

// sought reports whether a way through a hard NAT is still to be found. One through a relay
// is none. That the peer is
// heard is none if our own NAT is the hard one, and lets everybody in at the port that the
// RDV sees: what we say comes from another port, which the peer's does not let in.
func (q *quest) sought() bool {
	state, path := q.attempt.State()
	h := &q.hard
	return state == punch.Punching || state == punch.Open && q.attempt.Relayed() ||
		state == punch.Open && h.plan.Role == hard.Open && h.conn == nil && path == punch.Endpoint{Addr: h.target} && !q.attempt.PeerHasHeard()
}

// chooseHard settles that what is said with p from now on is said from the socket of at:
// records have come by it. It reports whether it can be. Until then, the peer may have
// heard another of our sockets first, and speak to that.
func (c *Client) chooseHard(now time.Time, p *peer, at punch.Endpoint) bool {
	h := &p.try.hard
	switch {
	case at.Conn == nil || c.shared[at.Conn] || slices.Contains(p.extras, at.Conn):
		return true
	case !slices.Contains(h.conns, at.Conn):
		return false
	}
	if h.conn != at.Conn {
		p.try.attempt.Lost(now, h.conn)
	}
	h.conn = at.Conn
	h.attempt.Stop()
	c.closeExtras(h, at.Conn)
	return true
}

// post sends what an attempt says.
func (c *Client) post(ms []punch.Out) {
	for _, m := range ms {
		c.sendMessageTo(m.To, m.Msg)
	}
}

// hardSucceeded takes note that a quest has led to a session, or to a direct path of one.
func (c *Client) hardSucceeded(p *peer, q *quest) {
	h := &q.hard
	if h.attempt == nil || p.detours() {
		return
	}
	c.hard.ration.Succeeded(p.vpn, h.target.Addr())
	at := p.at.Addr
	guessed := h.plan.Role == hard.Guess && at.Addr() == h.target.Addr() && at.Port() != h.target.Port()
	if guessed || h.plan.Role == hard.Open && at == h.target {
		c.hard.ration.Cost.Successes++
	}
}

// endHard ends what p's try does about a hard NAT. A socket that a session uses stays.
func (c *Client) endHard(p *peer) {
	c.closeExtras(&p.try.hard, p.extras...)
	c.releaseHard(&p.try.quest)
}

// closeExtras closes a quest's extra sockets but those in keep.
func (c *Client) closeExtras(h *hardTry, keep ...punch.Conn) {
	h.conns = slices.DeleteFunc(h.conns, func(conn punch.Conn) bool {
		if slices.Contains(keep, conn) {
			return false
		}
		c.closeLater(conn)
		return true
	})
}

// releaseHard ends a quest's turn, if it is that, or its wait for it.
func (c *Client) releaseHard(q *quest) {
	d := &c.hard
	if q.hard.waiting {
		q.hard.waiting = false
		d.waiting = slices.DeleteFunc(d.waiting, func(w hardTurn) bool { return w.quest == q })
	}
	if d.busy == q {
		d.busy = nil
		c.callNext()
	}
}

// callNext makes the first of those who wait look whether it can begin.
func (c *Client) callNext() {
	d := &c.hard
	if len(d.waiting) == 0 {
		return
	}
	w := d.waiting[0]
	d.waiting = slices.Delete(d.waiting, 0, 1)
	w.quest.hard.waiting = false
	c.due.set(w.peer, c.peerTimeout(w.peer))
}
