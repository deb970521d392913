package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"campagnol/punch"
	punchstream "campagnol/punch/stream"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// silentLife is how long the ClientHello may go unanswered before another path
// is tried, if there is one.
const silentLife = 1500 * time.Millisecond

// maxServing is how many handshakes of one peer may run at the same time in which
// we are the server. More than one address may claim to be the peer; which is, is
// for the handshake to find out, and none must be able to keep the true one out.
const maxServing = 3

// A running is a handshake under way.
type running struct {
	hs     *handshake.Handshake
	at     punch.Endpoint
	to     *atomic.Pointer[punch.Endpoint] // at, for the handshake's goroutine
	server bool
	began  time.Time
	under  int      // which settings it began under: Client.changes
	leaf   []byte   // the certificate that we show
	random [32]byte // of the ClientHello that we serve
	cancel context.CancelFunc

	// silent is when to try another path if nothing has come; zero: something
	// has, or there is none.
	silent time.Time
}

// A handshakeEnd is how a handshake ended.
type handshakeEnd struct {
	p      *peer
	run    *running
	result *handshake.Result
	err    error
}

// startHandshake begins a handshake with p at an endpoint, with the first datagram if
// the peer has spoken already.
func (c *Client) startHandshake(now time.Time, p *peer, at punch.Endpoint, server bool, first []byte) {
	shaper := c.shaper
	to := new(atomic.Pointer[punch.Endpoint])
	to.Store(&at)
	hs, err := handshake.New(c.handshakeConfig(p, server), func(b []byte) {
		shaper.charge(time.Now(), b)
		// Straight to the socket: control may be the one that waits for this.
		e := to.Load()
		c.socket(e.Conn).Send([]punch.Datagram{{Addr: e.Addr, Data: b}})
	})
	if err != nil {
		c.log.Error("Cannot begin a DTLS handshake", "peer", p.vpn, "err", err)
		return
	}
	ctx, cancel := context.WithCancel(c.ctx)
	r := &running{hs: hs, at: at, to: to, server: server, began: now, under: c.changes, leaf: leafOf(&c.set), cancel: cancel}
	if !server {
		r.silent = now.Add(silentLife)
	}
	p.try.running = append(p.try.running, r)
	if first != nil {
		r.random, _ = handshake.ClientHello(first)
		hs.Handle(first)
	}
	c.run(ctx, p, r)
}

// handshakeConfig returns how a handshake with p is done.
func (c *Client) handshakeConfig(p *peer, server bool) handshake.Config {
	vpn, verify, inquire := p.vpn, c.set.Verify, c.set.Inquire
	return handshake.Config{
		Server:      server,
		Certificate: c.set.Certificate,
		Verify: func(chain [][]byte) error {
			if inquire != nil {
				inquire(c.ctx, chain, !server)
			}
			return verify(time.Now(), vpn, chain, !server)
		},
		Suites:    c.set.Suites,
		Protocols: []string{c.protocol()},

		ConnectionID: c.newID(),

		Log: c.log,
	}
}

// run performs r's handshake with p, on a goroutine of its own. handleFinished
// takes its end.
func (c *Client) run(ctx context.Context, p *peer, r *running) {
	c.wg.Go(func() {
		result, err := r.hs.Run(ctx)
		select {
		case c.finished <- handshakeEnd{p, r, result, err}:
		case <-c.ctx.Done():
		}
	})
}

// handleRecords takes a datagram with records that belong to no session: those
// of a handshake, or of one that has just ended.
func (c *Client) handleRecords(now time.Time, at punch.Endpoint, b []byte) {
	p := c.ends[at.Addr]
	if p == nil || !c.holds(p, at.Conn) || !p.mayBeAt(at) {
		return
	}
	if p.try != nil {
		for _, r := range p.try.running {
			if r.at == at && !r.challengedBy(now, b) {
				r.silent = time.Time{}
				c.chooseHard(now, p, at)
				r.hs.Handle(b)
				return
			}
		}
	}
	switch {
	case p.try != nil && p.try.answered(at, b):
	case isClientHello(b):
		c.handleClientHello(now, p, at, b)
	case p.session != nil && p.at.Addr == at.Addr:
		c.receiveLate(now, p, at, b)
	}
	c.settle(p)
}

// answered reports whether a datagram is the first answer to our ClientHello,
// from another address of the peer than we sent it to, and takes it: behind a
// NAT that uses a new port for us, that is the one which carries data both ways.
func (t *try) answered(at punch.Endpoint, b []byte) bool {
	const serverHello, helloVerifyRequest = 2, 3
	typ, ok := handshakeType(b)
	if !ok || typ != serverHello && typ != helloVerifyRequest || t.attempt == nil || !t.attempt.Knows(at) {
		return false
	}
	for _, r := range t.running {
		if !r.server && !r.silent.IsZero() {
			r.at, r.silent = at, time.Time{}
			r.to.Store(&at)
			r.hs.Handle(b)
			return true
		}
	}
	return false
}

