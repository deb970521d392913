package client

import (
	"context"
	"net/netip"
	"time"

	"campagnol/rdv/wire"
)

// Disconnect closes the tunnel to the peer with a VPN address, or gives up opening one.
// It returns what there was, and false if that was nothing. The next packet for the peer,
// or of the peer for us, opens a tunnel again.
func (c *Client) Disconnect(ctx context.Context, vpn netip.Addr) (was PeerStatus, any bool, err error) {
	err = c.do(ctx, func(now time.Time) {
		p := c.peerFor(vpn.Unmap())
		if p == nil {
			return
		}
		was, any = c.statusOf(p), true
		c.disconnect(now, p)
	})
	return was, any, err
}

// disconnect ends session and try with p.
func (c *Client) disconnect(now time.Time, p *peer) {
	c.log.Info("Closing DTLS connection with peer", "peer", p.vpn, "reason", "asked to")
	if p.session != nil || p.try.attempt != nil { // an RDV has introduced us
		c.tell(wire.Close, p.vpn)
	}
	if p.session != nil {
		p.ending = "this host was asked to"
		c.closeSession(now, p)
	}
	c.stopTry(p)
	c.settle(p)
}
