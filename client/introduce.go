package client

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
	"campagnol/tunnel/packet"
)

// handlePacket takes a packet without a route that is for a VPN address or, if that
// is a gateway's, for a network behind it: it asks for the peer, unless that is under
// way, and keeps the packet.
func (c *Client) handlePacket(now time.Time, dst netip.Addr, pkt []byte) {
	if c.claims.holderOf(dst) != nil { // it was opened meanwhile
		if r := c.table.Load().wayOf(pkt); r != nil {
			c.sendPacket(now, r, pkt)
		} else {
			c.drops.Add(tunnel.DropDest)
		}
		return
	}
	c.reach(now, dst, pkt)
}

// reach opens a tunnel to a peer, unless that is under way, and keeps what is to be
// sent to it; nil: nothing is.
func (c *Client) reach(now time.Time, dst netip.Addr, pkt []byte) {
	p := c.peers[dst]
	if p == nil {
		if !c.mayAsk(dst) {
			c.drops.Add(tunnel.DropDest)
			return
		}
		if c.refused.has(now, dst) || !c.asks.take(now, askRate, askBurst) {
			c.drops.Add(tunnel.DropRefused)
			return
		}
		if p = c.addPeer(dst); p == nil {
			c.drops.Add(tunnel.DropRefused)
			return
		}
		p.try = &try{asked: true, began: now, until: now.Add(askPatience)}
		c.ask(now, p)
	}
	if pkt == nil {
		c.settle(p)
		return
	}
	if len(p.staged) < c.set.FIFOSize { // the first ones survive
		p.staged = append(p.staged, pkt)
	} else {
		c.drops.Add(tunnel.DropQueue)
	}
	c.settle(p)
}

// sendStaged sends what has waited for p, as far as its session leads there.
func (c *Client) sendStaged(now time.Time, tab *table, p *peer) {
	for _, pkt := range p.staged {
		if p.session.Frames() || tab.wayOf(pkt) == p.way {
			c.sendPacket(now, p.way, pkt)
		} else {
			c.drops.Add(tunnel.DropDest)
		}
	}
	p.staged = nil
}

// wayOf returns the way of a packet, or nil.
func (t *table) wayOf(pkt []byte) *route {
	info, err := packet.Parse(pkt)
	if err != nil {
		return nil
	}
	r, _ := t.lookup(info.Dst)
	return r
}

// sendPacket seals a packet for a session.
func (c *Client) sendPacket(now time.Time, r *route, pkt []byte) {
	if !c.permitsContent(now, r, pkt) {
		return
	}
	rec, d := r.session.Seal(c.clock.Stamp(now), nil, pkt, &c.tmp)
	if d != tunnel.Kept {
		c.drops.Add(d)
		return
	}
	if r.pass(now, packet.NotECT, rec) {
		c.sendTo(punch.Endpoint{Addr: r.addr, Conn: r.conn}, rec)
	}
}

// handleAnswer: the RDV tells where the peer is that we asked for. at are those of its
// candidates that we try.
func (c *Client) handleAnswer(now time.Time, vpn netip.Addr, at []punch.Candidate) {
	p := c.peers[vpn]
	if len(at) == 0 && !c.usesRelays() && !c.usesStreams() {
		return
	}
	if p != nil && p.paths != nil && (p.paths.Dark() || p.detours()) {
		c.introduced(now, p, at) // beside the session, which lives on if it answers there
		c.offerTURN(now, p)
		c.offerStream(now, p)
	}
	if p == nil || p.try == nil || !p.try.asked {
		return
	}
	p.named = at
	near := c.unrelayed(at)
	switch a := p.try.attempt; {
	case a == nil:
		c.beginPunching(now, p, nil, near...)
	case !knowsAll(a, near): // asked twice, and the peer is elsewhere now
		a.Try(now, near...)
		c.stepTry(now, p)
	}
	c.offerTURN(now, p)
	c.offerStream(now, p)
	c.settle(p)
}

// knowsAll reports whether all of at are candidates of an attempt.
func knowsAll(a *punch.Attempt, at []punch.Candidate) bool {
	return !slices.ContainsFunc(at, func(n punch.Candidate) bool { return !a.Knows(punch.Endpoint{Addr: n.Addr}) })
}

