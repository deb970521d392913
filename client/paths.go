package client

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
	punchpath "campagnol/punch/path"
	punchstream "campagnol/punch/stream"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
)

// The path of a session with a peer of ours may change while the session lives: package
// path decides, and this does what it says. An original has one path for each session.

const (
	// maxShared is how many sessions of other peers may come from an address so that
	// it is taken as a further one of a peer. Peers behind different NATs name the
	// same private ones; each record from there is tried with the keys of all.
	maxShared = 8

	// liveChance is how long a session may take to show that it lives, once we know
	// where the peer is, before we begin a handshake in its place.
	liveChance = 250 * time.Millisecond

	// How many challenges of a peer are answered. It sends fewer.
	answerRate  = 50 // a second
	answerBurst = 100
)

// drawNumber returns the number of a challenge.
func drawNumber() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}

// eligible reports whether datagrams for a peer may be sent to an address to find out
// whether it is there. What the tunnels themselves lead to is no way for them: a
// challenge would come through the session that it is about.
func (c *Client) eligible(a netip.AddrPort) bool {
	ip := punchstream.Real(a).Addr().Unmap() // where a connection comes from, too
	if !c.usable(a) || c.cfg.Network.Contains(ip) || c.cfg.Network6.Contains(ip) {
		return false
	}
	r, gateway := c.table.Load().lookup(ip)
	return r == nil && !gateway.IsValid()
}

// introduced takes that the RDV has named addresses of p. With a session, they are
// challenged inside it: the peer, which is told ours, does the same, and so both NATs
// are opened.
func (c *Client) introduced(now time.Time, p *peer, list []punch.Candidate) {
	p.named = list
	if p.paths == nil {
		return
	}
	if t := p.try; t != nil && t.attempt == nil {
		t.hold = now.Add(liveChance)
	}
	p.paths.Introduce(now, c.unrelayed(list))
	c.introduceByShared(now, p, list)
	if p.detours() && !c.set.RelayOnly {
		c.beginSearch(now, p)
		p.look.note(now)
		c.lookLater(now, p)
	}
	c.advancePaths(now, p)
}

// strayed takes that a record of p's session, which is authentic and newer than those
// before, has come from an address that is no source of it.
func (c *Client) strayed(now time.Time, p *peer, s *tunnel.Session, from punch.Endpoint) {
	if p.paths == nil || !c.isPathOf(p, s) || !c.eligibleFor(p, from) || !c.holds(p, from.Conn) {
		return
	}
	p.paths.Stray(now, from)
	c.advancePaths(now, p)
	c.settle(p)
}

// isPathOf reports whether what comes in a session says something of p's path: one that
// another handshake has replaced does not.
func (c *Client) isPathOf(p *peer, s *tunnel.Session) bool {
	return s == p.session || p.session != nil && p.session.Continues(s)
}

// handlePath takes a challenge or a response of p's. A challenge is answered where it
// came from, and where the path leads.
func (c *Client) handlePath(now time.Time, p *peer, from punch.Endpoint, s *tunnel.Session, sig *tunnel.PathSignal) {
	if !c.eligibleFor(p, from) || !c.holds(p, from.Conn) || sig.Response && c.isPathOf(p, s) && (c.answeredMTU(now, p, sig.Number) || c.answeredPing(now, p, sig.Number)) {
		return
	}
	if !sig.Response {
		if !p.answers.take(now, answerRate, answerBurst) {
			return
		}
		if b := s.SealResponse(sig.Number, &c.tmp); b != nil {
			c.sendRecordTo(now, from, b)
		}
		// Somebody may pass on the peer's challenges faster than they come themselves,
		// so that only his count: the answer must not depend on him.
		if from != p.at && c.isPathOf(p, s) {
			if b := s.SealResponse(sig.Number, &c.tmp); b != nil {
				c.sendToPeer(now, p, b)
			}
		}
	}
	if p.paths == nil || !c.isPathOf(p, s) {
		return
	}
	if !sig.Response {
		p.paths.Challenged(now, from)
	} else if p.paths.Responded(now, sig.Number) {
		c.stopVainTry(p)
	}
	c.advancePaths(now, p)
}

