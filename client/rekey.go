package client

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"campagnol/punch"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// Fresh keys for a tunnel that is used for long. They come from another complete
// handshake, whose datagrams travel inside the session ([tunnel.Renewal]) while it
// carries data as before. No packet is lost, since nobody seals with keys that the
// other end cannot have:
//
//	DTLS client                        DTLS server
//	   │ ── ClientHello … Finished ──►   │
//	   │                                 │ opens with both keys
//	   │ ◄────────────── Finished ────   │
//	seals with the fresh keys,           │
//	opens with both                      │
//	   │ ── probe, or any record ────►   │
//	   │                                 seals with the fresh keys
//
// The old keys open what was on its way for oldKeysLife, and are forgotten. A
// handshake that fails leaves everything as it was.
//
// An original knows nothing of this, and there is nothing that it could be asked
// instead: it drops a ClientHello from a peer with a session. Its sessions keep
// their keys, as they do among originals.
const (
	defaultRekeyTime    = time.Hour
	defaultRekeyRecords = 1 << 32

	// rekeySpread is how much earlier than its time a DTLS client begins, at
	// most, so that a mesh does not do it in step, and how much later the server
	// asks it to, as a part of that time.
	rekeySpread = 0.1

	// rekeyWear is how much of what its keys may be used for a session uses:
	// the other half is time to get fresh ones.
	rekeyWear = 0.5

	// rekeyUse is how often it is looked whether a session whose time has come
	// is used. Fresh keys for an idle one would do nothing but work.
	rekeyUse = 10 * time.Second

	// showSpread is within which time after our certificate was replaced the fresh
	// keys are due by which the peers see the new one. The old one counts for a
	// while longer; and a mesh does not do it in step.
	showSpread = 5 * time.Second

	rekeyWaitMin = time.Second // after a failure, doubling
	rekeyWaitMax = time.Minute

	// rekeyPatience is how long a DTLS server asks for fresh keys before it says
	// so: a handshake of the peer's has then failed or not begun.
	rekeyPatience = 20 * time.Second

	freshLook = 100 * time.Millisecond // between two looks whether the peer uses the fresh keys
	freshLife = time.Minute            // how long it may take, more than deadTime
)

// A rekey is where the renewal of a session's keys stands.
type rekey struct {
	random   float64   // 0 to 1: of rekeySpread and showSpread
	shown    time.Time // since when we have a certificate that the peer has not seen; zero: it has seen ours
	looked   time.Time // when it was due, and last looked whether the session is used; zero: not yet
	since    time.Time // since when fresh keys are wanted; zero: they are not
	next     time.Time // try
	wait     time.Duration
	reported bool // that it does not succeed
	failures int  // of the tunnel, in all

	run    *running  // the handshake; nil: none
	number uint32    // of it, or of the last one in this session
	began  time.Time // likewise, of the tunnel

	// fresh is, at the DTLS server, a session that the peer may not have yet.
	fresh *tunnel.Session
	// look is when to look again whether the peer uses the fresh keys; zero: it
	// does, or there are none.
	look time.Time
}

// A refusedError says that a peer cannot prove any more who it is.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// share returns by how much p's session is to be renewed earlier or later than
// the settings say: 1 is neither.
func (p *peer) share() float64 {
	if p.server {
		return 1 + rekeySpread
	}
	return 1 - rekeySpread*p.rekey.random
}

// keysDue returns when p's keys will have been in use for long enough, or the peer is
// to see our new certificate, which it does with fresh keys; zero: never.
func (c *Client) keysDue(p *peer) (due time.Time) {
	if c.set.RekeyTime >= 0 {
		due = p.session.Opened().Add(time.Duration(p.share() * float64(c.set.RekeyTime)))
	}
	if k := &p.rekey; !k.shown.IsZero() {
		show := k.shown.Add(time.Duration(k.random * float64(showSpread)))
		if due.IsZero() || show.Before(due) {
			due = show
		}
	}
	return due
}

// rekeyAt returns when advanceRekey has something to do. How many records there
// were it looks at when p is looked at for other reasons.
func (c *Client) rekeyAt(p *peer) time.Time {
	k := &p.rekey
	switch {
	case !k.look.IsZero():
		return k.look
	case k.run != nil || !p.session.IsOurs():
		return time.Time{}
	case !k.since.IsZero():
		return k.next
	}
	due := c.keysDue(p)
	if !due.IsZero() && !k.looked.IsZero() {
		due = later(due, k.looked.Add(rekeyUse))
	}
	return due
}

