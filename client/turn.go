package client

import (
	"context"
	"hash/fnv"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"campagnol/punch"
	punchpath "campagnol/punch/path"
	"campagnol/rdv/channel"
)

// Where no direct path is found, or not yet, datagrams go by way of a relay (TURN, RFC
// 8656): that of an RDV, which gives us credentials for it over the channel, or one that
// the settings name. A relay gives us an address of its own, by which a peer reaches us
// with nothing but its primary socket:
//
//	RELAY to the RDV ──RELAYED──► Allocate ──► ASK (relayed address) ──INTRODUCE──► the peer
//
// Who asks for a peer looks for a relay, and who was asked does so only when nothing
// comes of that. What is relayed is what is sent anyway, so that a session may begin on
// a relay and go on without it, and the other way round (package path).

// An Allocation is an address of ours at a relay. What is sent and received by it passes
// through the relay; LocalAddr is the address. Close gives it up.
type Allocation interface {
	punch.RelayConn

	// Permit lets peers at addresses send to it: a relay drops what others send.
	// It does not wait.
	Permit(addrs ...netip.Addr) error

	// SetCredentials replaces those that it was made with, before they expire.
	SetCredentials(user, password string)

	// Done is closed when the relay has taken it back or no longer answers.
	Done() <-chan struct{}
}

// How relays are used.
const (
	// relayLater is how long ordinary punching has, where it should work, before a
	// relay is looked for.
	relayLater = 150 * time.Millisecond

	relayNext    = time.Second      // after a relay, if there is still no path, the next one is tried
	relayCompare = 10 * time.Second // likewise if there is one: perhaps it is nearer
	relayHold    = time.Minute      // a peer on a direct path may soon want the relay again
	relayIdle    = 2 * time.Minute  // that no peer wants is given up
	relaySweep   = 5 * time.Second  // between two looks at that

	allocPatience = 5 * time.Second // for an allocation
	relayRetryMin = 2 * time.Second // after one has failed; it doubles
	relayRetryMax = 2 * time.Minute
	relayAbsent   = 5 * time.Minute  // after an RDV has said that it is no relay
	relayRenewal  = 10 * time.Minute // before credentials expire

	maxRelays = 2 // for one peer
)

// turnDesk is what is known of relays.
type turnDesk struct {
	list []*relay
	next time.Time // sweep; zero: there is no allocation
}

// A relay is a relay that we may use.
type relay struct {
	server  TURNServer
	rdv     *rendezvous // whose it is; nil: the settings name it
	alloc   Allocation  // nil: none stands
	making  bool
	expires time.Time // the credentials; zero: they do not
	used    time.Time // last wanted
	retry   time.Time // the earliest next try
	wait    time.Duration
}

// relaying is what a peer has to do with relays of ours.
type relaying struct {
	since time.Time // one is wanted; zero: none is
	begin time.Time // when to look for one; zero: that has begun
	until time.Time // it is wanted, at least
	next  time.Time // when to try one more; zero: never
	tried []*relay
	ready []*relay         // of those, the ones that may be used for the peer
	told  []netip.AddrPort // relayed addresses that the peer was told of
}

// timeout returns when advanceRelaying has something to do; zero means never.
func (q *relaying) timeout() time.Time {
	if !q.begin.IsZero() {
		return q.begin
	}
	return q.next
}

// usesRelays reports whether relays may be used.
func (c *Client) usesRelays() bool { return c.cfg.Allocate != nil && !c.set.RelayNever }

// enlistRelays makes the relays those of the RDVs and of the settings. What is in use
// goes on.
func (c *Client) enlistRelays(now time.Time) {
	before := c.turn.list
	c.turn.list = nil
	add := func(r *relay, same func(o *relay) bool) {
		if i := slices.IndexFunc(before, same); i >= 0 {
			r = before[i]
			before = slices.Delete(before, i, i+1)
		}
		c.turn.list = append(c.turn.list, r)
	}
	if c.usesRelays() {
		for _, v := range c.servers.rdvs {
			add(&relay{server: TURNServer{Name: v.name, RDV: true}}, func(o *relay) bool { return o.rdv != nil && o.rdv.name == v.name })
			c.turn.list[len(c.turn.list)-1].rdv = v
		}
		for _, s := range c.set.TURN {
			add(&relay{server: s}, func(o *relay) bool { return o.rdv == nil && reflect.DeepEqual(o.server, s) })
		}
	}
	for _, r := range before {
		c.dropRelay(now, r, "the settings no longer name it")
	}
}