// stopVainTry ends a try at a new session with p of which nothing has come so far: the
// one that there is lives.
func (c *Client) stopVainTry(p *peer) {
	if t := p.try; t != nil && len(t.running) == 0 && len(t.also) == 0 && len(p.staged) == 0 {
		c.stopTry(p)
	}
}

// advancePaths tells p's paths what the data path has seen and that time passes, and
// does what they say.
func (c *Client) advancePaths(now time.Time, p *peer) {
	s := p.session
	heard := s.Heard()
	if p.old != nil && s.Continues(p.old) {
		heard = max(heard, p.old.Heard())
	}
	p.paths.Observe(c.clock.Time(s.LastOut()), c.clock.Time(s.LastIn()), later(c.clock.Time(heard), s.Opened()))
	before := p.at.Addr
	for _, o := range p.paths.Advance(now, nil) {
		switch o.Do {
		case punchpath.Challenge:
			if b := p.session.SealChallenge(o.Number, 0, &c.tmp); b != nil && (o.At == p.at || c.eligibleFor(p, o.At)) {
				c.sendRecordTo(now, o.At, b)
			}
		case punchpath.Move:
			c.movePath(now, p, o.At)
			c.log.Info("The path to the peer has changed", append([]any{"peer", p.vpn, "addr", punchstream.Real(p.at.Addr), "before", punchstream.Real(before),
				"reason", o.Why, "rtt", p.paths.View().RTT.Round(time.Microsecond)}, p.relayAttr()...)...)
			c.notify(Event{Kind: EventMoved, VPNAddr: p.vpn, Name: p.id.Name, Addr: p.at.Addr, Before: before, Reason: o.Why})
		case punchpath.Ask:
			c.seek(now, p)
		case punchpath.Revive:
			c.doubtServer(now)
			if c.miss(now, p); p.session == nil {
				c.due.set(p, now) // to be settled
				return
			}
		}
	}
	if !p.paths.Dark() && !p.pulse.missing.IsZero() {
		p.pulse = pulse{}
	}
	c.followRelay(now, p)
	if places := p.paths.Endpoints(); !slices.Equal(places, p.places) {
		p.places = places
		c.publish(c.spread(c.table.Load(), p))
		c.closeUnused(p)
	}
	c.due.set(p, c.peerTimeout(p))
}

// movePath makes at the path of p's session. The endpoint that was it stays one from
// which records are taken, as long as package path remembers it.
func (c *Client) movePath(now time.Time, p *peer, at punch.Endpoint) {
	if p.session == nil || p.at == at {
		return
	}
	p.at, p.kept = at, now
	c.keepExtra(p, at.Conn)
	if p.old != nil && p.session.Continues(p.old) {
		p.oldAt = at
	}
	if r := p.rekey.run; r != nil {
		r.at = at
		r.to.Store(&at)
	}
	if q := c.ends[at.Addr]; q == nil || q.try == nil {
		c.ends[at.Addr] = p
	}
	way := *p.way // with its place behind the rate limits
	way.addr, way.conn = at.Addr, at.Conn
	tab := c.moveTo(c.table.Load(), p, addrBelow(at))
	c.publish(c.spread(c.setWay(tab, p, &way), p))
	c.searchMTU(now, p)
}

// seek asks the RDV to introduce p and us anew, beside a session whose path is dark, and
// whether it still knows us: perhaps it is we who have moved.
func (c *Client) seek(now time.Time, p *peer) {
	c.log.Debug("Path to peer is dark", "peer", p.vpn, "addr", p.at.Addr)
	c.doubtServer(now)
	c.wantRelay(now, p, 0)
	if c.asks.take(now, askRate, askBurst) {
		c.tell(wire.Ask, p.vpn)
	}
	c.offerRelays(now, p, c.throughPeers(now, p))
}

// doubtServer sees whether the RDVs know us by the address that we have.
func (c *Client) doubtServer(now time.Time) {
	for _, r := range c.servers.rdvs {
		if r.on {
			c.perform(now, r, r.server.inDoubt(now, nil))
			c.messages = r.reg.inDoubt(now, c.messages[:0])
			c.sayInClear(now, r, c.messages)
		}
	}
}