// handleForward: the RDV tells who asked for us. at are those of its candidates that
// we try.
func (c *Client) handleForward(now time.Time, vpn netip.Addr, at []punch.Candidate) {
	if !vpn.Is4() || vpn == c.cfg.VPNAddr || !c.cfg.Network.Contains(vpn) || len(at) == 0 && !c.usesRelays() && !c.usesStreams() {
		return
	}
	p := c.peers[vpn]
	if p == nil {
		if !c.roomForAskers() {
			return
		}
		if p = c.addPeer(vpn); p == nil {
			return
		}
	}
	c.refused.forget(vpn)
	c.introduced(now, p, at)
	near := c.unrelayed(at)
	switch {
	case p.try == nil: // new, or an established peer that was restarted
		p.try = &try{began: now}
		c.beginPunching(now, p, nil, near...)
	case p.try.attempt == nil: // we asked, and so did it
		c.beginPunching(now, p, nil, near...)
		p.try.attempt.Cross()
	default:
		if p.try.asked {
			p.try.attempt.Cross()
		}
		if now.Sub(p.try.began) > time.Second || !knowsAll(p.try.attempt, near) {
			p.try.attempt.Try(now, near...)
			c.stepTry(now, p)
		}
	}
	c.offerTURN(now, p)
	c.offerStream(now, p)
	c.settle(p)
}

// roomForAskers reports whether one more peer may be added because the RDV says
// that it asked for us: half of the places are ours, so that forged
// introductions do not take them all.
func (c *Client) roomForAskers() bool {
	waiting := 0
	for _, p := range c.peers {
		if p.session == nil && p.try != nil && !p.try.asked {
			waiting++
		}
	}
	return waiting < max(1, c.set.MaxClients/2)
}

// UnknownPeer is why there is no session with a peer that is not registered, for people.
const UnknownPeer = "the RDV server does not know the peer"

// handleReject: the RDV does not lead us to the peer that we asked for.
func (c *Client) handleReject(now time.Time, vpn netip.Addr, why string) {
	p := c.peers[vpn]
	if p == nil || p.try == nil || !p.try.asked || p.try.attempt != nil {
		return
	}
	if why == UnknownPeer {
		c.log.Info("The RDV server does not know the peer", "peer", p.vpn)
	} else {
		c.log.Info("The RDV server does not introduce us to the peer", "peer", p.vpn, "reason", why)
	}
	c.refused.note(now, p.vpn)
	c.failures.note(now, p.vpn, why, nil)
	c.notify(Event{Kind: EventFailed, VPNAddr: p.vpn, Reason: why})
	c.stopTry(p)
	c.settle(p)
}

// beginPunching makes p's try leave NEW. at are where the peer may be, by a socket
// of ours, the likeliest first. It is nowhere if only a relay may find a way to it.
func (c *Client) beginPunching(now time.Time, p *peer, conn punch.Conn, at ...punch.Candidate) {
	t := p.try
	t.ask = time.Time{}
	if t.asked {
		t.ask = now.Add(askAgain) // unless a punch comes before
	}
	t.until = now.Add(tryLife)
	t.attempt = punch.NewAttempt(now, punch.Config{Self: c.cfg.VPNAddr, Peer: p.vpn, Asked: t.asked})
	t.attempt.TryBy(now, conn, at...)
	if len(at) > 0 {
		first := at[0].Addr
		c.log.Debug("Punching {ip} {port}", "ip", first.Addr(), "port", first.Port(), "peer", p.vpn)
	}
	c.messages = t.attempt.Advance(now, c.messages[:0])
	c.post(c.messages)
	c.stepTry(now, p)
}

// handlePunch takes a punch that names a peer whom we look for.
func (c *Client) handlePunch(now time.Time, from punch.Endpoint, m wire.Message) {
	p := c.peers[m.IP1]
	if p == nil || !c.usable(from.Addr) || !p.mayBeAt(from) || !c.admits(p, from) {
		return
	}
	tried := p.try != nil && p.try.attempt != nil && c.heardBy(p, &p.try.quest, from)
	if tried {
		c.messages = p.try.attempt.Handle(now, from, m, c.messages[:0])
		c.preferHard(now, p.try, from)
		c.post(c.messages)
		c.stepTry(now, p)
	}
	if p.search != nil {
		c.heardInSearch(now, p, from, m, !tried)
	}
	c.settle(p)
}

// usable reports whether a peer may be at a UDP address.
func (c *Client) usable(a netip.AddrPort) bool {
	ip := a.Addr()
	switch {
	case !a.IsValid(), a.Port() == 0, ip.IsUnspecified(), ip.IsMulticast():
		return false
	case ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}), c.isServer(a):
		return false
	case ip.Is6() && ip.IsLinkLocalUnicast() && ip.Zone() == "": // of whose link?
		return false
	case ip.IsLoopback(): // only where everything is on one host
		return slices.ContainsFunc(waysTo(c.set.Servers), func(s netip.AddrPort) bool { return s.Addr().IsLoopback() })
	}
	return true
}
