package client

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"campagnol/punch"
	"campagnol/punch/nat"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
)

// mayStream reports whether streams to an RDV may be opened.
func (c *Client) mayStream(s Server) bool {
	return c.cfg.OpenStream != nil && s.TLSPort != 0 && c.set.Auth != AuthNo
}

// give gives an RDV at which all goes on what the settings say of it now.
func (c *Client) give(now time.Time, r *rendezvous, s Server) {
	r.given = s
	if r.fall.usable = c.mayStream(s); r.fall.usable {
		return
	}
	if o := r.fall.opening; o != nil {
		o.cancel()
		r.fall.opening = nil
	}
	if r.fall.conn != nil {
		c.cutStream(now, r, errStreamEnded)
	}
}

// endFallback closes the stream to an RDV, after what is still to be said over it.
func (c *Client) endFallback(r *rendezvous) {
	if o := r.fall.opening; o != nil {
		o.cancel()
	}
	c.closeStream(r.fall.conn)
	r.fall = fallback{usable: c.mayStream(r.given)}
}

// streams returns how many streams there are, or are being opened.
func (c *Client) streams() (n int) {
	for _, r := range c.servers.rdvs {
		if r.fall.conn != nil || r.fall.opening != nil {
			n++
		}
	}
	return n
}

// streamDue returns when a stream to an RDV is to be opened; zero: never. One that does
// without a channel needs none.
func (c *Client) streamDue(r *rendezvous) time.Time {
	if r.reg.registered() {
		return time.Time{}
	}
	return r.fall.due(r.server.stands())
}

// fallbackTimeout returns when advanceFallback has something to do; zero means never.
func (c *Client) fallbackTimeout(r *rendezvous) time.Time {
	var next time.Time
	consider := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	f := &r.fall
	switch {
	case f.conn == nil:
		consider(f.again)
		if c.streams() < maxStreams {
			consider(c.streamDue(r))
		}
	case r.server.by != nil:
		consider(f.probe)
		consider(f.doubt)
	}
	return next
}

// advanceFallback does what is due about a stream to an RDV.
func (c *Client) advanceFallback(now time.Time, r *rendezvous) {
	f := &r.fall
	if f.conn != nil {
		c.tendStream(now, r)
		return
	}
	if due := c.streamDue(r); !due.IsZero() && !now.Before(due) && c.streams() < maxStreams {
		c.openStream(now, r)
	}
	if f.again.IsZero() || now.Before(f.again) {
		return
	}
	if f.again = now.Add(askedAgain); now.Sub(f.since) > streamPatience {
		f.again = time.Time{}
	}
	c.perform(now, r, r.server.inDoubt(now, nil))
}

// tendStream does what is due about a stream that is open.
func (c *Client) tendStream(now time.Time, r *rendezvous) {
	f := &r.fall
	switch {
	case r.overStream() && r.server.silent:
		c.cutStream(now, r, errSilent)
	case r.overStream() && f.dead(now, r.server.heard):
		c.cutStream(now, r, errStreamMoved)
	case r.stuck(f.conn):
		c.cutStream(now, r, errStreamVain)
	case !r.uses(f.conn):
		c.log.Debug("The stream to the RDV server is not needed any more", "server", r.at)
		c.closeStream(f.conn)
		f.conn = nil
	case r.server.by == nil: // on the way to UDP
	case f.works():
		c.log.Debug("The RDV server answers by UDP", "server", r.at)
		f.probe, f.answers = time.Time{}, 0
		c.attemptBy(now, r, nil)
	case !now.Before(f.probe):
		f.sayProbe(now)
		for _, a := range r.ways {
			c.send(a, wire.GateMessage{Type: wire.Knock, Version: wire.GateVersion}.Append(nil))
		}
	}
}

// attemptBy begins the next channel over a stream or, if conn is nil, by UDP.
func (c *Client) attemptBy(now time.Time, r *rendezvous, conn punch.Conn) {
	r.race = race{}
	r.server.by = conn
	c.perform(now, r, r.server.renew(now, r.server.cfg, nil))
}