// advanceRekey does what is due for fresh keys. It may end p's session.
func (c *Client) advanceRekey(now time.Time, p *peer) {
	k := &p.rekey
	switch {
	case p.session.Worn() >= 1:
		c.giveUpKeys(now, p, "its keys must not protect more than they have", nil)
	case !p.session.IsOurs():
	case !k.look.IsZero():
		c.awaitPeer(now, p)
	case k.run != nil:
	case k.since.IsZero():
		if c.keysSpent(now, p) && c.inUse(now, p) {
			k.since, k.wait = now, rekeyWaitMin
			c.seekKeys(now, p)
		}
	case !now.Before(k.next):
		if c.inUse(now, p) {
			c.seekKeys(now, p)
		} else {
			k.next = now.Add(rekeyUse)
		}
	}
}

// keysSpent reports whether p's keys have been used for long or often enough.
func (c *Client) keysSpent(now time.Time, p *peer) bool {
	due := c.keysDue(p)
	return !due.IsZero() && !now.Before(due) ||
		float64(p.session.Records()) >= p.share()*float64(c.set.RekeyRecords) ||
		p.session.Worn() >= p.share()*rekeyWear
}

// inUse reports whether p's session has been used lately, or since the last look
// if that is longer ago.
func (c *Client) inUse(now time.Time, p *peer) bool {
	k := &p.rekey
	if !k.looked.IsZero() && k.since.IsZero() && now.Sub(k.looked) < rekeyUse {
		return false
	}
	from := now.Add(-rekeyUse)
	if !k.looked.IsZero() && k.looked.Before(from) {
		from = k.looked
	}
	k.looked = now
	return c.lastUse(p).After(from)
}

// lastUse returns when a packet last went through p's tunnel, either way.
func (c *Client) lastUse(p *peer) time.Time {
	last := max(p.session.LastIn(), p.session.LastOut())
	if p.old != nil && p.session.Continues(p.old) {
		last = max(last, p.old.LastIn(), p.old.LastOut())
	}
	return c.clock.Time(last)
}

// seekKeys begins a handshake for fresh keys, or asks the peer to.
func (c *Client) seekKeys(now time.Time, p *peer) {
	k := &p.rekey
	missed := now.Sub(k.since)
	if c.set.RekeyTime > 0 && missed >= c.set.RekeyTime {
		c.giveUpKeys(now, p, "no fresh keys in twice their time", nil)
		return
	}
	k.wait = max(k.wait, rekeyWaitMin)
	k.next, k.wait = now.Add(k.wait), min(2*k.wait, rekeyWaitMax)
	if !p.server {
		k.number++
		c.runRekey(now, p, nil)
		return
	}
	if missed > rekeyPatience && !k.reported {
		c.reportRekey(p, errors.New("the peer does not begin the handshake"))
	}
	c.sendRenewal(now, p, nil)
}

// sendRenewal sends the peer a datagram about the handshake under way, or, when
// it is nil, asks for one.
func (c *Client) sendRenewal(now time.Time, p *peer, datagram []byte) {
	r := tunnel.Renewal{Datagram: datagram}
	if datagram != nil {
		r.Number = p.rekey.number
	}
	if b := p.session.SealRenewal(r, &c.tmp); b != nil {
		c.sendToPeer(now, p, b)
	}
}

