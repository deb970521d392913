package client

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
	punchpath "campagnol/punch/path"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
	"campagnol/tunnel/pmtu"
)

const (
	askAgain    = 500 * time.Millisecond // after an ASK without answer
	askPatience = 3 * time.Second        // before giving up
	helloLife   = 5 * time.Second        // for the peer's ClientHello, once a path is open
	tryLife     = 25 * time.Second       // of a try, in all: punching takes 5, a handshake 15 at most
	serverIdle  = 10 * time.Second       // how much longer than the client the DTLS server waits
	oldKeysLife = 10 * time.Second       // of a session that another has replaced
	shadowGap   = time.Second            // between ClientHellos that challenge a session

	keepAliveGrid = tunnel.Stamp(250 * time.Millisecond) // keep-alives are sent at multiples of it
)

// A peer is what control knows of another node. It exists while it has a session
// or a try.
type peer struct {
	vpn      netip.Addr
	try      *try              // at a new session; nil: none
	session  *tunnel.Session   // nil: none
	ending   string            // why it is being closed, for people; empty: nobody has said
	endCode  string            // code of the refusal that it is closed for; "": for another reason
	at       punch.Endpoint    // of the session's path
	extras   []punch.Conn      // extra sockets through a hard NAT that its paths use: ours to close
	server   bool              // we were the DTLS server of the session
	mtu      *pmtu.Search      // of the path; nil: no session
	kept     time.Time         // the last keep-alive
	paths    *punchpath.Keeper // of the session; nil: none, or it is an original's
	search   *search           // for a direct path; nil: none
	look     look              // for a direct path
	pulse    pulse             // of the session
	rekey    rekey             // of the session
	relaying relaying          // by relays that are no peers
	stream   streaming         // by TCP
	way      *route            // of packets for it; nil: no session
	via      serverSet         // RDVs that have introduced us; none: not known

	id     Identity       // by the session's certificate
	claims []netip.Prefix // what id stands for
	under  netip.Addr     // of at, as claims knows it

	relays  []netip.Addr // who relays between it and us, as the RDV says
	asRelay bool         // we look for it only because it relays
	through *throughPeer // the socket through it; nil: it does not relay
	telling telling      // of what we can do

	dropsTold dropsTold // of the session

	named   []punch.Candidate // by the last introduction
	places  []punch.Endpoint  // where paths says that it may be
	sources []netip.AddrPort  // that the table knows
	answers bucket            // to its challenges

	old      *tunnel.Session // replaced by session
	oldAt    punch.Endpoint
	oldUntil time.Time

	challenged time.Time // the last ClientHello to an established session
	staged     [][]byte  // packets that wait for a session

	due  time.Time // owned by timers
	slot int       // owned by timers; -1: none
}

// A try is one way from NEW to ESTABLISHED.
type try struct {
	quest
	asked   bool         // we asked the RDV
	also    []netip.Addr // IPv6 addresses that lead here, says the RDV
	began   time.Time
	ask     time.Time // when to ask again; zero: no longer
	poll    poll      // what RDVs have said while NEW
	hello   time.Time // when the peer must have said hello; zero: not our turn to wait
	claim   time.Time // when to say hello in the peer's place: both of us have a session; zero: no such time
	hold    time.Time // until when we do not say hello, since the session may live; zero: at once
	until   time.Time // the latest end
	relays  time.Time // when to open sessions with relays to the peer; zero: no such time
	running []*running
	cause   error            // of the last handshake that failed
	watched []netip.AddrPort // candidates that the table and ends know
}

// state returns the original's name for where the peer stands.
func (p *peer) state() string {
	switch {
	case p.session != nil:
		return "ESTABLISHED"
	case p.try == nil:
		return "CLOSED"
	case p.try.attempt == nil:
		return "NEW"
	case len(p.try.running) > 0:
		return "LINKED"
	}
	if s, _ := p.try.attempt.State(); s == punch.Open {
		return "LINKED"
	}
	return "PUNCHING"
}

