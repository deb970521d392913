package client

import (
	"errors"
	"net"
	"slices"
	"time"

	"campagnol/punch"
)

// Who has which socket. The primary one is there as long as the client. Extra ones, which
// a way through a hard NAT needs, belong to a quest, and then to the session that it has
// led to. Shared ones belong to nobody in particular: by a relay, many peers are reached.

// maxByShared is how many places of a peer a shared socket tries.
const maxByShared = 2

// share makes a socket one by which any peer may be reached, and listens to it. No
// session closes it; unshare does.
func (c *Client) share(conn punch.Conn) {
	c.noteShared(conn)
	c.wg.Go(func() { c.fromExtra(conn) })
}

// noteShared makes a socket a shared one, to which somebody else listens.
func (c *Client) noteShared(conn punch.Conn) {
	if c.shared == nil {
		c.shared = map[punch.Conn]bool{}
	}
	c.shared[conn] = true
}

// unshare closes a shared socket. Sessions whose path leads by it look for another one.
func (c *Client) unshare(now time.Time, conn punch.Conn) {
	if !c.shared[conn] {
		return
	}
	delete(c.shared, conn)
	for _, p := range c.peersInOrder() {
		if t := p.try; t != nil && t.attempt != nil {
			for _, r := range slices.Clone(t.running) {
				if r.at.Conn == conn {
					c.remove(p, r)
				}
			}
			t.attempt.Lost(now, conn)
			c.stepTry(now, p)
		}
		switch {
		case p.paths != nil:
			p.paths.Lost(now, conn)
			c.advancePaths(now, p)
		case p.session != nil && p.at.Conn == conn: // an original's, which stays where it is
			c.dropSession(p)
		}
		c.settle(p)
	}
	c.closeShared(conn)
}

// unshareAll is unshare for all of them, when the client leaves, but for that by which
// others connect to us, which is closed with the primary socket.
func (c *Client) unshareAll() {
	for conn := range c.shared {
		if conn != punch.Conn(c.cfg.Accept) {
			c.closeShared(conn)
			delete(c.shared, conn)
		}
	}
}

// closeShared closes a shared socket when the outbox is empty. What was said over a
// connection gets a moment to leave, which nobody waits for.
func (c *Client) closeShared(conn punch.Conn) {
	if _, ok := conn.(punch.StreamConn); ok {
		c.closeStream(conn)
	} else {
		c.closeLater(conn)
	}
}

// reachBy has a shared socket try to reach p, too, at places that the RDV has named.
func (c *Client) reachBy(now time.Time, p *peer, conn punch.Conn, list []punch.Candidate) {
	if p.try != nil && p.try.attempt != nil {
		p.try.attempt.TryBy(now, conn, list...)
		c.stepTry(now, p)
	}
	if p.paths != nil {
		p.paths.IntroduceBy(now, conn, list)
		c.advancePaths(now, p)
	}
	c.settle(p)
}

// introduceByShared has the shared sockets by which p may be reached try what the RDV has
// named, too: the peer may be elsewhere than it was. Who passes things on can do so to
// what is public, or seen from outside.
func (c *Client) introduceByShared(now time.Time, p *peer, list []punch.Candidate) {
	public := slices.DeleteFunc(directOf(list), func(n punch.Candidate) bool { return n.Kind != punch.Observed && punch.IsPrivate(n.Addr.Addr()) })
	var done []punch.Conn
	for _, at := range p.places {
		if c.shared[at.Conn] && !isThrough(at.Conn) && !at.Streamed() && !slices.Contains(done, at.Conn) {
			done = append(done, at.Conn)
			p.paths.IntroduceBy(now, at.Conn, public[:min(len(public), maxByShared)])
		}
	}
}

// holds reports whether conn is a socket by which p may speak to us: not one that has
// been closed since something came by it.
func (c *Client) holds(p *peer, conn punch.Conn) bool {
	switch {
	case conn == nil, c.shared[conn], slices.Contains(p.extras, conn):
		return true
	case p.try != nil && slices.Contains(p.try.hard.conns, conn):
		return true
	}
	return p.search != nil && slices.Contains(p.search.hard.conns, conn)
}

// keepExtra makes an extra socket one of p's session.
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

// fromExtra is fromNet for a socket that is not the primary one. That it is closed, or
// fails, is the end of nothing else.
func (c *Client) fromExtra(conn punch.Conn) {
	if err := c.readExtra(conn); !errors.Is(err, net.ErrClosed) {
		c.log.Info("An extra socket has failed", "addr", conn.LocalAddr(), "err", err)
	}
}

// readExtra reads a socket that is not the primary one, and returns why that has ended.
func (c *Client) readExtra(conn punch.Conn) error {
	in := newInbound(c, c.cfg.Device)
	in.conn = conn
	var failures <-chan punch.PathError
	if e, ok := conn.(interface{ Errors() <-chan punch.PathError }); ok {
		failures = e.Errors()
	}
	for {
		ds, err := conn.Receive()
		if err != nil {
			return err
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
