package client

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"campagnol/rdv/channel"
	"campagnol/tunnel"
	"campagnol/tunnel/packet"
	"campagnol/tunnel/segment"
)

// IPv6 in the VPN. The messages in clear and the punches carry IPv4 addresses only,
// and so a peer is known by its IPv4 address. Its IPv6 addresses are further ones of
// its certificate, which lead to the same session. Who is asked for by one of those
// is asked for over the channel; the RDV answers with all addresses of the peer, and
// the try goes on under the IPv4 one among them:
//
//	packet to fd00::2 ──► ASK (fd00::2) ──► PEER (fd00::2, 10.9.0.2; where)
//	                                           │ a try at 10.9.0.2
//	                                           ▼
//	                      handshake: the certificate names 10.9.0.2, and fd00::2
//
// That the two belong together is the RDV's word and says no more than where to try:
// the session is with whoever proves to be 10.9.0.2, and carries packets for fd00::2
// if the certificate names it.

// agedSession is how old a session has to be before a new handshake is tried because
// the RDV says that the peer has another address besides: its certificate may be a new
// one.
const agedSession = time.Minute

// Why a peer is not reached by its IPv6 address.
const (
	noIPv4Known = "the RDV server does not say which IPv4 address the peer has, by which tunnels are opened"
	notNamed    = "the certificate of the peer does not name this address"
)

// errClear6 says why a packet goes nowhere.
var errClear6 = errors.New("a peer is asked for by its IPv6 address over the authenticated channel only")

// usableIPv6 reports whether the IPv6 address and network of a configuration are such
// that peers can have addresses there.
func (cfg *Config) usableIPv6() bool {
	n := cfg.Network6
	if !n.Addr().Is6() || n.Addr().Is4In6() || !n.Contains(cfg.VPNAddr6) || cfg.VPNAddr6 == routersOf(n) {
		return false
	}
	return !slices.ContainsFunc(special, n.Overlaps)
}

// routersOf returns the address of all routers of a network, which is no host's (RFC
// 4291 section 2.6.1); the zero Addr if there is none (RFC 6164).
func routersOf(n netip.Prefix) netip.Addr {
	if !n.IsValid() || n.Bits() >= 127 {
		return netip.Addr{}
	}
	return n.Masked().Addr()
}

// own returns our VPN addresses, the one first by which we are known.
func (c *Client) own() []netip.Addr {
	if c.cfg.VPNAddr6.IsValid() {
		return []netip.Addr{c.cfg.VPNAddr, c.cfg.VPNAddr6}
	}
	return []netip.Addr{c.cfg.VPNAddr}
}

// ownOptions returns the options of "campagnol ca issue" for our addresses.
func (c *Client) ownOptions() (text string) {
	for _, a := range c.own() {
		text += " --ip " + a.String()
	}
	return text
}

// mayBePeer reports whether an address can be that of a peer. It is for the data path,
// too.
func (c *Client) mayBePeer(a netip.Addr) bool {
	if a.Is4() {
		return c.cfg.Network.Contains(a) && a != c.cfg.VPNAddr && a != c.cfg.Broadcast
	}
	return c.cfg.Network6.Contains(a) && a != c.cfg.VPNAddr6 && a != routersOf(c.cfg.Network6)
}

// isAddr6 reports whether what a peer holds is an IPv6 address of it in the VPN.
func (c *Client) isAddr6(k netip.Prefix) bool {
	return k.IsSingleIP() && c.cfg.Network6.Contains(k.Addr())
}

// mayAsk reports whether the RDV can be asked for a peer by an address. That it cannot
// is said once.
func (c *Client) mayAsk(dst netip.Addr) bool {
	if dst.Is4() || c.byChannel() {
		return true
	}
	if c.once(errClear6) {
		c.log.Warn("Packets to IPv6 addresses are dropped as long as no tunnel to the peer is open", "peer", dst, "err", errClear6,
			"hint", "give the RDV server a certificate (campagnol ca issue NAME --rdv), and leave rdv_auth at auto here")
	}
	return false
}

// handlePeer: the RDV tells where the peer is that we asked for by one of its
// addresses.
func (c *Client) handlePeer(now time.Time, r *rendezvous, asked netip.Addr, msg *channel.Message) {
	if asked.Is4() {
		c.handleAnswer(now, asked, c.usableOf(msg.Endpoints, msg.Candidates))
		c.meetNAT(now, asked, msg)
		c.meetRelay(now, asked, msg, true)
		c.meetStream(now, asked, msg)
		c.nameRelays(now, asked, msg)
		return
	}
	p := c.peers[asked]
	if p == nil || p.try == nil {
		return
	}
	known := c.knownBy(msg.VPN)
	if !known.IsValid() {
		c.handleAgainst(now, r, asked, noIPv4Known)
		return
	}
	if c.lead(now, p, known) {
		c.handleAnswer(now, known, c.usableOf(msg.Endpoints, msg.Candidates))
		c.meetNAT(now, known, msg)
		c.meetRelay(now, known, msg, true)
		c.meetStream(now, known, msg)
		c.nameRelays(now, known, msg)
	}
}