// handleClientHello lets a peer begin a handshake: one whom we try to reach, or
// one with a session, who may have been restarted.
func (c *Client) handleClientHello(now time.Time, p *peer, at punch.Endpoint, b []byte) {
	if p.try == nil {
		if now.Sub(p.challenged) < shadowGap {
			return
		}
		p.challenged = now
		p.try = &try{began: now}
		c.beginPunching(now, p, at.Conn, punch.Candidate{Addr: at.Addr, Kind: punch.Reflexive})
	}
	t := p.try
	if t.attempt == nil || !t.attempt.Knows(at) && !t.hard.leadsTo(at) || !t.attempt.Yields(at) || !c.chooseHard(now, p, at) {
		return
	}
	t.attempt.Opened(now, at)
	serving := 0
	for _, r := range slices.Clone(t.running) {
		switch {
		case r.at == at: // we yield, or it begins anew
			c.remove(p, r)
		case r.server:
			serving++
		}
	}
	if serving < maxServing {
		c.startHandshake(now, p, at, true, b)
	}
	c.stepTry(now, p)
}

// challengedBy reports whether a datagram from the same address begins another
// handshake in place of r: a ClientHello while we are the client, or, after a
// while, one that is not a repetition of the one that we serve.
func (r *running) challengedBy(now time.Time, b []byte) bool {
	random, ok := handshake.ClientHello(b)
	if !ok {
		return false
	}
	return !r.server || now.Sub(r.began) >= shadowGap && random != r.random
}

// isClientHello reports whether a datagram begins with the ClientHello of a new
// handshake.
func isClientHello(b []byte) bool {
	_, ok := handshake.ClientHello(b)
	return ok
}

// handshakeType returns the type of the handshake message in clear with which a
// datagram begins (RFC 6347 section 4.2.2).
func handshakeType(b []byte) (uint8, bool) {
	h, rec, _, err := record.Split(b)
	if err != nil || h.Epoch != 0 || h.Type != record.Handshake || h.Length == 0 {
		return 0, false
	}
	return rec[record.HeaderLen], true
}

// remove abandons a handshake.
func (c *Client) remove(p *peer, r *running) {
	r.cancel()
	if p.try != nil {
		p.try.running = slices.DeleteFunc(p.try.running, func(q *running) bool { return q == r })
	}
}

// giveUpSilent abandons a handshake to which nobody has answered, if the peer
// may be elsewhere.
func (c *Client) giveUpSilent(now time.Time, p *peer, r *running) {
	r.silent = time.Time{}
	if !p.try.attempt.HasOther(r.at) {
		return
	}
	c.log.Debug("No answer on this path, trying another", "peer", p.vpn, "addr", r.at.Addr)
	c.remove(p, r)
	p.try.attempt.Reject(now, r.at)
}

// handleFinished takes the end of a handshake.
func (c *Client) handleFinished(now time.Time, e handshakeEnd) {
	if c.finishRekey(now, e) {
		return
	}
	p := e.p
	if p.try == nil || !slices.Contains(p.try.running, e.run) {
		return // abandoned meanwhile
	}
	c.remove(p, e.run)
	defer func() { c.tally.handshake(e.err) }()
	if errors.Is(e.err, handshake.ErrProtocol) {
		e.err = fmt.Errorf("%w (%w)", errMode, e.err)
	}
	if e.err == nil && e.run.under != c.changes { // the peer was accepted under other settings
		e.err = c.set.Verify(now, p.vpn, e.result.Certificates, !e.run.server)
	}
	if e.err == nil {
		e.err = c.checkMode(e.result.Protocol)
	}
	var id Identity
	if e.err == nil {
		id, e.err = c.admit(now, p, e.result.Certificates)
	}
	if e.err == nil {
		c.establish(now, p, e.run, e.result, id)
	} else {
		c.handshakeFailed(now, p, e.run, e.err)
	}
	c.settle(p)
}

func (c *Client) handshakeFailed(now time.Time, p *peer, r *running, err error) {
	level := slog.LevelWarn
	if errors.Is(err, handshake.ErrTakeOver) {
		level = slog.LevelError
	}
	attrs := append([]any{"peer", p.vpn, "addr", punchstream.Real(r.at.Addr), "err", err}, c.refusePeer(now, p.vpn, r.at.Addr, err)...)
	c.log.Log(c.ctx, level, "Error during DTLS handshake with peer", attrs...)
	if len(p.try.running) > 0 {
		return // another address still claims to be the peer
	}
	p.try.cause = err
	p.try.attempt.Reject(now, r.at)
	if s, _ := p.try.attempt.State(); s == punch.Open {
		c.stepTry(now, p)
		return
	}
	c.failTry(now, p, "handshake failed")
}
