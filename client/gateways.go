package client

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

// A Gateway is a peer behind which there are networks that are reached through it. It
// need not have a session: a packet to one of them opens one.
type Gateway struct {
	Name     string         // of its certificate, for people
	Networks []netip.Prefix // in order
	Shown                   // by what certificate it has them
}

// reportGateways tells the configuration's owner who the gateways are, if that has
// changed.
func (c *Client) reportGateways() {
	if c.cfg.Gateways == nil || !c.claims.moved {
		return
	}
	c.claims.moved = false
	if list := c.claims.gateways(); !slices.EqualFunc(list, c.gateways, Gateway.equal) {
		c.gateways = list
		c.cfg.Gateways(list)
	}
}

// equal reports whether nothing about a gateway has changed.
func (g Gateway) equal(o Gateway) bool {
	return g.VPNAddr == o.VPNAddr && g.Name == o.Name && g.Server == o.Server && slices.Equal(g.Networks, o.Networks) &&
		slices.EqualFunc(g.Chain, o.Chain, slices.Equal)
}

// gateways returns who the gateways are, in the order of their addresses. A network
// that nobody holds because of an address in it is not among theirs.
func (s *claims) gateways() []Gateway {
	by := map[netip.Addr]*Gateway{}
	for k, cl := range s.networks {
		if cl.blocked > 0 || !cl.gateway.IsValid() {
			continue
		}
		g := by[cl.gateway]
		if g == nil {
			g = &Gateway{Name: cl.name, Shown: cl.shown}
			by[cl.gateway] = g
		}
		g.Networks = append(g.Networks, k)
	}
	list := make([]Gateway, 0, len(by))
	for _, g := range by {
		slices.SortFunc(g.Networks, netip.Prefix.Compare)
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b Gateway) int { return a.VPNAddr.Compare(b.VPNAddr) })
	return list
}

// Recall makes networks known whose gateways were seen by an earlier client: a packet
// to one opens a session with its gateway. It takes what Verify accepts, of certificates
// as they were reported to Config.Gateways, and nothing without AcceptRoutes. What a
// session says counts more.
func (c *Client) Recall(ctx context.Context, seen []Shown) error {
	return c.do(ctx, func(now time.Time) { c.recall(now, seen) })
}

func (c *Client) recall(now time.Time, seen []Shown) {
	if !c.set.AcceptRoutes {
		return
	}
	type known struct {
		shown Shown
		id    Identity
	}
	var good []known
	for _, s := range seen {
		if !s.VPNAddr.Is4() || !c.mayBePeer(s.VPNAddr) || len(s.Chain) == 0 {
			continue
		}
		if err := c.set.Verify(now, s.VPNAddr, s.Chain, s.Server); err != nil {
			c.log.Info("Networks of a former gateway are forgotten", "peer", s.VPNAddr, "err", err)
			continue
		}
		id, _ := c.identify(now, &peer{vpn: s.VPNAddr}, s.Chain)
		good = append(good, known{s, id})
	}
	// Of two for the same network the newer certificate has it, as among sessions.
	slices.SortStableFunc(good, func(a, b known) int { return b.id.Issued.Compare(a.id.Issued) })
	tab := c.table.Load()
	for _, g := range good {
		if c.claims.holderOf(g.shown.VPNAddr) != nil {
			continue // it says itself what is behind it
		}
		var added []netip.Prefix
		for _, k := range g.id.Routes {
			if c.claims.recall(k, &g.shown, g.id.Name) {
				added = append(added, k)
			}
		}
		tab = c.decide(tab, added)
	}
	c.publish(tab)
}

// recall notes who is the gateway of a network that nobody claims, and reports
// whether it is new.
func (s *claims) recall(k netip.Prefix, shown *Shown, name string) bool {
	if s.by[k] != nil || s.asleep >= maxAsleep {
		return false
	}
	s.add(k, nil, true)
	cl := s.by[k]
	cl.peers, cl.gateway, cl.shown, cl.name = nil, shown.VPNAddr, *shown, name
	s.asleep++
	return true
}

// verifyAsleep forgets the networks of gateways without a session whose certificates
// are no longer good.
func (c *Client) verifyAsleep(now time.Time) {
	good := map[netip.Addr]bool{}
	tab := c.table.Load()
	for k, cl := range c.claims.networks {
		if len(cl.peers) > 0 || len(cl.shown.Chain) == 0 {
			continue
		}
		yes, known := good[cl.gateway]
		if !known {
			err := c.set.Verify(now, cl.gateway, cl.shown.Chain, cl.shown.Server)
			if yes = err == nil; !yes {
				c.log.Warn("Networks behind a peer are no longer reached", "peer", cl.gateway, "name", cl.name, "err", err)
			}
			good[cl.gateway] = yes
		}
		if !yes {
			tab = c.forgetNetwork(tab, k)
		}
	}
	c.publish(tab)
}

// RecheckGateways asks Verify again about gateways without a session. What is behind
// those that are refused now is no longer reached.
func (c *Client) RecheckGateways(ctx context.Context) error {
	return c.do(ctx, c.verifyAsleep)
}