// handleIntroduce: the RDV tells who asked for us. Whom we ask for by another of its
// addresses at the same time is tried once.
func (c *Client) handleIntroduce(now time.Time, msg *channel.Message) {
	known := c.knownBy(msg.VPN)
	if !known.IsValid() {
		return
	}
	q := c.peers[known]
	for _, a := range msg.VPN {
		if p := c.peers[a]; a.Is6() && p != nil && p.try != nil && (q == nil || q.session == nil) {
			c.lead(now, p, known)
			q = c.peers[known]
		}
	}
	c.handleForward(now, known, c.usableOf(msg.Endpoints, msg.Candidates))
	c.meetNAT(now, known, msg)
	c.meetRelay(now, known, msg, false)
	c.meetStream(now, known, msg)
	c.nameRelays(now, known, msg)
}

// knownBy returns by which of the addresses that the RDV names a peer is known, or is
// to be; the zero Addr if there is none.
func (c *Client) knownBy(list []netip.Addr) (known netip.Addr) {
	for _, a := range list {
		if !a.Is4() || !c.mayBePeer(a) {
			continue
		}
		if p := c.claims.holderOf(a); p != nil {
			return p.vpn
		}
		if !known.IsValid() {
			known = a
		}
	}
	return known
}

// lead makes of p, a try at a peer by its IPv6 address, one at that by its IPv4
// address. It reports whether there is such a try.
func (c *Client) lead(now time.Time, p *peer, known netip.Addr) bool {
	q := c.peers[known]
	if q == nil {
		delete(c.peers, p.vpn)
		p.try.also, p.vpn = []netip.Addr{p.vpn}, known
		c.peers[known] = p
		return true
	}
	if q.try == nil && now.Sub(q.session.Opened()) >= agedSession {
		q.try = &try{asked: true, began: now, until: now.Add(askPatience)}
	}
	if q.try == nil || len(q.try.also) >= MaxPeerAddrs {
		c.handleReject(now, p.vpn, notNamed)
		return false
	}
	q.try.also = append(q.try.also, p.vpn)
	q.staged = append(q.staged, p.staged...)
	if extra := len(q.staged) - c.set.FIFOSize; extra > 0 {
		c.drops.AddN(tunnel.DropQueue, extra)
		q.staged = q.staged[:c.set.FIFOSize]
	}
	p.staged = nil
	c.stopTry(p)
	c.settle(p)
	c.settle(q)
	return true
}

// refuseOthers leaves those IPv6 addresses alone for a while to which p's try was said
// to lead, and does not.
func (c *Client) refuseOthers(now time.Time, p *peer) {
	for _, a := range p.try.also {
		if c.claims.holderOf(a) == nil {
			c.refused.note(now, a)
		}
	}
}

// dropStaged drops what waited for p, which has a session that does not carry it.
func (c *Client) dropStaged(now time.Time, p *peer) {
	c.refuseOthers(now, p)
	c.drops.AddN(tunnel.DropRefused, len(p.staged))
	p.staged = nil
}

// multicast6 sends a multicast packet of IPv6 over every open tunnel to a peer with an
// IPv6 address, if it is to be, and from us. Neighbours are not asked for by it, since
// there are none on a link: what the kernel says about them stays here, with all else
// from no address or a link-local one.
func (o *outbound) multicast6(t *table, info *packet.Info, pkt []byte) {
	if !t.multicast || info.Src != o.c.cfg.VPNAddr6 || info.Dst.IsInterfaceLocalMulticast() {
		o.c.drops.Add(tunnel.DropDest)
		return
	}
	o.everywhere(t, pkt)
}

// reportIPv6Path says that a path carries less than IPv6 needs.
func (c *Client) reportIPv6Path(p *peer, mtu int) {
	if size := payloadLimit(p.at.Addr, mtu) - p.session.Overhead(); p.session.IPv6() && size < segment.MinIPv6 {
		c.log.Warn("The path to the peer carries less than IPv6 needs: larger packets of IPv6 are dropped", "peer", p.vpn, "bytes", size)
	}
}
