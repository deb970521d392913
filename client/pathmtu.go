package client

import (
	"net/netip"
	"time"

	"campagnol/punch"
	"campagnol/tunnel"
	"campagnol/tunnel/device"
	"campagnol/tunnel/packet"
	"campagnol/tunnel/segment"
)

// What a path carries. Datagrams leave with DF set. Where one does not fit, this
// host or a router says so, and the packets inside get what they would get from a
// router: those that may be cut are, to the sender of others it is said what fits
// (RFC 1191).
const (
	// minPathMTU is what every path of IPv4 carries today, as minIPv6 is of IPv6.
	// Who says less is mistaken or lies: anybody can forge such a message.
	minPathMTU = 576

	pathMTULife = 10 * time.Minute // RFC 1191 section 6.3

	tooBigRate  = 100 // ICMP messages a second
	tooBigBurst = 20
)

// payloadLimit returns how much payload a datagram to addr may have on a path that
// carries IP packets of mtu bytes. 0 stands for no limit, in both.
func payloadLimit(addr netip.AddrPort, mtu int) int {
	const udp = 8
	switch {
	case mtu == 0:
		return 0
	case addr.Addr().Is4():
		return mtu - packet.IPv4HeaderLen - udp
	}
	return mtu - packet.IPv6HeaderLen - udp
}

// handlePathError takes what the network says about a destination.
func (c *Client) handlePathError(now time.Time, e punch.PathError) {
	if e.Addr.Port() != 0 {
		c.heedPathError(now, c.ends[e.Addr], e)
		return
	}
	// Our own interface is too small. It is so for all ports.
	for _, p := range c.peersInOrder() {
		if p.addr.Addr() == e.Addr.Addr() {
			e.Addr = p.addr
			c.heedPathError(now, p, e)
		}
	}
}

// heedPathError takes what the network says about the place of p, which is nil if
// nobody is there.
func (c *Client) heedPathError(now time.Time, p *peer, e punch.PathError) {
	if e.MTU <= 0 || p == nil || p.session == nil || p.addr != e.Addr {
		return
	}
	least := minPathMTU
	if e.Addr.Addr().Is6() {
		least = minIPv6
	}
	mtu := max(e.MTU, least)
	if p.mtu != 0 && mtu > p.mtu {
		return // about a datagram from before
	}
	if mtu != p.mtu {
		c.log.Info("The path to the peer carries smaller packets", "peer", p.vpn, "addr", p.addr, "mtu", mtu, "from", e.From)
		c.reportIPv6Path(p, mtu)
	}
	p.mtuAt = now.Add(pathMTULife)
	c.setMTU(p, mtu)
	c.settle(p)
}

// forgetMTU tries after a while whether the path carries more.
func (c *Client) forgetMTU(now time.Time, p *peer) {
	if p.mtu != 0 && !now.Before(p.mtuAt) {
		p.mtuAt = time.Time{}
		c.setMTU(p, 0)
	}
}

// setMTU makes the data path heed what p's path carries.
func (c *Client) setMTU(p *peer, mtu int) {
	if p.mtu == mtu {
		return
	}
	p.mtu = mtu
	if p.way != nil {
		next := *p.way
		next.limit = c.limitOf(p.session, p.addr, mtu)
		c.publish(c.setWay(c.table.Load(), p, &next))
	}
}

// tooBig reports whether a packet does not fit r's path.
func (r *route) tooBig(pkt []byte) bool {
	return r.limit > 0 && r.session.Overhead()+len(pkt) > r.limit
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