// runRekey runs a handshake inside p's session, with the first datagram if the
// peer has begun it.
func (c *Client) runRekey(now time.Time, p *peer, first []byte) {
	s, server, number, shaper := p.session, p.server, p.rekey.number, c.shaper
	to := new(atomic.Pointer[punch.Endpoint])
	at := p.at
	to.Store(&at)
	var tmp record.Scratch
	send := func(b []byte) {
		if server && endsHandshake(b) {
			return // offerKeys sends it, once we can open what it leads to
		}
		if rec := s.SealRenewal(tunnel.Renewal{Number: number, Datagram: b}, &tmp); rec != nil {
			shaper.charge(time.Now(), rec)
			at := to.Load()
			c.socket(at.Conn).Send([]punch.Datagram{{Addr: at.Addr, Data: rec}})
		}
	}
	cfg := c.handshakeConfig(p, server)
	cfg.MTU = rekeyMTU - s.RenewalOverhead()
	verify := cfg.Verify
	cfg.Verify = func(chain [][]byte) error {
		if err := verify(chain); err != nil {
			return &refusedError{err}
		}
		return nil
	}
	hs, err := handshake.New(cfg, send)
	if err != nil {
		c.rekeyFailed(now, p, err)
		return
	}
	ctx, cancel := context.WithCancel(c.ctx)
	r := &running{hs: hs, at: p.at, to: to, server: server, began: now, under: c.changes, cancel: cancel}
	p.rekey.run, p.rekey.began = r, now
	if first != nil {
		hs.Handle(first)
	}
	c.run(ctx, p, r)
}

// rekeyMTU is the size of the largest datagram of a handshake inside a session,
// in bytes. It fits every path that carries IPv6 (RFC 8200 section 5: 1280).
const rekeyMTU = 1200

// endsHandshake reports whether a datagram has what comes after all that is in
// clear: ChangeCipherSpec and Finished.
func endsHandshake(b []byte) bool {
	for len(b) > 0 {
		if record.ContentType(b[0]) == record.WithID {
			return true // how long the ID is, may be known to the peer only
		}
		h, _, rest, err := record.Split(b)
		if err != nil {
			return false
		}
		if h.Type == record.ChangeCipherSpec || h.Epoch != 0 {
			return true
		}
		b = rest
	}
	return false
}

// handleRenewal takes what the peer says of fresh keys, in its session.
func (c *Client) handleRenewal(now time.Time, p *peer, r *tunnel.Renewal) {
	k := &p.rekey
	current := r.Number == k.number && r.Number != 0
	switch {
	case current && k.run != nil:
		k.run.hs.Handle(r.Datagram)
	case current && k.fresh != nil:
		if endsHandshake(r.Datagram) { // it has not got our last flight
			c.offerFlight(now, p)
		}
	case !k.began.IsZero() && now.Sub(k.began) < shadowGap:
	case !p.server && r.Number == 0 && k.run == nil && k.look.IsZero():
		k.number++
		c.runRekey(now, p, nil)
	case p.server && r.Number > k.number && isClientHello(r.Datagram):
		c.stopRekey(p)
		k.number = r.Number
		c.runRekey(now, p, r.Datagram)
	}
}

// finishRekey takes the end of a handshake, and reports whether it was one for
// fresh keys that is still wanted.
func (c *Client) finishRekey(now time.Time, e handshakeEnd) bool {
	p := e.p
	if p.rekey.run != e.run {
		return false
	}
	e.run.cancel()
	p.rekey.run = nil
	if e.err == nil && e.run.under != c.changes { // the peer was accepted under other settings
		if err := c.set.Verify(now, p.vpn, e.result.Certificates, !e.run.server); err != nil {
			e.err = &refusedError{err}
		}
	}
	if e.err == nil && e.result.Protocol != p.session.Protocol() {
		e.err = errors.New("the peer does not speak our protocol any more")
	}
	var refused *refusedError
	switch {
	case errors.As(e.err, &refused):
		c.giveUpKeys(now, p, "the peer is refused fresh keys", refused.err)
	case e.err != nil:
		c.rekeyFailed(now, p, e.err)
	default:
		s := tunnel.NewSession(now, p.vpn, e.result)
		s.Continue(p.session)
		if p.server {
			c.offerKeys(now, p, s)
		} else {
			c.useKeys(now, p, s)
			c.probe(now, p) // which tells the peer that it can use them
			p.rekey.look = now.Add(probeInterval)
		}
	}
	c.settle(p)
	return true
}

// offerKeys makes the data path open what the peer seals with fresh keys, and then
// lets the peer have them.
func (c *Client) offerKeys(now time.Time, p *peer, s *tunnel.Session) {
	p.rekey.fresh, p.rekey.look = s, now.Add(freshLook)
	c.publish(c.spread(c.table.Load(), p))
	c.offerFlight(now, p)
}

// offerFlight sends the datagrams that end the handshake.
func (c *Client) offerFlight(now time.Time, p *peer) {
	for _, b := range p.rekey.fresh.LastFlight(now) {
		c.sendRenewal(now, p, b)
	}
}

