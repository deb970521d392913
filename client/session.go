package client

import (
	"bytes"
	"net/netip"
	"time"

	"campagnol/punch"
	punchpath "campagnol/punch/path"
	punchstream "campagnol/punch/stream"
	"campagnol/tunnel"
	"campagnol/tunnel/device"
	"campagnol/tunnel/filter"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// establish makes a session of a handshake's result.
func (c *Client) establish(now time.Time, p *peer, r *running, result *handshake.Result, id Identity) {
	c.absorb(now, p, &id)
	c.tellDrops(now, p, true)
	s := tunnel.NewSession(now, p.vpn, result)
	if p.session != nil {
		c.tally.leavePaths(p)
		c.replace(now, p)
		c.publish(c.closeThrough(c.endRelaying(c.table.Load(), p.vpn), p)) // it may be another host
	}
	c.setFilter(s)
	p.session, p.at, p.server, p.kept = s, r.at, r.server, now
	c.keepExtra(p, r.at.Conn)
	p.ending, p.endCode = "", ""
	c.notify(Event{Kind: EventOpened, VPNAddr: p.vpn, Name: id.Name, Key: id.Key, Serial: id.Serial, Addr: r.at.Addr})
	p.rekey = rekey{random: c.cfg.Jitter()}
	if !bytes.Equal(r.leaf, leafOf(&c.set)) { // it was replaced meanwhile
		p.rekey.shown = now
	}
	p.pulse, p.paths, p.places = pulse{at: now.Add(pulseInterval)}, nil, nil
	if s.IsOurs() {
		p.paths = punchpath.New(now, drawNumber, r.at, c.unrelayed(p.named))
		p.places = p.paths.Endpoints()
	}
	c.log.Info("New DTLS connection opened with peer", append([]any{"peer", p.vpn, "addr", punchstream.Real(r.at.Addr),
		"cipher", s.Suite().String(), "took", now.Sub(p.try.began).Round(time.Microsecond)}, p.relayAttr()...)...)
	c.refused.forget(p.vpn)
	c.failures.forget(p.vpn)
	c.dossiers.of(p.vpn).name = id.Name
	p.way = c.newRoute(now, s, r.at)
	c.searchMTU(now, p)
	c.hardSucceeded(p, &p.try.quest)
	c.inheritSearch(now, p)
	c.plug(now, p)
	tab := c.moveTo(c.claim(c.table.Load(), p, id), p, addrBelow(r.at))
	c.sendStaged(now, tab, p) // before the data path can overtake them
	c.refuseOthers(now, p)
	c.tellAbilities(now, p)
	c.flush()

	// One change for the data path: in between, it would drop what comes.
	c.ends[r.at.Addr] = p
	c.publish(c.endTry(c.withPort(c.spread(tab, p), p), p))
	c.plugged(now, p)
	c.keepOffering(now, p)
	c.closeLosers(now)
	for _, rec := range r.hs.Early() {
		c.receiveLate(now, p, r.at, rec)
	}
	c.closeUnused(p)
	c.offerTURN(now, p)
	c.offerStream(now, p)
}

// replace makes p's session the old one: what it still has on the way is taken
// for a while.
func (c *Client) replace(now time.Time, p *peer) {
	c.stopRekey(p)
	c.endSearch(p)
	p.look = look{}
	if p.old != nil {
		c.retireOld(p)
	}
	p.old, p.oldAt, p.oldUntil = p.session, p.at, now.Add(oldKeysLife)
}

// retireOld forgets p's old session.
func (c *Client) retireOld(p *peer) {
	if p.session != nil {
		c.tally.endOld(p)
	}
	c.publish(c.withoutSession(c.table.Load(), p, p.old))
	if p.session == nil || !p.session.Continues(p.old) {
		p.old.Filter().Close()
	}
	p.old, p.oldAt = nil, punch.Endpoint{}
	c.closeUnused(p)
}

// closeSession tells the peer that the session is over, and ends it.
func (c *Client) closeSession(now time.Time, p *peer) {
	for _, b := range p.session.CloseNotify(nil) {
		c.sendToPeer(now, p, b)
	}
	c.dropSession(p)
}

// dropSession ends p's session.
func (c *Client) dropSession(p *peer) {
	c.tally.end(p)
	c.tellDrops(time.Time{}, p, true)
	c.notify(Event{Kind: EventClosed, VPNAddr: p.vpn, Name: p.id.Name, Key: p.id.Key, Serial: p.id.Serial, Addr: p.at.Addr, Code: p.endCode, Reason: p.ending})
	p.ending, p.endCode = "", ""
	c.stopRekey(p)
	c.endSearch(p)
	p.look = look{}
	c.unplug(p)
	tab := c.closeThrough(c.endRelaying(c.table.Load(), p.vpn), p)
	tab = c.moveTo(c.claim(tab, p, Identity{}), p, netip.Addr{})
	c.publish(c.withoutSession(tab, p, p.session))
	p.way, p.paths, p.places = nil, nil, nil
	p.session.Filter().Close()
	p.session = nil
	if p.old != nil {
		c.retireOld(p)
	}
	c.closeUnused(p)
}

// receiveLate opens a datagram that came before its session was known to the
// data path.
func (c *Client) receiveLate(now time.Time, p *peer, from punch.Endpoint, b []byte) {
	for len(b) > 0 && p.session != nil {
		h, rec, rest, err := record.Split(b)
		if err != nil {
			return
		}
		b = rest
		s := p.session
		if h.Epoch == 0 {
			if s.RepeatsFlight(h) {
				for _, flight := range s.LastFlight(now) {
					c.sendRecordTo(now, from, flight)
				}
			}
			continue
		}
		payload, control, d := s.Receive(c.clock.Stamp(now), h, rec, &c.tmp)
		switch {
		case d != tunnel.Kept:
			c.drops.Add(d)
			s.Stats().Drops.Add(d)
		case !control && s.Frames():
			in := newInbound(c, c.cfg.Device)
			in.when, in.table = now, c.table.Load()
			in.frame(s, payload)
			in.flush()
		case !control && s.Filter().In(now, payload) != filter.Pass:
			c.drops.Add(tunnel.DropFilter)
			s.Stats().Drops.Add(tunnel.DropFilter)
		case !control:
			if err := c.cfg.Device.Write([]device.Packet{{Data: payload}}); err != nil {
				c.drops.Add(tunnel.DropDevice)
			}
		default:
			c.handleInner(now, event{addr: from.Addr, conn: from.Conn, session: s, typ: c.tmp.Type(), data: payload})
		}
	}
}

// handleInner takes what an established peer has sent that is not data, or a
// report of the data path about its data.
func (c *Client) handleInner(now time.Time, e event) {
	p := c.peers[e.session.Peer()]
	if p != nil && e.session == p.rekey.fresh {
		c.takeKeys(now, p)
	}
	if p == nil || e.session != p.session && e.session != p.old {
		return
	}
	switch {
	case e.drop != tunnel.Kept:
		c.reportStrange(p, e.drop)
		c.tellDrops(now, p, false)
		return
	case e.woken:
		c.wake(now, p)
		return
	case e.stray:
		c.strayed(now, p, e.session, e.at())
	}
	if e.data == nil || p.session == nil {
		return
	}
	at := p.at
	if e.session == p.old {
		at = p.oldAt
	}
	out, ev := e.session.Handle(now, e.typ, e.data, nil)
	for _, b := range out {
		c.sendRecordTo(now, at, b)
	}
	if ev.Probe {
		c.keepThrough(now, p)
	}
	if ev.Echo {
		p.telling = telling{}
		c.settle(p)
	}
	if ev.Path != nil {
		c.handlePath(now, p, e.at(), e.session, ev.Path)
	}
	if ev.Groups != nil && e.session == p.session {
		c.handlePeersGroups(now, p, ev.Groups)
	}
	if ev.Echoed != 0 {
		c.echoed(now, p, ev.Echoed)
	}
	if ev.Renewal != nil && e.session == p.session {
		c.handleRenewal(now, p, ev.Renewal)
		c.settle(p)
	}
	if !ev.Closed {
		return
	}
	if e.session == p.old && !p.session.Continues(p.old) {
		c.retireOld(p)
	} else {
		if ev.Reason != nil {
			c.log.Warn("DTLS error, shutting down the connexion.", "peer", p.vpn, "err", ev.Reason)
		}
		c.log.Info("DTLS connection closed by peer", "peer", p.vpn)
		p.ending = "by the peer"
		c.dropSession(p)
	}
	c.settle(p)
}

// reportStrange logs, once for each kind and session, that an authenticated peer
// sends what it should not.
func (c *Client) reportStrange(p *peer, d tunnel.Drop) {
	switch d {
	case tunnel.DropNotIP:
		c.log.Warn("Peer sends something that is not an IP packet; dropped", "peer", p.vpn)
	case tunnel.DropSource:
		c.log.Warn("Peer sends packets from an address that is not its own; dropped", "peer", p.vpn)
	default:
		c.log.Warn("Packets of peer are dropped", "peer", p.vpn, "reason", d.String())
	}
}