// wantRelay looks for a relay for p, unless that has been done.
func (c *Client) wantRelay(now time.Time, p *peer, in time.Duration) {
	if !c.usesRelays() || !c.byChannel() {
		return
	}
	q := &p.relaying
	q.until = now.Add(relayHold)
	switch at := now.Add(in); {
	case q.since.IsZero():
		q.since, q.begin = now, at
	case !q.begin.IsZero() && at.Before(q.begin):
		q.begin = at
	case q.begin.IsZero() && len(q.ready) == 0 && q.next.IsZero():
		q.tried, q.next = nil, now // all have failed; perhaps they do no longer
	}
}

// advanceRelaying does what is due about relays for p.
func (c *Client) advanceRelaying(now time.Time, p *peer) {
	q := &p.relaying
	if !q.begin.IsZero() && !now.Before(q.begin) {
		q.begin, q.next = time.Time{}, now
	}
	if q.next.IsZero() || now.Before(q.next) {
		return
	}
	if c.straight(p) {
		q.next = time.Time{} // it is not needed any more
		return
	}
	c.tryRelay(now, p)
}

// straight reports whether p is reached without a relay.
func (c *Client) straight(p *peer) bool {
	return p.session != nil && p.paths != nil && !p.paths.Dark() && p.paths.View().Class() != punchpath.Relay
}

// tryRelay begins with the next relay for p, if there is one.
func (c *Client) tryRelay(now time.Time, p *peer) {
	q := &p.relaying
	q.next = time.Time{}
	if len(q.ready) >= maxRelays {
		return
	}
	r := c.chooseRelay(now, p)
	if r == nil {
		if at := c.relayAgain(now); len(q.ready) == 0 && !at.IsZero() {
			q.tried, q.next = nil, at
		}
		return
	}
	q.tried = append(q.tried, r)
	q.next = now.Add(relayNext)
	if p.session != nil && !p.paths.Dark() {
		q.next = now.Add(relayCompare)
	}
	if r.rdv != nil {
		r.rdv.server.ask(channel.Relay, p.vpn)
		return
	}
	c.allowRelay(now, p, r)
}

// chooseRelay returns the relay to try next for p, or nil: one at which we have an
// allocation, or else the one that is the first for us. That differs from client to
// client, so that not all use the same.
func (c *Client) chooseRelay(now time.Time, p *peer) (best *relay) {
	var rank uint64
	for _, r := range c.turn.list {
		switch {
		case slices.Contains(p.relaying.tried, r), r.alloc == nil && now.Before(r.retry):
			continue
		case r.rdv != nil && (!r.rdv.on || !r.rdv.server.stands()):
			continue
		}
		n := c.rankOf(r)
		if best == nil || r.alloc != nil && best.alloc == nil || (r.alloc != nil) == (best.alloc != nil) && n < rank {
			best, rank = r, n
		}
	}
	return best
}

// relayAgain returns when the first of the relays that have failed may be tried again;
// zero: none has.
func (c *Client) relayAgain(now time.Time) (at time.Time) {
	for _, r := range c.turn.list {
		if r.retry.After(now) && (at.IsZero() || r.retry.Before(at)) {
			at = r.retry
		}
	}
	return at
}

// rankOf returns a number that orders relays in another way for each client.
func (c *Client) rankOf(r *relay) uint64 {
	h := fnv.New64a()
	h.Write(c.cfg.VPNAddr.AsSlice())
	h.Write([]byte(r.server.Name))
	return h.Sum64()
}

// relayOf returns the relay of an RDV, or nil.
func (c *Client) relayOf(v *rendezvous) *relay {
	i := slices.IndexFunc(c.turn.list, func(r *relay) bool { return r.rdv == v })
	if i < 0 {
		return nil
	}
	return c.turn.list[i]
}

