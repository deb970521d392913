package client

import (
	"net/netip"
	"time"

	"campagnol/punch"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
	"campagnol/tunnel/packet"
)

// handlePacket takes a packet for a VPN address without a route: it asks for the
// peer, unless that is under way, and keeps the packet.
func (c *Client) handlePacket(now time.Time, dst netip.Addr, pkt []byte) {
	p := c.peers[dst]
	if p != nil && p.session != nil { // it was opened meanwhile
		if r, ok := c.table.Load().route(dst); ok {
			c.sendPacket(now, r, pkt)
		}
		return
	}
	if p == nil {
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
	if len(p.staged) < c.set.FIFOSize { // the first ones survive
		p.staged = append(p.staged, pkt)
	} else {
		c.drops.Add(tunnel.DropQueue)
	}
	c.settle(p)
}

// sendPacket seals a packet for a session.
func (c *Client) sendPacket(now time.Time, r *route, pkt []byte) {
	if !c.permits(now, r, pkt) {
		return
	}
	rec, d := r.session.Seal(c.clock.Stamp(now), nil, pkt, &c.tmp)
	if d != tunnel.Kept {
		c.drops.Add(d)
		return
	}
	if r.pass(now, packet.NotECT, rec) {
		c.send(r.addr, rec)
	}
}

// handleRDV takes a message from the RDV's address. Since anybody can write that
// address on a datagram, a message may start something only where we wait for it
// or as often as costs nothing.
func (c *Client) handleRDV(now time.Time, m wire.Message) {
	c.log.Debug("<< "+m.Type.String(), "from", c.set.Server)
	switch m.Type {
	case wire.Answer:
		c.handleAnswer(now, m)
	case wire.Forward:
		c.handleForward(now, m)
	case wire.Reject:
		c.handleReject(now, m)
	}
	var ev regEvent
	c.messages, ev = c.reg.handle(now, m, c.messages[:0])
	c.post(c.messages)
	if ev == regStrange {
		c.log.Warn("The RDV server replied with something strange... (message code is {code})", "code", uint8(m.Type),
			"server", c.set.Server, "hint", "server_host and server_port may be those of something else")
	}
	c.reportRegistration(ev)
}

// handleAnswer: the RDV tells where the peer is that we asked for.
func (c *Client) handleAnswer(now time.Time, m wire.Message) {
	p := c.peers[m.IP2]
	if p == nil || p.try == nil || !p.try.asked || !c.usable(m.Endpoint()) {
		return
	}
	switch a := p.try.attempt; {
	case a == nil:
		c.beginPunching(now, p, m.Endpoint())
	case !a.Knows(m.Endpoint()): // asked twice, and the peer is elsewhere now
		a.Introduce(now, m.Endpoint())
		c.stepTry(now, p)
	}
	c.settle(p)
}

// handleForward: the RDV tells who asked for us.
func (c *Client) handleForward(now time.Time, m wire.Message) {
	vpn := m.IP2
	if vpn == c.cfg.VPNAddr || !c.cfg.Network.Contains(vpn) || !c.usable(m.Endpoint()) {
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
	switch {
	case p.try == nil: // new, or an established peer that was restarted
		p.try = &try{began: now}
		c.beginPunching(now, p, m.Endpoint())
	case p.try.attempt == nil: // we asked, and so did it
		c.beginPunching(now, p, m.Endpoint())
		p.try.attempt.Cross()
	default:
		if p.try.asked {
			p.try.attempt.Cross()
		}
		if now.Sub(p.try.began) > time.Second || !p.try.attempt.Knows(m.Endpoint()) {
			p.try.attempt.Introduce(now, m.Endpoint())
			c.stepTry(now, p)
		}
	}
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

// handleReject: the RDV does not know the peer that we asked for.
func (c *Client) handleReject(now time.Time, m wire.Message) {
	p := c.peers[m.IP1]
	if p == nil || p.try == nil || !p.try.asked || p.try.attempt != nil {
		return
	}
	c.log.Info("The RDV server does not know the peer", "peer", p.vpn)
	c.refused.note(now, p.vpn)
	c.failures.note(now, p.vpn, "the RDV server does not know the peer", nil)
	c.stopTry(p)
	c.settle(p)
}

// beginPunching makes p's try leave NEW.
func (c *Client) beginPunching(now time.Time, p *peer, at netip.AddrPort) {
	t := p.try
	t.ask = time.Time{}
	if t.asked {
		t.ask = now.Add(askAgain) // unless a punch comes before
	}
	t.until = now.Add(tryLife)
	t.attempt = punch.NewAttempt(now, punch.Config{Self: c.cfg.VPNAddr, Peer: p.vpn, Asked: t.asked}, at)
	c.log.Debug("Punching {ip} {port}", "ip", at.Addr(), "port", at.Port(), "peer", p.vpn)
	c.messages = t.attempt.Advance(now, c.messages[:0])
	c.post(c.messages)
	c.stepTry(now, p)
}

// handlePunch takes a punch that names a peer whom we look for.
func (c *Client) handlePunch(now time.Time, from netip.AddrPort, m wire.Message) {
	p := c.peers[m.IP1]
	if p == nil || p.try == nil || p.try.attempt == nil || !c.usable(from) {
		return
	}
	c.messages = p.try.attempt.Handle(now, from, m, c.messages[:0])
	c.post(c.messages)
	c.stepTry(now, p)
	c.settle(p)
}

// usable reports whether a peer may be at a UDP address.
func (c *Client) usable(a netip.AddrPort) bool {
	ip := a.Addr()
	switch {
	case !a.IsValid(), a.Port() == 0, ip.IsUnspecified(), ip.IsMulticast():
		return false
	case ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}), a == c.set.Server:
		return false
	case ip.IsLoopback(): // only where everything is on one host
		return c.set.Server.Addr().IsLoopback()
	}
	return true
}
