package client

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/rdv/wire"
	"campagnol/tunnel"
)

// claims is who has which address and which network: the sessions whose certificates
// name it claim it, and one of them holds it. Packets for it go to the holder, and
// only the holder may send any from it.
//
// Of several that claim the same, the one with the newest certificate is the holder,
// of equals the one who came first. A longer network within another is not the same:
// it is more specific, and goes before (RFC 1812 section 5.2.4.3).
//
// A network is held by nobody while it contains an address that the tunnels
// themselves use: the RDV's, a peer's or our own. Packets to it would go round in
// circles.
type claims struct {
	by       map[netip.Prefix]*claim // an address is a network of one
	networks map[netip.Prefix]*claim // those of by that are behind a peer
	under    map[netip.Addr]int      // addresses below the tunnels, and how often they are used
	asleep   int                     // networks without a claimant
	losers   []*peer                 // who have lost their own address; decide adds them
	moved    bool                    // who is the gateway of a network has changed; decide notes it
}

// A claim is an address, or a network behind a peer.
type claim struct {
	peers  []*peer // in the order in which they came
	holder *peer   // nil: nobody

	// Of a network:
	blocked int        // addresses below the tunnels in it
	gateway netip.Addr // who had it last: with the next packet it is asked for
	name    string     // of that one's certificate
	shown   Shown      // by which it had it
}

// maxAsleep is how many networks are remembered whose gateway has no tunnel.
const maxAsleep = 1024

func newClaims() claims {
	return claims{by: map[netip.Prefix]*claim{}, networks: map[netip.Prefix]*claim{}, under: map[netip.Addr]int{}}
}

// single returns an address as a network of one.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// holderOf returns the peer with a session that has a VPN address, or nil.
func (s *claims) holderOf(vpn netip.Addr) *peer {
	if cl := s.by[single(vpn)]; cl != nil {
		return cl.holder
	}
	return nil
}

// before returns a peer with a session that p, who comes as id, must not take the
// address of p from; nil: there is none. One that does not hold the address counts,
// too: the holder may go. It may be p itself, as it is with an open session: its
// place is not for an older certificate with another key.
func (s *claims) before(p *peer, id *Identity) *peer {
	if cl := s.by[single(p.vpn)]; cl != nil {
		for _, q := range cl.peers {
			if q != p && !id.beats(&q.id) || q == p && id.Key != q.id.Key && id.Issued.Before(q.id.Issued) {
				return q
			}
		}
	}
	return nil
}

// holds reports whether p holds k.
func (s *claims) holds(p *peer, k netip.Prefix) bool {
	cl := s.by[k]
	return cl != nil && cl.holder == p
}

// held returns what p holds, of what it claims and in that order.
func (s *claims) held(p *peer) []netip.Prefix {
	var ks []netip.Prefix
	for _, k := range p.claims {
		if s.holds(p, k) {
			ks = append(ks, k)
		}
	}
	return ks
}

// add notes that p claims k, a network behind it or an address of it.
func (s *claims) add(k netip.Prefix, p *peer, network bool) {
	cl := s.by[k]
	if cl == nil {
		cl = &claim{}
		s.by[k] = cl
		if network {
			s.networks[k] = cl
			for a := range s.under {
				if k.Contains(a) {
					cl.blocked++
				}
			}
		}
	} else if len(cl.peers) == 0 {
		s.asleep--
	}
	if !slices.Contains(cl.peers, p) {
		cl.peers = append(cl.peers, p)
	}
}

// remove notes that p no longer claims k. If it is to be remembered, since only the
// session has ended, the gateway of a network comes back with the next packet for it.
func (s *claims) remove(k netip.Prefix, p *peer, remember bool) {
	cl := s.by[k]
	cl.peers = slices.DeleteFunc(cl.peers, func(q *peer) bool { return q == p })
	switch {
	case len(cl.peers) > 0:
	case remember && s.networks[k] != nil && cl.gateway.IsValid() && s.asleep < maxAsleep:
		s.asleep++
	default:
		s.forget(k)
	}
}