// closeStream closes a stream when the outbox is empty; nil is none. What is in it gets a
// moment to leave, which nobody waits for.
func (c *Client) closeStream(conn punch.Conn) {
	if conn != nil {
		c.closeLater(&aside{conn, c.wg})
	}
}

// An aside is a Conn whose Close does not wait.
type aside struct {
	punch.Conn
	wg *sync.WaitGroup
}

// Close makes the Conn be closed.
func (a *aside) Close() error {
	a.wg.Go(func() { a.Conn.Close() })
	return nil
}

// openStream begins to open a stream to an RDV. handleOpened takes its end.
func (c *Client) openStream(now time.Time, r *rendezvous) {
	ctx, cancel := context.WithTimeout(c.ctx, openPatience)
	run, server := &opening{cancel}, r.given
	r.fall.opening = run
	ways := []netip.AddrPort{r.at}
	for _, a := range r.ways {
		if a != r.at {
			ways = append(ways, a)
		}
	}
	if r.said.first(errNoUDP) {
		c.log.Info("The RDV server gives no answer by UDP; trying TLS beside", "server", r.at, "port", server.TLSPort)
	}
	c.wg.Go(func() {
		defer cancel()
		e := openFirst(ctx, ways, func(ctx context.Context, at netip.AddrPort) (punch.Conn, error) {
			return c.cfg.OpenStream(ctx, server, at)
		})
		e.run = run
		select {
		case c.opened <- e:
		case <-c.ctx.Done():
			if e.conn != nil {
				e.conn.Close()
			}
		}
	})
}

// openFirst opens a stream on the first of several ways that leads anywhere: each next
// one is tried after raceDelay, or when the ones before have failed (RFC 8305 section 5).
// It returns when all that it has begun has ended.
func openFirst(ctx context.Context, ways []netip.AddrPort, open func(context.Context, netip.AddrPort) (punch.Conn, error)) openEnd {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ends := make(chan openEnd)
	timer := time.NewTimer(0)
	defer timer.Stop()
	best, running := openEnd{}, 0
	for len(ways) > 0 && best.conn == nil || running > 0 {
		var next <-chan time.Time
		if len(ways) > 0 && best.conn == nil {
			next = timer.C
		}
		select {
		case <-next:
			at := ways[0]
			ways = ways[1:]
			running++
			go func() {
				conn, err := open(ctx, at)
				ends <- openEnd{conn: conn, at: at, err: err}
			}()
			timer.Reset(raceDelay)
		case e := <-ends:
			running--
			switch {
			case best.conn != nil && e.conn != nil:
				e.conn.Close() // it was too late
			case e.conn != nil:
				best = e
				stop()
			case best.conn == nil && best.err == nil:
				best = e
			}
			if running == 0 {
				timer.Reset(0)
			}
		}
	}
	return best
}

// handleOpened takes the end of an opening.
func (c *Client) handleOpened(now time.Time, e openEnd) {
	i := slices.IndexFunc(c.servers.rdvs, func(r *rendezvous) bool { return r.fall.opening == e.run })
	if i < 0 {
		c.closeStream(e.conn) // it is not wanted any more
		return
	}
	r := c.servers.rdvs[i]
	f := &r.fall
	f.opening = nil
	switch due := c.streamDue(r); {
	case e.err != nil:
		f.putOff(now)
		if r.said.first(e.err) {
			c.log.Info("The RDV server cannot be reached over TLS", "server", r.at, "port", r.given.TLSPort, "err", e.err, "hint", "trying again")
		}
		return
	case due.IsZero(): // UDP has answered meanwhile
		c.closeStream(e.conn)
		return
	}
	f.conn, f.at = e.conn, e.at
	f.probe, f.awaited, f.answers, f.doubt = now.Add(probeFirst), false, 0, time.Time{}
	conn, at := e.conn, e.at
	c.wg.Go(func() { c.fromStream(conn, at) })
	c.attemptBy(now, r, e.conn)
}

