package client

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
	"campagnol/punch/nat"
)

// Offer makes list the candidates of ours that a source has found, in place of those
// that it had found before. Peers learn of them from the RDV. Sources are named by who
// calls this; a list may be empty.
func (c *Client) Offer(ctx context.Context, source string, list []punch.Candidate) error {
	return c.do(ctx, func(now time.Time) {
		if slices.Equal(c.offers[source], list) {
			return
		}
		if c.offers == nil {
			c.offers = map[string][]punch.Candidate{}
		}
		c.offers[source] = slices.Clone(list)
		c.registerAgain(now)
	})
}

// SetNAT sets how our way to the Internet behaves, for one who knows it: it is not
// examined any more.
func (c *Client) SetNAT(ctx context.Context, b nat.Behaviour) error {
	return c.do(ctx, func(now time.Time) {
		c.checker.told = true
		if c.nat != b {
			c.nat = b
			c.registerAgain(now)
		}
	})
}

// Moved tells that this host may be elsewhere now: an address or a route of it has
// changed, or it has slept. The RDV is asked at once whether it still knows us where
// we are, and all sessions in use find out whether their paths still lead anywhere.
// why is for the log.
func (c *Client) Moved(ctx context.Context, why string) error {
	return c.do(ctx, func(now time.Time) {
		c.log.Info("This host's way to the network may have changed; looking at all paths", "reason", why)
		for _, r := range c.servers.rdvs {
			if r.on {
				r.fall.moved(now)
				c.perform(now, r, r.server.moved(now, nil))
				r.reg.moved(now)
			}
		}
		c.doubtPaths(now)
	})
}

// doubt makes the next look at a session one after which its peer may be missing.
func (pl *pulse) doubt(now time.Time) {
	pl.next = now
	pl.at = now.Add(probeInterval)
}

// moved makes the registration in clear show at once whether the RDV knows us where we
// are: it answers a PING of a stranger with RECONNECT, whereupon we say HELLO.
func (r *registration) moved(now time.Time) {
	switch r.state {
	case regWaiting:
		r.backoff = backoffMin
		r.next = now
	case regRegistered:
		r.next = now
	}
}

// registerAgain tells the RDV what has changed about where we are.
func (c *Client) registerAgain(now time.Time) {
	for _, r := range c.servers.rdvs {
		if r.server.on() {
			c.perform(now, r, r.server.update(now, c.channelConfig(r), nil))
		}
	}
}

// candidates returns where we can be reached, each place once, the most useful first:
// what is left out if there are too many is what the RDV sees by itself.
func (c *Client) candidates() []punch.Candidate {
	list := slices.Clone(c.set.Configured)
	list = append(list, c.seenStreams()...)
	for _, source := range slices.Sorted(maps.Keys(c.offers)) {
		list = append(list, c.offers[source]...)
	}
	rank := func(k punch.CandidateKind) int {
		return slices.Index([]punch.CandidateKind{punch.Configured, punch.Mapped, punch.Host, punch.Stream, punch.Observed}, k)
	}
	slices.SortStableFunc(list, func(a, b punch.Candidate) int { return cmp.Compare(uint(rank(a.Kind)), uint(rank(b.Kind))) })
	var once []punch.Candidate
	for _, a := range list {
		if !slices.ContainsFunc(once, func(b punch.Candidate) bool {
			return a.Addr == b.Addr && a.Scope == b.Scope && (a.Kind == punch.Stream) == (b.Kind == punch.Stream)
		}) {
			once = append(once, a)
		}
	}
	return once
}

// usableOf returns those of a peer's candidates that are worth a try, the likeliest
// first. The RDV tells endpoints, the last of which is where it sees the peer and those
// before it where the peer says that it is in its own network; and candidates, which
// are the peer's word. A hostile peer must not make us knock at many doors, nor at
// strange ones.
func (c *Client) usableOf(endpoints []netip.AddrPort, candidates []punch.Candidate) []punch.Candidate {
	var list []punch.Candidate
	for i, e := range endpoints {
		n := punch.Candidate{Addr: e, Kind: punch.Host}
		if i == len(endpoints)-1 {
			n.Kind = punch.Observed
		}
		if c.usable(e) && c.reaches(e.Addr().Unmap()) && (n.Kind == punch.Observed || !c.isOwn(e)) {
			list = append(list, n)
		}
	}
	streams := 0
	for _, n := range candidates {
		if n.Kind == punch.Stream { // see streamsOf
			streams++
		} else if c.mayTry(n) {
			list = append(list, n)
		}
	}
	chosen := punch.Choose(list)
	if n := len(endpoints) + len(candidates) - streams - len(chosen); n > 0 {
		c.log.Debug("Some places where the peer may be are not tried", "count", n)
	}
	return chosen
}

// mayTry reports whether a candidate is one that we can and may try: the address of
// another host below the tunnels, in a network that we can reach.
func (c *Client) mayTry(n punch.Candidate) bool {
	a := n.Addr.Addr()
	switch {
	case !c.usable(n.Addr), !c.reaches(a.Unmap()), a.IsLinkLocalUnicast(), a.IsLoopback():
		return false
	case n.Scope != "" && !slices.Contains(c.set.Scopes, n.Scope), n.Kind == punch.Relayed && c.set.RelayNever:
		return false
	case c.isOwn(n.Addr), c.cfg.Network.Contains(a.Unmap()), c.cfg.Network6.Contains(a):
		return false
	}
	way, gateway := c.table.Load().lookup(a.Unmap())
	return way == nil && !gateway.IsValid() // else it would be asked for through a tunnel
}

// isOwn reports whether an address is where we are.
func (c *Client) isOwn(a netip.AddrPort) bool {
	return a == c.set.LocalAddr || slices.ContainsFunc(c.candidates(), func(n punch.Candidate) bool { return n.Addr == a && n.Kind == punch.Host })
}
