package client

import (
	"errors"
	"math"
	"net"
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
	busy    *try    // whose turn it is; nil: nobody's
	waiting []*peer // for theirs, in order; some have lost interest
}

// A hardTry is what a try does to find a way through a hard NAT, ours or the peer's.
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

// meetNAT: the RDV tells what a peer that we try to reach is behind.
func (c *Client) meetNAT(now time.Time, vpn netip.Addr, msg *channel.Message) {
	p, target := c.peers[vpn], c.publicOf(msg)
	if p == nil || p.try == nil || p.try.attempt == nil || !target.IsValid() || c.set.HardNAT == (hard.Budget{}) {
		return
	}
	h := &p.try.hard
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

// advanceHard does what is due for the way through a hard NAT that p's try looks for.
func (c *Client) advanceHard(now time.Time, p *peer) {
	h := &p.try.hard
	if !h.speak.IsZero() && !now.Before(h.speak) {
		h.speak, h.spoken = time.Time{}, true
	}
	if t := h.timeout(); t.IsZero() || now.Before(t) {
		return
	}
	sought := p.try.sought()
	switch {
	case h.attempt == nil && !sought: // there is a way
		h.at = time.Time{}
		c.callNext()
		return
	case h.attempt == nil && !c.beginHard(now, p):
		return
	}
	if !sought {
		h.attempt.Stop()
		if h.conn == nil { // ordinary punching was faster, or a guess was right
			c.closeExtras(h)
		}
	}
	for _, o := range h.attempt.Advance(now, nil) {
		c.sendProbe(p, o)
	}
	if h.attempt.Done(now) {
		h.over = true
		c.closeExtras(h, h.conn)
		c.releaseHard(p)
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

// beginHard begins to look for a way, if it is p's turn.
func (c *Client) beginHard(now time.Time, p *peer) bool {
	d, h := &c.hard, &p.try.hard
	switch {
	case d.busy != nil:
		h.waiting = true
		d.waiting = append(d.waiting, p)
		return false
	case !d.ration.Begin(now, p.vpn, h.target.Addr()):
		c.log.Debug("No way through a hard NAT is looked for so soon after the last time", "peer", p.vpn, "addr", h.target)
		h.at = time.Time{}
		c.callNext()
		return false
	}
	c.flush() // which closes the sockets of the attempt before
	d.busy = p.try
	h.attempt = hard.NewAttempt(now, h.plan, h.target, c.set.HardNAT, math.Float64bits(c.cfg.Jitter()))
	c.log.Info("Looking for a way through a hard NAT", "peer", p.vpn, "addr", h.target, "role", h.plan.Role.String())
	return true
}

// sendProbe sends a punch that may find the peer. Thousands are not worth a line in the
// log each.
func (c *Client) sendProbe(p *peer, o hard.Out) {
	h := &p.try.hard
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
	c.sendTo(punch.Endpoint{Addr: o.To, Conn: conn}, p.try.attempt.Probe().Append(nil))
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

// fromExtra is fromNet for an extra socket. That it is closed, or fails, is the end of
// nothing else.
func (c *Client) fromExtra(conn punch.Conn) {
	in := newInbound(c, c.cfg.Device)
	in.conn = conn
	var failures <-chan punch.PathError
	if e, ok := conn.(interface{ Errors() <-chan punch.PathError }); ok {
		failures = e.Errors()
	}
	for {
		ds, err := conn.Receive()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				c.log.Info("An extra socket has failed", "addr", conn.LocalAddr(), "err", err)
			}
			return
		}
		in.batch(time.Now(), c.table.Load(), ds)
		select {
		case e := <-failures:
			c.handPathError(e)
		default:
		}
	}
}

// handPathError hands control what the network says about an extra socket's path.
func (c *Client) handPathError(e punch.PathError) {
	select {
	case c.paths <- e:
	default:
	}
}

// heardBy takes note of where a punch of p has come from, and reports whether it counts:
// the first of the extra sockets that hears anything is the only one that does.
func (c *Client) heardBy(p *peer, at punch.Endpoint) bool {
	h := &p.try.hard
	switch {
	case at.Conn == nil || c.shared[at.Conn]:
		return true
	case slices.Contains(p.extras, at.Conn):
		return at == p.at
	case !h.leadsTo(at):
		return false
	case h.conn == nil:
		if !p.try.sought() {
			return false // there is a better way
		}
		h.conn = at.Conn
		h.attempt.Stop()
		for _, r := range slices.Clone(p.try.running) {
			if !r.server && !r.silent.IsZero() && r.at.Addr == at.Addr {
				c.remove(p, r) // it speaks where nobody hears it
			}
		}
	}
	return at.Conn == h.conn
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

// sought reports whether a way through a hard NAT is still to be found. That the peer is
// heard is none if our own NAT is the hard one, and lets everybody in at the port that the
// RDV sees: what we say comes from another port, which the peer's does not let in.
func (t *try) sought() bool {
	state, path := t.attempt.State()
	h := &t.hard
	return state == punch.Punching ||
		state == punch.Open && h.plan.Role == hard.Open && h.conn == nil && path == punch.Endpoint{Addr: h.target} && !t.attempt.PeerHasHeard()
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

// holds reports whether conn is a socket by which p may speak to us: not one that has
// been closed since something came by it.
func (c *Client) holds(p *peer, conn punch.Conn) bool {
	return conn == nil || c.shared[conn] || slices.Contains(p.extras, conn) || p.try != nil && slices.Contains(p.try.hard.conns, conn)
}

// keepExtra makes a socket of a try one of p's session.
func (c *Client) keepExtra(p *peer, conn punch.Conn) {
	if conn != nil && !c.shared[conn] && !slices.Contains(p.extras, conn) {
		p.extras = append(p.extras, conn)
	}
}

// closeUnused closes those of p's extra sockets by which there is no path any more.
func (c *Client) closeUnused(p *peer) {
	if len(p.extras) == 0 {
		return
	}
	used := slices.Clone(p.places)
	if p.session != nil {
		used = append(used, p.at)
	}
	if p.old != nil {
		used = append(used, p.oldAt)
	}
	p.extras = slices.DeleteFunc(p.extras, func(conn punch.Conn) bool {
		if slices.ContainsFunc(used, func(at punch.Endpoint) bool { return at.Conn == conn }) {
			return false
		}
		c.closeLater(conn)
		return true
	})
}

// post sends what an attempt says.
func (c *Client) post(ms []punch.Out) {
	for _, m := range ms {
		c.sendMessageTo(m.To, m.Msg)
	}
}

// hardSucceeded takes note that p's try has led to a session.
func (c *Client) hardSucceeded(p *peer) {
	h := &p.try.hard
	if h.attempt == nil {
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
	c.releaseHard(p)
}

// closeExtras closes a try's extra sockets but those in keep.
func (c *Client) closeExtras(h *hardTry, keep ...punch.Conn) {
	h.conns = slices.DeleteFunc(h.conns, func(conn punch.Conn) bool {
		if slices.Contains(keep, conn) {
			return false
		}
		c.closeLater(conn)
		return true
	})
}

// releaseHard ends p's turn, if it is that, or its wait for it.
func (c *Client) releaseHard(p *peer) {
	d := &c.hard
	if p.try.hard.waiting {
		p.try.hard.waiting = false
		d.waiting = slices.DeleteFunc(d.waiting, func(q *peer) bool { return q == p })
	}
	if d.busy == p.try {
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
	p := d.waiting[0]
	d.waiting = slices.Delete(d.waiting, 0, 1)
	p.try.hard.waiting = false
	c.due.set(p, c.peerTimeout(p))
}