// fromStream hands control what comes over a stream, and at last that it has ended.
// Nothing is dropped: what the RDV says waits on its side.
func (c *Client) fromStream(conn punch.Conn, at netip.AddrPort) {
	hand := func(e event) bool {
		select {
		case c.streamed <- e:
			return true
		case <-c.ctx.Done():
			return false
		}
	}
	for {
		ds, err := conn.Receive()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				c.log.Debug("A stream to the RDV server has ended", "server", at, "err", err)
			}
			hand(event{addr: at, conn: conn})
			return
		}
		for _, d := range ds {
			for b := range d.Segments {
				if len(b) > 0 && !hand(event{addr: at, conn: conn, data: bytes.Clone(b)}) {
					return
				}
			}
		}
	}
}

// handleStreamed takes what has come over a stream.
func (c *Client) handleStreamed(now time.Time, e event) {
	i := slices.IndexFunc(c.servers.rdvs, func(r *rendezvous) bool { return r.fall.conn == e.conn })
	if i < 0 {
		return // closed meanwhile
	}
	r := c.servers.rdvs[i]
	switch {
	case e.data == nil:
		c.cutStream(now, r, errStreamEnded)
	case wire.KindOf(e.data) == wire.KindRendezvous:
		m, err := wire.Parse(e.data)
		if err != nil || m.Type != wire.Pong && m.Type != wire.Reconnect {
			c.drops.Add(tunnel.DropClear)
			return
		}
		c.log.Debug("<< "+m.Type.String(), "from", e.addr, "transport", "tls")
		c.perform(now, r, r.handleClear(now, e.conn, e.addr, m.Type))
	default:
		c.handleChannel(now, r, e.conn, e.addr, e.data)
	}
}

// cutStream gives up the stream to an RDV, and what goes over it. One that has carried a
// channel for a while may be followed by another at once.
func (c *Client) cutStream(now time.Time, r *rendezvous, why error) {
	f, conn := &r.fall, r.fall.conn
	c.log.Debug("Closing the stream to the RDV server", "server", r.at, "reason", why)
	if r.overStream() && r.server.link.steady(now) {
		f.next, f.tries = now, 0
	} else {
		f.putOff(now)
	}
	f.conn, f.probe, f.awaited, f.answers, f.doubt = nil, time.Time{}, false, 0, time.Time{}
	c.closeStream(conn)
	c.perform(now, r, r.server.cut(now, conn, why, nil))
}

// noteChannel takes what has become of a channel, or of the attempt at one.
func (c *Client) noteChannel(now time.Time, r *rendezvous, o *chanOut) {
	f := &r.fall
	switch {
	case o.act == actUp && o.link.conn == nil:
		f.broken, f.rest, f.tries, f.next = time.Time{}, 0, 0, time.Time{}
	case o.act != actRefused || r.server.by != nil:
	case r.overStream(): // UDP has answered, but there is no channel
		r.server.by = f.conn
		r.server.settle()
		f.vain(now)
	case wayFailed(o.err) && !r.server.stands():
		f.broken = now
	}
}

// reportTransport logs that the channel to an RDV goes another way than before.
func (c *Client) reportTransport(r *rendezvous, l *link) {
	over := l.conn != nil
	switch {
	case over && !r.fall.over:
		c.log.Warn("Registered at the RDV server over TLS: UDP gets no answer", "server", r.at, "port", r.given.TLSPort,
			"hint", "peers cannot reach this host directly; open UDP for it in the firewall")
	case r.fall.over && !over:
		c.log.Info("The RDV server answers by UDP again", "server", r.at)
	}
	r.fall.over = over
}

// judgeUDP notes whether UDP gets through, if RDVs tell: it does not if they answer by
// streams only. What a check of the NAT has said counts no more then, nor does what it
// would say.
func (c *Client) judgeUDP(now time.Time) {
	stream := c.anyServer((*rendezvous).overStream)
	blocked := stream && !c.anyServer(func(r *rendezvous) bool { return r.registered() && !r.overStream() })
	if blocked == c.blocked || !blocked && !c.registered() {
		return
	}
	c.blocked = blocked
	n := &c.checker
	if n.stop != nil {
		n.stop()
		n.stop = nil
	}
	n.at, n.began, n.servers = time.Time{}, time.Time{}, nil
	if n.told {
		return
	}
	c.nat = nat.Behaviour{Known: blocked, Blocked: blocked}
	delete(c.offers, offerSTUN)
	c.registerAgain(now)
}
