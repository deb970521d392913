package client

import (
	"context"
	"net/netip"
	"time"
)

// Shown are the certificates that somebody has shown us with whom we are connected.
type Shown struct {
	VPNAddr netip.Addr // of the peer; the zero Addr for the RDV
	Chain   [][]byte   // DER, leaf first; must not be changed
	Server  bool       // it was the DTLS server
}

// Shown returns the certificates of all peers with a session, and of the RDVs to
// which there is a channel.
func (c *Client) Shown(ctx context.Context) (list []Shown, err error) {
	err = c.do(ctx, func(time.Time) {
		for _, p := range c.peersInOrder() {
			if p.session != nil {
				list = append(list, Shown{p.vpn, p.session.Certificates(), !p.server})
			}
		}
		for _, r := range c.servers.rdvs {
			if l := r.server.link; l != nil {
				list = append(list, Shown{Chain: l.chain, Server: true})
			}
		}
	})
	return list, err
}

// Recheck asks Verify again about every peer with a session, and VerifyServer about
// the RDVs. Those that are refused now lose session or channel, and what is behind
// those without a session.
func (c *Client) Recheck(ctx context.Context) error {
	return c.do(ctx, func(now time.Time) {
		for _, r := range c.servers.rdvs {
			c.verifyServerAgain(now, r)
		}
		for _, p := range c.peersInOrder() {
			if p.session != nil {
				c.verifyAgain(now, p)
				c.settle(p)
			}
		}
		c.verifyAsleep(now)
	})
}

// verifyServerAgain ends the channel to an RDV if its certificate is no longer good.
func (c *Client) verifyServerAgain(now time.Time, r *rendezvous) {
	l := r.server.link
	if l == nil {
		return
	}
	if _, err := c.set.VerifyServer(now, l.chain); err != nil {
		c.perform(now, r, r.server.lose(now, err, l.closeNotify(nil)))
	}
}