// forget removes all of k.
func (s *claims) forget(k netip.Prefix) {
	delete(s.by, k)
	delete(s.networks, k)
}

// use notes that an address is used below the tunnels, once more or once less, and
// returns the networks for which that makes a difference.
func (s *claims) use(a netip.Addr, more bool) (changed []netip.Prefix) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return nil
	}
	step := -1
	if more {
		step = 1
	}
	before := s.under[a]
	if s.under[a] += step; s.under[a] == 0 {
		delete(s.under, a)
	}
	if before > 0 && s.under[a] > 0 {
		return nil
	}
	for k, cl := range s.networks {
		if k.Contains(a) {
			cl.blocked += step
			changed = append(changed, k)
		}
	}
	return changed
}

// best returns who is to hold what cl is about.
func (cl *claim) best() *peer {
	if cl.blocked > 0 || len(cl.peers) == 0 {
		return nil
	}
	best := cl.peers[0]
	for _, q := range cl.peers[1:] {
		if q.id.beats(&best.id) {
			best = q
		}
	}
	return best
}

// claim makes id what p claims, in place of what it did, and returns tab with the
// ways that follow from it. The zero Identity is that of a session that has ended.
// Whoever publishes the table calls closeLosers then.
func (c *Client) claim(tab *table, p *peer, id Identity) *table {
	before := p.claims
	p.id, p.claims = id, nil
	for _, a := range id.Addrs {
		p.claims = append(p.claims, single(a))
	}
	p.claims = append(p.claims, id.Routes...)
	for i, k := range p.claims {
		c.claims.add(k, p, i >= len(id.Addrs))
	}
	ended := len(id.Addrs) == 0
	all := slices.Clone(p.claims)
	for _, k := range before {
		if !slices.Contains(p.claims, k) {
			c.claims.remove(k, p, ended && c.set.AcceptRoutes)
			all = append(all, k)
		}
	}
	tab = c.decide(tab, all)
	if !ended { // what it had before, and its certificate no longer names
		tab = c.forgetAsleep(tab, p.vpn)
	}
	c.setSources(p)
	for _, k := range p.claims {
		if !slices.Contains(before, k) {
			c.reportClaim(p, k)
		}
	}
	return tab
}

// decide finds out who holds each of ks, and returns tab with the ways to them.
//
// Each change of who is the gateway of a network passes here, on the control
// goroutine; reportGateways passes it on.
func (c *Client) decide(tab *table, ks []netip.Prefix) *table {
	moved := map[*peer]bool{} // who holds more or less than before
	for _, k := range ks {
		cl := c.claims.by[k]
		if cl == nil {
			c.claims.moved = true // it may have been a network
			tab = tab.without(k)
			continue
		}
		c.claims.moved = c.claims.moved || c.claims.networks[k] != nil
		old := cl.holder
		cl.holder = cl.best()
		if old != cl.holder {
			moved[old], moved[cl.holder] = true, true
			if old != nil && k == single(old.vpn) && slices.Contains(old.claims, k) {
				c.claims.losers = append(c.claims.losers, old)
			}
		}
		switch h := cl.holder; {
		case c.claims.networks[k] == nil && h == nil, cl.blocked > 0:
			tab = tab.without(k)
		case c.claims.networks[k] == nil:
			tab = tab.withRoute(k.Addr(), h.way)
		default:
			if h != nil {
				cl.gateway, cl.name, cl.shown = h.vpn, h.id.Name, h.shown()
			}
			tab = tab.withNetwork(k, h.route(), cl.gateway)
		}
	}
	for p := range moved {
		if p != nil {
			c.setSources(p)
		}
	}
	return tab
}

// route returns the way of packets for p; nil: there is no p, or none.
func (p *peer) route() *route {
	if p == nil {
		return nil
	}
	return p.way
}

// setWay makes way that of all packets for p, in tab.
func (c *Client) setWay(tab *table, p *peer, way *route) *table {
	p.way = way
	return c.decide(c.withWay(tab, p), p.claims)
}

