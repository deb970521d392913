package client

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
	"campagnol/rdv/wire"
)

// How many RDVs we are registered at.
const (
	// wantedServers is at how many we are registered, if so many are given: when one
	// goes, those that we look for are found by another at the same moment.
	wantedServers = 3

	// spareAfter is how long an RDV may leave us unregistered before the next of the
	// list is taken beside it.
	spareAfter = 3 * time.Second

	// spareLife is how long all RDVs before a spare must have answered before that
	// is left.
	spareLife = time.Minute
)

// serverList is the RDVs of a client, in the order in which they are to be used. Of
// those, the first ones are on: so many that wantedServers of them answer. One that
// does not is tried for ever.
type serverList struct {
	rdvs []*rendezvous
	next time.Time // when arrange must be called next; zero: when something happens
}

// newRendezvous returns the RDV of settings, which is not on.
func (c *Client) newRendezvous(now time.Time, s Server) *rendezvous {
	r := &rendezvous{name: s.Name, owner: &owner{ctx: c.ctx, wg: c.wg}}
	r.owner.send = func(conn punch.Conn, to netip.AddrPort, b []byte) { c.sendTo(punch.Endpoint{Addr: to, Conn: conn}, b) }
	r.owner.shake = func() shakeConfig {
		return shakeConfig{
			conn: c.cfg.Conn, certificate: c.set.Certificate, verify: c.set.VerifyServer,
			suites: c.set.Suites, log: c.log, ended: c.shaken, under: c.changes,
		}
	}
	r.setWays(s.Addrs)
	r.given = s
	c.reset(now, r, false)
	return r
}

// reset makes an RDV one at which we are not registered: if it is on, that begins.
func (c *Client) reset(now time.Time, r *rendezvous, on bool) {
	r.abandon()
	c.endFallback(r)
	r.on, r.reg, r.server = on, newRegistration(now, r.at, c.hello(), c.cfg.Jitter), new(serverChannel)
	if on {
		r.server = newServerChannel(now, c.channelConfig(r))
	}
	if !on || r.server.on() {
		r.reg.hold()
	}
	r.said, r.race, r.gates, r.roster = nil, race{}, nil, rosterPart{}
	r.down, r.up = now, time.Time{}
}

// enlist makes the RDVs those of the settings. Those of keep go on as they are.
func (c *Client) enlist(now time.Time, keep []*rendezvous) {
	c.servers = serverList{}
	for _, s := range c.set.Servers {
		i := slices.IndexFunc(keep, func(r *rendezvous) bool { return r.name == s.Name })
		if i < 0 {
			c.servers.rdvs = append(c.servers.rdvs, c.newRendezvous(now, s))
			continue
		}
		keep[i].setWays(s.Addrs)
		c.give(now, keep[i], s)
		c.servers.rdvs = append(c.servers.rdvs, keep[i])
	}
	for _, p := range c.peers {
		p.via = 0 // RDVs may have other places in the list now
		if p.try != nil {
			p.try.poll = poll{}
		}
	}
	c.arrange(now)
}

// arrange turns RDVs on and off, so that as many as are wanted answer.
func (c *Client) arrange(now time.Time) {
	l := &c.servers
	l.next = time.Time{}
	good := 0           // those that answer, or may do so yet
	var since time.Time // when the last of them began to
	for _, r := range l.rdvs {
		if good >= wantedServers {
			switch end := since.Add(spareLife); {
			case !r.on:
			case now.Before(end):
				l.wake(end)
			default:
				c.leaveServer(now, r)
			}
			continue
		}
		if !r.on {
			c.reset(now, r, true)
		}
		switch patience := r.down.Add(spareAfter); {
		case r.down.IsZero():
			good++
			since = later(since, r.up)
		case now.Before(patience) && !r.registered(): // else it has fallen silent
			good++
			since = now
			l.wake(patience)
		}
	}
}

// wake makes arrange be called at t at the latest.
func (l *serverList) wake(t time.Time) {
	if l.next.IsZero() || t.Before(l.next) {
		l.next = t
	}
}