// peersInOrder returns the peers by VPN address.
func (c *Client) peersInOrder() []*peer {
	ps := make([]*peer, 0, len(c.peers))
	for _, p := range c.peers {
		ps = append(ps, p)
	}
	slices.SortFunc(ps, func(a, b *peer) int { return a.vpn.Compare(b.vpn) })
	return ps
}

// addPeer returns a new entry for a peer, or nil if there are too many.
func (c *Client) addPeer(vpn netip.Addr) *peer {
	if len(c.peers) >= c.set.MaxClients {
		c.log.Debug("Cannot open a new connection: maximum number of connections reached", "peer", vpn)
		return nil
	}
	c.log.Debug("Adding new client", "peer", vpn)
	p := &peer{vpn: vpn, slot: -1}
	c.peers[vpn] = p
	return p
}

// settle forgets p if nothing is left of it, or sets when to look at it next.
func (c *Client) settle(p *peer) {
	if p.try == nil && p.session == nil {
		c.log.Debug("Deleting the client", "peer", p.vpn)
		c.due.drop(p)
		c.drops.AddN(tunnel.DropRefused, len(p.staged))
		p.staged = nil
		c.dropStream(p)
		delete(c.peers, p.vpn)
		return
	}
	c.due.set(p, c.peerTimeout(p))
}

// peerTimeout returns when advancePeer has something to do.
func (c *Client) peerTimeout(p *peer) time.Time {
	var next time.Time
	consider := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if t := p.try; t != nil {
		consider(t.until)
		consider(t.ask)
		consider(t.hello)
		consider(t.hold)
		consider(t.claim)
		consider(t.relays)
		if t.attempt != nil {
			consider(t.attempt.Timeout())
			consider(t.hard.timeout())
			consider(t.hard.speak)
		} else {
			consider(t.poll.until)
		}
		for _, r := range t.running {
			consider(r.silent)
		}
	}
	if p.session != nil {
		consider(c.idleAt(p))
		consider(c.keepAliveAt(p))
		if p.paths != nil {
			consider(p.paths.Timeout())
			consider(p.look.at)
			if p.search != nil {
				consider(p.search.timeout())
			}
		} else {
			consider(p.pulse.at)
		}
		consider(c.rekeyAt(p))
		consider(p.mtu.Timeout())
		consider(p.telling.next)
	}
	if p.old != nil {
		consider(p.oldUntil)
	}
	consider(p.relaying.timeout())
	consider(p.stream.next)
	return next
}

// idleAt returns when the session has been idle for too long; zero: it may be. The DTLS server
// waits longer, so that normally the client closes.
func (c *Client) idleAt(p *peer) time.Time {
	if c.meshed(p.vpn) {
		return time.Time{}
	}
	last := later(p.session.Since(), c.lastUse(p))
	limit := c.set.Timeout
	if p.server {
		limit += serverIdle
	}
	return last.Add(limit)
}

// keepAliveAt returns when the path needs a keep-alive: what is sent refreshes a
// NAT's mapping, what is received need not (RFC 4787 section 4.3, REQ-6).
func (c *Client) keepAliveAt(p *peer) time.Time {
	last := p.kept
	if t := c.clock.Time(p.session.LastOut()); t.After(last) {
		last = t
	}
	// A little early, together with others: ten thousand peers would else wake
	// us a thousand times a second.
	due := c.clock.Stamp(last.Add(c.set.KeepAlive))
	return c.clock.Time(due - (due-1)%keepAliveGrid)
}

// advancePeer does what is due for p.
func (c *Client) advancePeer(now time.Time, p *peer) {
	if p.old != nil && !now.Before(p.oldUntil) {
		c.retireOld(p)
	}
	if p.session != nil {
		c.tellDrops(now, p, false)
		c.advanceMTU(now, p)
		c.advanceTelling(now, p)
		c.advanceSession(now, p)
	}
	if p.try != nil {
		c.advanceTry(now, p)
	}
	c.advanceRelaying(now, p)
	c.advanceStream(now, p)
	c.settle(p)
}