// setSources tells p's sessions from where p may send: from what it holds.
func (c *Client) setSources(p *peer) {
	held := slices.DeleteFunc(c.claims.held(p), func(k netip.Prefix) bool { return k == single(p.vpn) })
	set, ip6 := tunnel.NewSources(held), slices.ContainsFunc(held, c.isAddr6)
	for _, s := range []*tunnel.Session{p.session, p.old, p.rekey.fresh} {
		if s != nil {
			s.SetSources(set)
			s.SetIPv6(ip6)
		}
	}
}

// moveTo notes that p's session has its path to addr, and returns tab with what
// follows for networks; the zero Addr means that there is none.
func (c *Client) moveTo(tab *table, p *peer, addr netip.Addr) *table {
	if p.under == addr {
		return tab
	}
	tab = c.below(tab, p.under, addr)
	p.under = addr
	return tab
}

// below notes that an address is used below the tunnels instead of another one.
func (c *Client) below(tab *table, old, next netip.Addr) *table {
	changed := c.claims.use(next, true)
	if old.IsValid() {
		changed = append(changed, c.claims.use(old, false)...)
	}
	for _, k := range changed {
		if cl := c.claims.by[k]; cl.blocked > 0 && cl.holder != nil {
			c.log.Warn("Network behind peer is not used, since an address in it is that of this host, of a tunnel or of the RDV server",
				"peer", cl.holder.vpn, "name", cl.holder.id.Name, "network", k, "addr", next)
		}
	}
	return c.decide(tab, changed)
}

// reportClaim logs if another session claims what p does.
func (c *Client) reportClaim(p *peer, k netip.Prefix) {
	cl := c.claims.by[k]
	for _, q := range cl.peers {
		switch {
		case q == p || q.id.Key == p.id.Key || cl.holder == nil:
		case cl.holder == p:
			c.log.Warn("Two peers claim the same, and the newer certificate has it", "network", k,
				"peer", p.vpn, "name", p.id.Name, "other", q.vpn, "other_name", q.id.Name)
		case cl.holder == q:
			c.log.Warn("Two peers claim the same, and it stays with the one whose certificate is not older", "network", k,
				"peer", q.vpn, "name", q.id.Name, "other", p.vpn, "other_name", p.id.Name)
		}
	}
	if cl.blocked > 0 {
		c.log.Warn("Network behind peer is not used, since an address in it is that of this host, of a tunnel or of the RDV server",
			"peer", p.vpn, "name", p.id.Name, "network", k)
	}
}

// closeLosers ends the sessions of peers whose own address is that of another now.
func (c *Client) closeLosers(now time.Time) {
	losers := c.claims.losers
	c.claims.losers = nil
	for _, q := range losers {
		if q.session == nil || c.claims.holds(q, single(q.vpn)) {
			continue
		}
		c.log.Warn("Closing DTLS connection with peer", "peer", q.vpn, "name", q.id.Name,
			"reason", "a newer certificate has its address")
		c.tell(wire.Close, q.vpn)
		q.ending = "a newer certificate has its address"
		c.closeSession(now, q)
		c.settle(q)
	}
}

// identifyAgain makes p's session carry what settings say now that its certificate
// stands for.
func (c *Client) identifyAgain(now time.Time, p *peer) {
	id, _ := c.identify(now, p, p.session.Certificates())
	c.publish(c.claim(c.table.Load(), p, id))
	c.closeLosers(now)
}

// forgetAsleep returns tab without the networks whose gateways have no tunnel:
// those of one peer, or all if vpn is the zero Addr.
func (c *Client) forgetAsleep(tab *table, vpn netip.Addr) *table {
	for k, cl := range c.claims.networks {
		if len(cl.peers) == 0 && (cl.gateway == vpn || !vpn.IsValid()) {
			tab = c.forgetNetwork(tab, k)
		}
	}
	return tab
}

// forgetNetwork returns tab without a network whose gateway has no tunnel.
func (c *Client) forgetNetwork(tab *table, k netip.Prefix) *table {
	c.claims.asleep--
	c.claims.forget(k)
	c.claims.moved = true
	return tab.without(k)
}