// leaveServer tells an RDV that we leave, in the way in which we are registered, and
// turns it off.
func (c *Client) leaveServer(now time.Time, r *rendezvous) {
	if !r.on {
		return
	}
	if !r.reg.held() {
		c.sendMessage(r.at, r.reg.bye().Msg)
	}
	if r.server.stands() {
		c.log.Debug("Sending BYE")
	}
	c.perform(now, r, r.server.bye(nil))
	c.reset(now, r, false)
	c.askOthers(now, r)
}

// advanceServers does what is due for the registrations, of either kind.
func (c *Client) advanceServers(now time.Time) {
	for _, r := range c.servers.rdvs {
		if !r.on {
			continue
		}
		c.perform(now, r, r.server.advance(now, nil))
		var ev regEvent
		c.messages, ev = r.reg.advance(now, c.messages[:0])
		c.reportRegistration(now, r, ev)
		c.sayInClear(now, r, c.messages)
		c.lookForChannel(now, r, ev)
		if ev == regSilent && len(r.ways) > 1 {
			r.reg.start(now) // the RDV may answer on another
		}
		r.advanceRace(now)
		c.advanceFallback(now, r)
		r.noteAnswers(now)
	}
	c.judgeUDP(now)
	c.arrange(now)
}

// serversTimeout returns when advanceServers has something to do; zero means never.
func (c *Client) serversTimeout() time.Time {
	l := c.servers
	for _, r := range c.servers.rdvs {
		if t := r.timeout(); r.on && !t.IsZero() {
			l.wake(t)
		}
		if t := c.fallbackTimeout(r); r.on && !t.IsZero() {
			l.wake(t)
		}
	}
	return l.next
}

// sayInClear sends what the registration in clear says.
func (c *Client) sayInClear(now time.Time, r *rendezvous, outs []punch.Out) {
	for _, o := range outs {
		if o.Msg.Type != wire.Hello {
			r.fall.ask(now)
			c.sendMessage(r.at, o.Msg)
			continue
		}
		c.logMessage(r.at, o.Msg)
		r.call(now, o.Msg.Append(nil), r.reg.tries == 1)
	}
}

// serverAt returns the RDV that is on and has an address, or nil.
func (c *Client) serverAt(addr netip.AddrPort) *rendezvous {
	for _, r := range c.servers.rdvs {
		if r.on && r.leadsTo(addr) {
			return r
		}
	}
	return nil
}

// isServer reports whether an address is one of the RDVs that were given.
func (c *Client) isServer(addr netip.AddrPort) bool {
	return slices.ContainsFunc(c.set.Servers, func(s Server) bool { return slices.Contains(s.Addrs, addr) })
}

// anyServer reports whether f holds for an RDV that is on.
func (c *Client) anyServer(f func(r *rendezvous) bool) bool {
	return slices.ContainsFunc(c.servers.rdvs, func(r *rendezvous) bool { return r.on && f(r) })
}

// byChannel reports whether an RDV is on with which we do not speak in clear.
func (c *Client) byChannel() bool {
	return c.anyServer(func(r *rendezvous) bool { return r.reg.held() })
}

// tell sends RDVs a message about a VPN address: in clear, or what takes its place in
// the channel. ASK goes to all, others go to those that have introduced us.
func (c *Client) tell(t wire.Type, vpn netip.Addr) {
	var via serverSet
	p := c.peers[vpn]
	if p != nil && t != wire.Ask {
		via = p.via
	}
	for i, r := range c.servers.rdvs {
		switch {
		case !r.on, via != 0 && !via.has(i):
		case r.reg.held() && t == wire.Ask && p != nil && len(p.relaying.told) > 0:
			r.server.askAt(vpn, p.relaying.candidates())
		case r.reg.held():
			r.tellChannel(t, vpn)
		case vpn.Is4(): // the messages in clear have no room for others
			c.sendMessage(r.at, wire.Message{Type: t, IP1: vpn})
		}
	}
}