func (c *Client) advanceSession(now time.Time, p *peer) {
	if idle := c.idleAt(p); !idle.IsZero() && !now.Before(idle) {
		c.log.Debug("Session timeout:", "peer", p.vpn)
		c.log.Info("Closing DTLS connection with peer", "peer", p.vpn)
		c.tell(wire.Close, p.vpn)
		p.ending = "it was not used"
		c.closeSession(now, p)
		return
	}
	if !now.Before(c.keepAliveAt(p)) {
		p.kept = now
		c.sendMessageTo(p.at, wire.Message{Type: wire.KeepAlive})
	}
	c.advanceRekey(now, p)
	if p.session != nil {
		c.feelPulse(now, p)
	}
	if p.session != nil {
		c.advanceSearch(now, p)
	}
}

// advanceTry does what is due for a try: it asks and punches again, changes the
// path, and gives up.
func (c *Client) advanceTry(now time.Time, p *peer) {
	t := p.try
	if !now.Before(t.until) {
		c.failTry(now, p, "no session in time")
		return
	}
	if t.attempt == nil {
		if u := t.poll.until; !u.IsZero() && !now.Before(u) {
			c.handleReject(now, p.vpn, t.poll.why)
		} else if !now.Before(t.ask) {
			c.ask(now, p)
		}
		return
	}
	c.advanceRelays(now, p)
	c.messages = t.attempt.Advance(now, c.messages[:0])
	c.post(c.messages)
	c.advanceHard(now, p, &t.quest)
	if t.asked && !now.Before(t.ask) && !t.ask.IsZero() {
		// No punch so far: the RDV's word to the peer may have been lost.
		t.ask = time.Time{}
		if s, _ := t.attempt.State(); s == punch.Punching && !t.attempt.Heard() {
			c.ask(now, p)
		}
	}
	for _, r := range slices.Clone(t.running) {
		if !r.silent.IsZero() && !now.Before(r.silent) {
			c.giveUpSilent(now, p, r)
		}
	}
	c.stepTry(now, p)
}

// stepTry follows where the attempt of p's try has gone.
func (c *Client) stepTry(now time.Time, p *peer) {
	t := p.try
	if t == nil || t.attempt == nil {
		return
	}
	c.watch(p)
	if !now.Before(t.hold) {
		t.hold = time.Time{}
	}
	c.claimTry(now, p)
	state, path := t.attempt.State()
	if state != punch.Open || t.attempt.Role() != punch.Server || len(t.running) > 0 {
		t.hello = time.Time{}
	} else if t.hello.IsZero() {
		c.log.Debug("Path open to peer", "peer", p.vpn, "addr", path.Addr)
		t.hello = now.Add(helloLife)
	}
	switch {
	case state == punch.Failed && len(t.running) == 0:
		c.failTry(now, p, "no path")
	case !t.hello.IsZero() && !now.Before(t.hello):
		c.failTry(now, p, "the peer does not begin the handshake")
	case state == punch.Open && t.attempt.Role() == punch.Client && !t.speaking() && t.hold.IsZero() && c.maySpeak(now, t):
		c.log.Debug("Path open to peer", "peer", p.vpn, "addr", path.Addr)
		c.startHandshake(now, p, path, false, nil)
	}
}

// claimTry makes us begin the handshake of a try that the RDV has led to, if nobody else
// does: where both ends have a session whose path is dark, both were told that the other
// asks. One that was restarted begins by itself, and at once.
func (c *Client) claimTry(now time.Time, p *peer) {
	t := p.try
	state, _ := t.attempt.State()
	switch {
	case t.asked || state != punch.Open || len(t.running) > 0 || p.paths == nil || !p.paths.Dark():
		t.claim = time.Time{}
	case t.claim.IsZero():
		t.claim = now.Add(liveChance)
	case !now.Before(t.claim):
		t.asked, t.claim = true, time.Time{}
		t.attempt.Claim()
	}
}

