package client

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"campagnol/punch"
	"campagnol/tunnel"
	"campagnol/tunnel/device"
	"campagnol/tunnel/l2"
	"campagnol/tunnel/l2/ether"
	"campagnol/tunnel/packet"
	"campagnol/tunnel/pmtu"
	"campagnol/tunnel/segment"
)

// What a path carries. Datagrams leave with DF set. What fits is found out by probes
// between two of ours (package pmtu), and this host or a router may say so, too. The
// packets inside get what they would get from a router: those that may be cut are, to
// the sender of others it is said what fits (RFC 1191), and TCP is made to ask for
// less.
const (
	// minPathMTU is what every path of IPv4 carries today, as minIPv6 is of IPv6.
	// Who says less is mistaken or lies: anybody can forge such a message.
	minPathMTU = 576

	tooBigRate  = 100 // ICMP messages a second
	tooBigBurst = 20
)

// udpHeaderLen is the length of a UDP header, in bytes.
const udpHeaderLen = 8

// payloadLimit returns how much payload a datagram to addr may have on a path that
// carries IP packets of mtu bytes. 0 stands for no limit, in both.
func payloadLimit(addr netip.AddrPort, mtu int) int {
	switch {
	case mtu == 0:
		return 0
	case addr.Addr().Is4():
		return mtu - packet.IPv4HeaderLen - udpHeaderLen
	}
	return mtu - packet.IPv6HeaderLen - udpHeaderLen
}

// searchMTU begins to find out what p's path carries. Until then nothing is too large.
func (c *Client) searchMTU(now time.Time, p *peer) {
	const headers, frame = packet.IPv4HeaderLen + udpHeaderLen, ether.HeaderLen + ether.TagLen
	cfg := pmtu.Config{
		Min: minPathMTU, Base: minIPv6, Max: etherMTU,
		Random: rand.Uint64, Passive: !p.session.IsOurs() || c.set.MTU == 0,
	}
	if c.set.MTU > 0 {
		cfg.Max = c.set.MTU + p.session.Overhead() + headers
	}
	if p.session.Frames() {
		cfg.Max += frame
	}
	if !p.at.Addr.Addr().Is4() {
		cfg.Min, cfg.Max = minIPv6, cfg.Max+packet.IPv6HeaderLen-packet.IPv4HeaderLen
	}
	if t, ok := p.at.Conn.(*throughPeer); ok {
		cfg.Max = max(cfg.Min, packet.IPv4HeaderLen+udpHeaderLen+c.roomThrough(t, p))
		cfg.Base, cfg.Bounded = min(cfg.Base, cfg.Max), true
	} else if n := c.relayHeader(p); n > 0 && cfg.Max > etherMTU-n {
		cfg.Max, cfg.Bounded = etherMTU-n, true
	}
	p.mtu = pmtu.New(now, cfg)
	c.heedMTU(p)
}

// advanceMTU sends the probes that are due.
func (c *Client) advanceMTU(now time.Time, p *peer) {
	const recent = 10 * time.Second
	used := now.Sub(c.clock.Time(p.session.LastOut())) < recent
	for _, probe := range p.mtu.Advance(now, used, nil) {
		if b := p.session.SealChallenge(probe.Number, payloadLimit(p.at.Addr, probe.Size), &c.tmp); b != nil {
			c.sendToPeer(now, p, b)
		}
	}
	c.heedMTU(p)
}

// answeredMTU takes the response to a challenge, and reports whether that was a probe
// of what p's path carries.
func (c *Client) answeredMTU(now time.Time, p *peer, number uint64) bool {
	if !p.mtu.Responded(now, number) {
		return false
	}
	c.heedMTU(p)
	c.settle(p)
	return true
}

// handlePathError takes what the network says about a destination.
func (c *Client) handlePathError(now time.Time, e punch.PathError) {
	if e.Addr.Port() != 0 {
		c.heedPathError(now, c.ends[e.Addr], e)
		return
	}
	// Our own interface is too small. It is so for all ports.
	for _, p := range c.peersInOrder() {
		if p.at.Addr.Addr() == e.Addr.Addr() {
			e.Addr = p.at.Addr
			c.heedPathError(now, p, e)
		}
	}
}

// heedPathError takes what the network says about the place of p, which is nil if
// nobody is there.
func (c *Client) heedPathError(now time.Time, p *peer, e punch.PathError) {
	if e.MTU <= 0 || p == nil || p.session == nil || p.at.Addr != e.Addr {
		return
	}
	p.mtu.TooBig(now, e.MTU)
	c.heedMTU(p, "from", e.From)
	c.settle(p)
}

// pathLimit returns how much payload a datagram to p may have; 0: any.
func (c *Client) pathLimit(p *peer) int {
	limit := 0
	if !p.mtu.Wide() {
		limit = c.limitOf(p.session, p.at.Addr, p.mtu.Limit())
	}
	if t, ok := p.at.Conn.(*throughPeer); ok {
		if room := c.roomThrough(t, p); limit == 0 || limit > room {
			limit = room // the session with the relay takes some of its path
		}
	}
	return limit
}

// heedMTU makes the data path heed what p's path carries, and says so, with attrs, when
// that has become less.
func (c *Client) heedMTU(p *peer, attrs ...any) {
	mtu, limit := p.mtu.Limit(), c.pathLimit(p)
	if p.way == nil || p.way.limit == limit {
		return
	}
	if mtu > 0 && (p.way.limit == 0 || limit < p.way.limit) {
		c.log.Info("The path to the peer carries smaller packets", append([]any{"peer", p.vpn, "addr", p.at.Addr, "mtu", mtu}, attrs...)...)
		c.reportIPv6Path(p, mtu)
	}
	next := *p.way
	next.limit = limit
	c.publish(c.setWay(c.table.Load(), p, &next))
	c.heedThrough(p)
}

// tooBig reports whether a packet does not fit r's path.
func (r *route) tooBig(pkt []byte) bool {
	return r.limit > 0 && r.session.Overhead()+len(pkt) > r.limit
}

// clampPacket makes a packet that opens a TCP connection ask for segments that fit the
// path, if that is known to be small.
func (r *route) clampPacket(pkt []byte) {
	if r.limit == 0 {
		return
	}
	f := ether.Frame{Type: ether.IPv4}
	if packet.IsIPv6(pkt) {
		f.Type = ether.IPv6
	}
	l2.ClampMSS(pkt, &f, r.limit-r.session.Overhead())
}

// refit sends a packet that does not fit r's path in pieces, or tells its sender
// what fits.
func (o *outbound) refit(r *route, now tunnel.Stamp, pkt []byte) {
	size := r.limit - r.session.Overhead()
	if r.session.Frames() {
		o.refitFrame(r, now, pkt, size)
		return
	}
	if segment.MayFragment(pkt) {
		segment.Fragment(pkt, size, func(piece []byte) { o.seal(r, now, piece) })
		return
	}
	o.c.drops.Add(tunnel.DropTooBig)
	// About what is for everybody, nothing is said (RFC 1122 section 3.2.2).
	if now == 0 || !o.tooBig.take(o.when, tooBigRate, tooBigBurst) {
		return
	}
	if m := segment.AppendTooBig(nil, pkt, size); m != nil {
		if err := o.c.cfg.Device.Write([]device.Packet{{Data: m}}); err != nil {
			o.c.drops.Add(tunnel.DropDevice)
		}
	}
}
