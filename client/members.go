package client

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

// Roster returns the VPN addresses of the members that the RDVs have listed last, and
// false if none lists them, or nobody here wants to know: a client that keeps tunnels to
// all does.
func (c *Client) Roster(ctx context.Context) (list []netip.Addr, listed bool, err error) {
	err = c.do(ctx, func(time.Time) {
		if c.eth != nil && c.eth.roster.lists > 0 {
			list, listed = slices.Clone(c.eth.roster.members), true
		}
	})
	return list, listed, err
}