// speaking reports whether a handshake runs in which we are the client.
func (t *try) speaking() bool {
	return slices.ContainsFunc(t.running, func(r *running) bool { return !r.server })
}

// watch makes the data path hand over what comes from the candidates of p's
// try, and no longer from those that are none any more.
func (c *Client) watch(p *peer) {
	t := p.try
	tab := c.table.Load()
	before := tab
	if !tab.isPunching(p.vpn) {
		tab = tab.withPunching(p.vpn, true)
	}
	candidates := addrsOf(t.attempt.Candidates())
	for _, addr := range t.watched {
		if !slices.Contains(candidates, addr) {
			tab = c.unwatch(tab, p, addr)
		}
	}
	for _, addr := range candidates {
		if q := c.ends[addr]; q != nil && q != p && q.try != nil {
			continue // another peer is tried there
		}
		s, ok := tab.source(addr)
		if ok && s.handshaking && c.ends[addr] == p {
			continue
		}
		c.ends[addr] = p
		next := &source{handshaking: true}
		if ok {
			next.sessions = s.sessions
		}
		tab = tab.withSource(addr, next)
	}
	t.watched = candidates
	if tab != before {
		c.publish(tab)
	}
}

// addrsOf returns the addresses of endpoints, each once: by which socket something comes
// from there makes no difference to the table.
func addrsOf(list []punch.Endpoint) (addrs []netip.AddrPort) {
	for _, at := range list {
		if !slices.Contains(addrs, at.Addr) {
			addrs = append(addrs, at.Addr)
		}
	}
	return addrs
}

// failTry ends p's try without a session.
func (c *Client) failTry(now time.Time, p *peer, why string) {
	if p.session != nil { // somebody said that it was no longer there
		c.log.Debug("Nothing came of a new handshake", "peer", p.vpn, "reason", why)
		c.dropStaged(now, p)
		c.stopTry(p)
		return
	}
	c.log.Info("No connection with peer", "peer", p.vpn, "reason", why)
	if p.try.attempt != nil { // the RDV has introduced us
		c.tell(wire.Close, p.vpn)
	}
	c.refused.note(now, p.vpn)
	c.failures.note(now, p.vpn, why, p.try.cause)
	c.notify(Event{Kind: EventFailed, VPNAddr: p.vpn, Reason: why})
	c.refuseOthers(now, p)
	c.stopTry(p)
}

// stopTry ends p's try, if there is one, and what runs for it.
func (c *Client) stopTry(p *peer) {
	if p.try != nil {
		c.publish(c.endTry(c.table.Load(), p))
	}
}

// endTry ends p's try and returns tab without what it says of it.
func (c *Client) endTry(tab *table, p *peer) *table {
	t := p.try
	for _, r := range t.running {
		r.cancel()
	}
	c.tried.note(p.vpn, t)
	c.endHard(p)
	p.try = nil
	tab = tab.withPunching(p.vpn, p.search != nil)
	for _, addr := range t.watched {
		tab = c.unwatch(tab, p, addr)
	}
	return tab
}

// unwatch returns tab without what it says of a candidate of p. If a session has
// its path there, the address is again that of the session's peer.
func (c *Client) unwatch(tab *table, p *peer, addr netip.AddrPort) *table {
	if c.ends[addr] != p {
		return tab
	}
	s, ok := tab.source(addr)
	if ok && len(s.sessions) > 0 {
		c.ends[addr] = c.peers[s.sessions[0].Peer()]
		return tab.withSource(addr, &source{sessions: s.sessions})
	}
	delete(c.ends, addr)
	return tab.withSource(addr, nil)
}
