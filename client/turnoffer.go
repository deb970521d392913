package client

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
	"campagnol/punch/nat"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// offerTURN makes the relays that are ready for p ways to it: the peer's places are
// tried from there, and it is told where it reaches us there.
func (c *Client) offerTURN(now time.Time, p *peer) {
	var told []netip.AddrPort
	for _, r := range p.relaying.ready {
		if r.alloc == nil {
			continue
		}
		if at := r.alloc.LocalAddr(); c.mayOffer(at) {
			told = append(told, at)
		}
		c.offerRelay(now, p, r.alloc)
	}
	if len(told) == 0 || slices.Equal(told, p.relaying.told) {
		return
	}
	p.relaying.told = told
	c.tell(wire.Ask, p.vpn)
}

// mayOffer reports whether a relayed address is one that another host can use.
func (c *Client) mayOffer(at netip.AddrPort) bool {
	return at.IsValid() && at.Port() != 0 && !at.Addr().IsUnspecified()
}

// offerRelay tries to reach p from an address at a relay. The relay lets in what comes
// from there, whatever the port: behind a NAT it may be another than the one we know.
func (c *Client) offerRelay(now time.Time, p *peer, alloc Allocation) {
	own := alloc.LocalAddr().Addr().Unmap()
	var list []punch.Candidate
	for _, n := range p.named {
		ip := n.Addr.Addr().Unmap()
		if ip.Is4() != own.Is4() || punch.IsPrivate(ip) && !punch.IsPrivate(own) {
			continue // a relay elsewhere does not get there
		}
		if err := alloc.Permit(ip); err != nil {
			c.log.Debug("A relay lets a peer in only from other addresses", "peer", p.vpn, "addr", ip, "err", err)
		}
		list = append(list, n)
	}
	if len(list) == 0 {
		return
	}
	if t := p.try; t != nil && t.attempt != nil {
		t.attempt.TryBy(now, alloc, list...)
		c.messages = t.attempt.Advance(now, c.messages[:0])
		c.post(c.messages)
		c.stepTry(now, p)
	}
	if p.paths != nil {
		p.paths.IntroduceBy(now, alloc, list)
		c.advancePaths(now, p)
	}
}

// candidates returns the relayed addresses that a peer is told of.
func (q *relaying) candidates() (list []punch.Candidate) {
	for _, a := range q.told {
		list = append(list, punch.Candidate{Addr: a, Kind: punch.Relayed})
	}
	return list
}

// unrelayed returns those of a peer's candidates that are tried from the primary socket:
// all, unless there are to be no direct paths.
func (c *Client) unrelayed(list []punch.Candidate) []punch.Candidate {
	if !c.set.RelayOnly {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(n punch.Candidate) bool { return n.Kind != punch.Relayed })
}

// admits reports whether a path may lead to p by an endpoint, by what the settings say
// about relays.
func (c *Client) admits(p *peer, at punch.Endpoint) bool {
	if !c.set.RelayOnly || at.Relayed() || p.paths != nil && p.paths.Relayed(at) {
		return true
	}
	return slices.ContainsFunc(p.named, func(n punch.Candidate) bool { return n.Kind == punch.Relayed && n.Addr == at.Addr })
}

// relayDelay returns how long ordinary punching has before a relay is looked for, given
// what a peer is behind, and whether we have asked for it.
func (c *Client) relayDelay(theirs nat.Behaviour, asked bool) time.Duration {
	switch {
	case c.blocked, c.set.RelayOnly:
		return 0
	case !asked:
		return relayNext
	case !theirs.Known && c.nat.Known && !c.nat.Hard(), nat.Meet(c.nat, theirs) == nat.Direct:
		return relayLater
	}
	return 0
}

// meetRelay looks for a relay to a peer that an RDV has introduced, if it is not reached.
func (c *Client) meetRelay(now time.Time, vpn netip.Addr, msg *channel.Message, asked bool) {
	p := c.peers[vpn]
	if p == nil || !msg.Authentic || c.straight(p) {
		return
	}
	c.wantRelay(now, p, c.relayDelay(msg.NAT, asked))
	c.settle(p)
}

// channelDataHeader is what a relay puts before each datagram, in bytes (RFC 8656 section
// 12.4).
const channelDataHeader = 4

// relayHeader returns how much longer than at our end a datagram to p is on its way.
func (c *Client) relayHeader(p *peer) int {
	if p.at.Relayed() || p.paths != nil && p.paths.View().Relay {
		return channelDataHeader
	}
	return 0
}

// askAt adds an ASK that names relayed addresses of ours, in place of one that waits for
// its answer.
func (m *serverChannel) askAt(vpn netip.Addr, at []punch.Candidate) {
	m.requests = slices.DeleteFunc(m.requests, func(r *request) bool { return r.msg.Type == channel.Ask && r.vpn() == vpn })
	m.ask(channel.Ask, vpn)
	if n := len(m.requests); n > 0 && m.requests[n-1].vpn() == vpn {
		m.requests[n-1].msg.Candidates = at
	}
}
