package client

import (
	"cmp"
	"context"
	"maps"
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

// SetNAT sets how our way to the Internet behaves, as far as it is known.
func (c *Client) SetNAT(ctx context.Context, b nat.Behaviour) error {
	return c.do(ctx, func(now time.Time) {
		if c.nat != b {
			c.nat = b
			c.registerAgain(now)
		}
	})
}

// registerAgain tells the RDV what has changed about where we are.
func (c *Client) registerAgain(now time.Time) {
	if c.server.on() {
		c.perform(now, c.server.renew(now, c.channelConfig(), nil))
	}
}

// candidates returns where we can be reached, each place once, in the order of kinds.
func (c *Client) candidates() []punch.Candidate {
	var list []punch.Candidate
	for _, source := range slices.Sorted(maps.Keys(c.offers)) {
		list = append(list, c.offers[source]...)
	}
	slices.SortStableFunc(list, func(a, b punch.Candidate) int { return cmp.Compare(a.Kind, b.Kind) })
	var once []punch.Candidate
	for _, a := range list {
		if !slices.ContainsFunc(once, func(b punch.Candidate) bool { return a.Addr == b.Addr && a.Scope == b.Scope }) {
			once = append(once, a)
		}
	}
	return once
}