// useKeys makes s, which goes on for p's session, the one that is sent with. What
// is on its way with the old keys is still taken.
func (c *Client) useKeys(now time.Time, p *peer, s *tunnel.Session) {
	c.log.Debug("The session has fresh keys", "peer", p.vpn, "addr", p.at.Addr, "cipher", s.Suite().String(),
		"renewals", s.Renewals(), "records", p.session.Records())
	next := rekey{random: c.cfg.Jitter(), failures: p.rekey.failures, began: p.rekey.began}
	if p.rekey.began.Before(p.rekey.shown) { // it has shown the certificate before that
		next.shown = p.rekey.shown
	}
	p.rekey = next
	c.replace(now, p)
	c.tally.Rekeys++
	p.session = s
	tab := c.table.Load()
	way := *p.way // with its place behind the rate limits
	way.session = s
	p.way = &way
	id, _ := c.identify(now, p, s.Certificates()) // the certificate may be another
	tab = c.claim(c.withWay(tab, p), p, id)
	c.publish(c.spread(tab, p))
	c.closeLosers(now)
}

// takeKeys makes the DTLS server use the fresh keys, which the peer uses.
func (c *Client) takeKeys(now time.Time, p *peer) {
	c.useKeys(now, p, p.rekey.fresh)
	c.due.set(p, c.peerTimeout(p))
}

// awaitPeer looks whether the peer uses the fresh keys.
func (c *Client) awaitPeer(now time.Time, p *peer) {
	k := &p.rekey
	s := p.session
	if k.fresh != nil {
		s = k.fresh
	}
	late := now.Sub(s.Opened()) > freshLife
	switch {
	case s.Heard() != 0 && k.fresh != nil:
		c.takeKeys(now, p)
	case s.Heard() != 0:
		k.look = time.Time{}
	case now.Before(k.look):
	case late && k.fresh != nil:
		c.stopRekey(p)
		c.rekeyFailed(now, p, errors.New("the peer does not use the fresh keys"))
	case late: // it does not answer at all; feelPulse sees to that
		k.look = time.Time{}
	case k.fresh != nil:
		k.look = now.Add(freshLook)
	default: // it seals with the old keys until it has heard from us
		k.look = now.Add(probeInterval)
		p.oldUntil = now.Add(oldKeysLife)
		c.probe(now, p)
	}
}

// stopRekey abandons what is under way for fresh keys.
func (c *Client) stopRekey(p *peer) {
	k := &p.rekey
	if k.run != nil {
		k.run.cancel()
		k.run = nil
	}
	if k.fresh != nil {
		c.publish(c.withoutSession(c.table.Load(), p, k.fresh))
		k.fresh = nil
	}
	k.look = time.Time{}
}

// rekeyFailed takes note of a handshake without a result: the session goes on with
// the keys that it has, for a while.
func (c *Client) rekeyFailed(now time.Time, p *peer, err error) {
	k := &p.rekey
	k.failures++
	c.tally.RekeysFailed++
	k.next = now.Add(k.wait)
	c.reportRekey(p, err)
}

// reportRekey says that there are no fresh keys, loudly the first time.
func (c *Client) reportRekey(p *peer, err error) {
	if p.rekey.reported {
		c.log.Debug("No fresh keys for the session yet", "peer", p.vpn, "err", err)
		return
	}
	p.rekey.reported = true
	c.log.Warn("No fresh keys for the session yet; it goes on with the old ones, and this is tried again", "peer", p.vpn, "err", err)
}

// giveUpKeys ends p's session, which must not go on with its keys. The next packet
// opens another one.
func (c *Client) giveUpKeys(now time.Time, p *peer, reason string, err error) {
	attrs := []any{"peer", p.vpn, "reason", reason}
	if err != nil {
		attrs = append(append(attrs, "err", err), c.refusePeer(now, p.vpn, p.at.Addr, err)...)
		c.refused.note(now, p.vpn)
		c.failures.note(now, p.vpn, reason, err)
	}
	c.log.Warn("Closing DTLS connection with peer", attrs...)
	c.tell(wire.Close, p.vpn)
	p.ending = reason
	c.closeSession(now, p)
}