// handleRelayed takes the answer to RELAY: credentials, or why there are none. Without a
// type there was no answer.
func (c *Client) handleRelayed(now time.Time, v *rendezvous, vpn netip.Addr, msg *channel.Message) {
	r, p := c.relayOf(v), c.peers[vpn]
	if r == nil {
		return
	}
	if msg.Type != channel.Relayed {
		c.relayRefused(now, r, p, msg)
		return
	}
	r.server.User, r.server.Password = msg.User, string(msg.Password)
	r.expires = now.Add(time.Duration(msg.Lease) * time.Second)
	c.placeRelay(r, msg.Endpoints)
	if r.alloc != nil {
		r.alloc.SetCredentials(r.server.User, r.server.Password)
	}
	if p != nil && slices.Contains(p.relaying.tried, r) {
		c.allowRelay(now, p, r)
		c.settle(p)
	}
}

// placeRelay notes where an RDV's relay is, and how it is reached.
func (c *Client) placeRelay(r *relay, named []netip.AddrPort) {
	v, s := r.rdv, &r.server
	s.Addrs, s.Transport, s.TLS = []netip.AddrPort{v.at}, TransportUDP, false
	if v.overStream() {
		s.Addrs, s.Transport, s.TLS = []netip.AddrPort{netip.AddrPortFrom(v.at.Addr(), v.given.TLSPort)}, TransportTCP, true
		return
	}
	for _, a := range named {
		if a.Addr().Unmap().Is4() == v.at.Addr().Unmap().Is4() && c.usable(a) && c.reaches(a.Addr().Unmap()) {
			s.Addrs = []netip.AddrPort{a}
			return
		}
	}
}

// relayRefused takes that an RDV gives us no credentials.
func (c *Client) relayRefused(now time.Time, r *relay, p *peer, msg *channel.Message) {
	why := "it does not answer"
	switch {
	case msg.Reason == channel.Unsupported:
		r.retry = now.Add(relayAbsent)
		why = "it is no relay; campagnol_rdv --relay makes it one"
	case msg.Reason == channel.Forbidden:
		why = "the policy does not let it relay between the two"
	case msg.Type == channel.Refused:
		why = (&RefusedError{msg.Reason, msg.Text}).Error()
	}
	if p == nil {
		return
	}
	c.noRelay(p, r, why)
	if !p.relaying.since.IsZero() {
		p.relaying.next = now
		c.settle(p)
	}
}

// askAgain has an RDV asked for its relay at the next need: after a restart it may be one,
// and may have room.
func (t *turnDesk) askAgain(v *rendezvous) {
	for _, r := range t.list {
		if r.rdv == v {
			r.retry = time.Time{}
		}
	}
}

// noRelay notes why a relay is none for p. That it is none at all says less than others do.
func (c *Client) noRelay(p *peer, r *relay, why string) {
	d := c.dossiers.of(p.vpn)
	if len(p.relaying.ready) == 0 && (d.relay == "" || r.retry.IsZero()) {
		d.relay = r.server.Name + ": " + why
	}
}

// allowRelay takes that a relay may be used for p.
func (c *Client) allowRelay(now time.Time, p *peer, r *relay) {
	q := &p.relaying
	if !slices.Contains(q.ready, r) {
		q.ready = append(q.ready, r)
	}
	r.used = now
	c.dossiers.of(p.vpn).relay = ""
	if r.alloc != nil {
		c.offerTURN(now, p)
		return
	}
	c.allocate(now, r)
}

// allocate makes an allocation at a relay, in a goroutine.
func (c *Client) allocate(now time.Time, r *relay) {
	if r.making {
		return
	}
	r.making = true
	server := r.server
	c.wg.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, allocPatience)
		defer cancel()
		alloc, err := c.cfg.Allocate(ctx, server)
		select {
		case c.calls <- func(now time.Time) { c.allocated(now, r, alloc, err) }:
		case <-c.ctx.Done():
			if err == nil {
				alloc.Close()
			}
		}
	})
}