// seekAgain asks the RDV, with which we have just registered, for the peers whose path
// is dark.
func (c *Client) seekAgain(now time.Time) {
	for _, p := range c.peersInOrder() {
		if p.paths != nil && p.paths.Dark() {
			p.paths.AskAgain(now)
			c.settle(p)
		}
	}
}

// registeredAt takes where an RDV sees us, over a new channel. If that is elsewhere than
// before, so we are for all peers, also for those that nothing is sent to now. Where a
// stream comes from, peers find nobody.
func (c *Client) registeredAt(now time.Time, r *rendezvous, l *link) {
	at := l.endpoint
	if l.conn != nil {
		c.seekAgain(now)
		return
	}
	if r.seenAt.IsValid() && at.IsValid() && at != r.seenAt {
		c.log.Debug("The RDV server sees us elsewhere than before", "server", r.at, "addr", at, "before", r.seenAt)
		c.doubtPaths(now)
	}
	r.seenAt = at
	c.seekAgain(now)
}

// doubtPaths challenges the paths of all sessions: something has changed at our end. Of
// an original it is found out whether it still answers.
func (c *Client) doubtPaths(now time.Time) {
	for _, p := range c.peersInOrder() {
		switch {
		case p.session == nil:
			continue
		case p.paths != nil:
			p.paths.Doubt(now)
		case !p.pulse.at.IsZero():
			p.pulse.doubt(now)
		}
		c.settle(p)
	}
}

// sessions returns p's sessions, newest first.
func (p *peer) sessions() []*tunnel.Session {
	var list []*tunnel.Session
	for _, s := range [...]*tunnel.Session{p.rekey.fresh, p.session, p.old} {
		if s != nil {
			list = append(list, s)
		}
	}
	return list
}

// spread returns tab in which records of p's sessions are taken from where p is and may
// be, and from nowhere else.
func (c *Client) spread(tab *table, p *peer) *table {
	var at []netip.AddrPort
	if p.session != nil {
		at = append(at, p.at.Addr)
	}
	if p.old != nil && p.oldAt.Addr != p.at.Addr {
		at = append(at, p.oldAt.Addr)
	}
	for _, e := range p.places {
		if !slices.Contains(at, e.Addr) && c.eligibleFor(p, e) {
			at = append(at, e.Addr)
		}
	}
	for _, a := range p.sources {
		if !slices.Contains(at, a) {
			tab = c.withSessions(tab, p, a, nil)
		}
	}
	p.sources = at
	sessions := p.sessions()
	for _, a := range at {
		tab = c.withSessions(tab, p, a, sessions)
	}
	for _, s := range sessions {
		tab = tab.withID(s)
	}
	return tab
}

// withSessions returns tab in which list are p's sessions of which records may come from
// an address.
func (c *Client) withSessions(tab *table, p *peer, addr netip.AddrPort, list []*tunnel.Session) *table {
	src, known := tab.source(addr)
	if !known {
		src = &source{}
	}
	others := slices.DeleteFunc(slices.Clone(src.sessions), func(s *tunnel.Session) bool { return s.Peer() == p.vpn })
	var next []*tunnel.Session
	switch {
	case len(list) == 0 || addr != p.at.Addr && addr != p.oldAt.Addr && len(others) >= maxShared:
		next = others
	case addr == p.at.Addr:
		next = slices.Concat(list, others)
	default:
		next = slices.Concat(others, list)
	}
	switch {
	case slices.Equal(next, src.sessions):
		return tab
	case len(next) > 0 || src.handshaking:
		if c.ends[addr] == p && !slices.ContainsFunc(next, func(s *tunnel.Session) bool { return s.Peer() == p.vpn }) && !src.handshaking {
			c.ends[addr] = c.peers[next[0].Peer()]
		}
		return tab.withSource(addr, &source{sessions: next, handshaking: src.handshaking})
	}
	delete(c.ends, addr)
	return tab.withSource(addr, nil)
}

// withoutSession returns tab in which nothing is a source of one of p's sessions.
func (c *Client) withoutSession(tab *table, p *peer, s *tunnel.Session) *table {
	rest := slices.DeleteFunc(p.sessions(), func(t *tunnel.Session) bool { return t == s })
	for _, a := range p.sources {
		tab = c.withSessions(tab, p, a, rest)
	}
	return tab.withoutID(s)
}
