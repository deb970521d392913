package client

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
	"campagnol/punch/nat"
	"campagnol/rdv/channel"
)

// Which peers relay between another peer and us: the RDV names some with each
// introduction. A session with one is opened like any other, and ends like any other when
// nothing uses it; with it comes the socket through the peer (throughPeer).

const (
	// maxThrough is how many relays to one peer are used at a time. One may die.
	maxThrough = 2

	// relayPatience is how long a direct path is looked for until sessions are opened
	// with relays for want of one. Those that stand are used at once.
	relayPatience = 250 * time.Millisecond

	// relayHaste is the same where two NATs do not let hope for a direct path but in a
	// network of their own.
	relayHaste = 20 * time.Millisecond
)

// nameRelays takes the members that relay between us and the peer known by a VPN address,
// as the RDV names them in msg.
func (c *Client) nameRelays(now time.Time, vpn netip.Addr, msg *channel.Message) {
	p := c.peers[vpn]
	if p == nil || c.set.RelayNever {
		return
	}
	var relays []netip.Addr
	for _, a := range msg.Via {
		if len(relays) < channel.MaxVia && a.Is4() && a != p.vpn && c.mayBePeer(a) && !slices.Contains(p.id.Addrs, a) && !slices.Contains(relays, a) {
			relays = append(relays, a)
		}
	}
	p.relays = relays
	if len(relays) == 0 {
		return
	}
	if t := p.try; t != nil && t.relays.IsZero() {
		t.relays = now.Add(relayPatience)
		if nat.Meet(c.nat, msg.NAT) >= nat.Guess {
			t.relays = now.Add(relayHaste)
		}
	}
	at := c.standing(p)
	if p.paths != nil && p.paths.Dark() {
		at = c.throughPeers(now, p)
	}
	c.offerRelays(now, p, at)
	c.settle(p)
}

// standing returns where p is as seen through relays with which we have sessions.
func (c *Client) standing(p *peer) []punch.Endpoint {
	var list []punch.Endpoint
	for _, a := range p.relays {
		q := c.claims.holderOf(a)
		if q != nil && q != p && q.through != nil && !isThrough(q.at.Conn) && len(list) < maxThrough {
			list = append(list, punch.Endpoint{Addr: throughAddr(p.vpn), Conn: q.through})
		}
	}
	return list
}

// throughPeers opens sessions with relays between p and us, so that there are two, or as
// many as there can be, and returns where p is through those that stand: p is offered the
// others when they do (keepThrough).
//
// Who is reached only because it relays is not reached through relays: that would be a
// third hop.
func (c *Client) throughPeers(now time.Time, p *peer) []punch.Endpoint {
	list := c.standing(p)
	if p.asRelay && len(p.staged) == 0 {
		return list
	}
	n := len(list)
	for _, a := range p.relays {
		if n >= maxThrough {
			break
		}
		switch q := c.peers[a]; {
		case c.claims.holderOf(a) != nil: // among those that stand, or it does not relay
			continue
		case q == nil && c.refused.has(now, a):
			continue
		case q == nil:
			c.reach(now, a, nil)
			if q = c.peers[a]; q == nil {
				continue
			}
			q.asRelay = true
		}
		n++
	}
	return list
}

// advanceRelays opens sessions with relays if there is no direct path to p so far.
func (c *Client) advanceRelays(now time.Time, p *peer) {
	if t := p.try; !t.relays.IsZero() && !now.Before(t.relays) {
		t.relays = time.Time{}
		c.offerRelays(now, p, c.throughPeers(now, p))
	}
}

// offerThrough offers a new relay to all to whom it is one.
func (c *Client) offerThrough(now time.Time, relay *peer) {
	for _, p := range c.peersInOrder() {
		if p != relay && slices.ContainsFunc(p.relays, func(a netip.Addr) bool { return c.claims.holderOf(a) == relay }) {
			c.offerRelays(now, p, c.standing(p))
			c.settle(p)
		}
	}
}

// offerRelays makes p be looked for at further endpoints: punched to, as long as there is
// no session, and challenged in the one that there is. That is due at once, for the caller
// to settle.
func (c *Client) offerRelays(now time.Time, p *peer, list []punch.Endpoint) {
	for _, at := range list {
		named := punch.Candidate{Addr: at.Addr, Kind: punch.Relayed}
		if t := p.try; t != nil && t.attempt != nil && !t.attempt.Knows(at) {
			t.attempt.TryBy(now, at.Conn, named)
		}
		if p.paths != nil {
			p.paths.IntroduceBy(now, at.Conn, []punch.Candidate{named})
		}
	}
}

// keepOffering offers a session that has just begun the relays that there are to its peer,
// so that one is known when the path goes dark.
func (c *Client) keepOffering(now time.Time, p *peer) {
	if p.paths != nil {
		c.offerRelays(now, p, c.standing(p))
	}
}