// allocated takes the end of that.
func (c *Client) allocated(now time.Time, r *relay, alloc Allocation, err error) {
	r.making = false
	if err == nil && !slices.Contains(c.turn.list, r) {
		c.closeLater(alloc)
		return
	}
	if err != nil {
		c.log.Info("The relay cannot be used", "relay", r.server.Name, "err", err)
		c.failRelay(now, r, err.Error())
		return
	}
	r.alloc, r.wait = alloc, 0
	c.share(alloc)
	c.log.Debug("A relay is ready", "relay", alloc.Relay(), "addr", alloc.LocalAddr())
	c.turn.next = now.Add(relaySweep)
	c.wg.Go(func() {
		select {
		case <-alloc.Done():
		case <-c.ctx.Done(): // unshareAll closes it
			return
		}
		select {
		case c.calls <- func(now time.Time) {
			if r.alloc == alloc {
				c.dropRelay(now, r, "the relay no longer answers")
			}
		}:
		case <-c.ctx.Done():
		}
	})
	for _, p := range c.peersInOrder() {
		if slices.Contains(p.relaying.ready, r) {
			c.offerTURN(now, p)
			c.settle(p)
		}
	}
}

// dropRelay takes that an allocation has ended, or that there is none.
func (c *Client) dropRelay(now time.Time, r *relay, why string) {
	if r.alloc != nil {
		c.log.Info("A relay is not used any more", "relay", r.alloc.Relay(), "reason", why)
		c.closeRelay(now, r) // it may give us another address
	} else {
		r.putOff(now)
	}
	c.passRelay(now, r, why)
}

// failRelay takes that a relay gives us no address.
func (c *Client) failRelay(now time.Time, r *relay, why string) {
	r.putOff(now)
	c.passRelay(now, r, why)
}

// putOff puts the next try at a relay off.
func (r *relay) putOff(now time.Time) {
	r.wait = min(max(relayRetryMin, 2*r.wait), relayRetryMax)
	r.retry = now.Add(r.wait)
}

// passRelay makes those who wanted a relay look for another.
func (c *Client) passRelay(now time.Time, r *relay, why string) {
	for _, p := range c.peersInOrder() {
		q := &p.relaying
		if i := slices.Index(q.ready, r); i >= 0 {
			q.ready, q.next = slices.Delete(q.ready, i, i+1), now
			c.noRelay(p, r, why)
			c.settle(p)
		}
	}
}

// closeRelay gives up an allocation, if there is one.
func (c *Client) closeRelay(now time.Time, r *relay) {
	alloc := r.alloc
	if alloc == nil {
		return
	}
	r.alloc = nil
	at := alloc.LocalAddr()
	for _, p := range c.peers {
		q := &p.relaying
		q.told = slices.DeleteFunc(q.told, func(a netip.AddrPort) bool { return a == at })
	}
	c.unshare(now, alloc)
}

// sweepRelays gives up allocations that nobody wants, and renews credentials.
func (c *Client) sweepRelays(now time.Time) {
	d := &c.turn
	if d.next.IsZero() || now.Before(d.next) {
		return
	}
	d.next = time.Time{}
	for _, p := range c.peers {
		q := &p.relaying
		switch {
		case q.since.IsZero():
		case p.try == nil && c.straight(p) && !now.Before(q.until):
			*q = relaying{}
		default:
			if !c.straight(p) {
				q.until = now.Add(relayHold)
			}
			c.keepRelays(now, p)
		}
	}
	for _, r := range d.list {
		switch {
		case r.alloc == nil:
		case now.Sub(r.used) > relayIdle:
			c.log.Debug("A relay is not wanted any more", "relay", r.alloc.Relay())
			c.closeRelay(now, r)
		default:
			d.next = now.Add(relaySweep)
		}
	}
}

// keepRelays keeps the relays that p wants.
func (c *Client) keepRelays(now time.Time, p *peer) {
	for _, r := range p.relaying.ready {
		r.used = now
		if r.rdv != nil && !r.expires.IsZero() && r.expires.Sub(now) < relayRenewal {
			r.rdv.server.ask(channel.Relay, p.vpn)
		}
	}
}
