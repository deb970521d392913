package client

import (
	"time"

	"campagnol/tunnel"
	"campagnol/tunnel/filter"
	"campagnol/tunnel/segment"
)

// sweepInterval is how often flows that have ended are forgotten.
const sweepInterval = time.Minute

// permits reports whether the policy lets a packet of our host pass, and counts it
// if not. It is for the data path, too.
func (c *Client) permits(now time.Time, r *route, pkt []byte) bool {
	if r.session.Filter().Out(now, pkt) == filter.Pass {
		return true
	}
	c.drops.Add(tunnel.DropFilter)
	r.session.Stats().Filtered.Add(1)
	return false
}

// permitsContent is permits for what a session carries: packets, or frames with or
// without one.
func (c *Client) permitsContent(now time.Time, r *route, b []byte) bool {
	if !r.session.Frames() {
		return c.permits(now, r, b)
	}
	pkt, isIP := segment.Ethernet.Packet(b)
	return !isIP || c.permits(now, r, pkt)
}

// setFilter gives a session what the policy says about its packets. It must be
// done before the data path knows the session.
func (c *Client) setFilter(s *tunnel.Session) {
	if c.set.Filter != nil {
		s.SetFilter(c.flows.NewTable(c.set.Filter(s.Peer(), s.Certificates())))
	}
}

// filterAgain makes a tunnel obey changed settings. Flows that may go on do.
func (c *Client) filterAgain(p *peer) {
	if t := p.session.Filter(); t != nil {
		var f *filter.Filter
		if c.set.Filter != nil {
			f = c.set.Filter(p.vpn, p.session.Certificates())
		}
		t.Use(f)
		return
	}
	c.setFilter(p.session)
	for _, s := range []*tunnel.Session{p.old, p.rekey.fresh} { // with other keys of the tunnel
		if s != nil && p.session.Continues(s) {
			s.SetFilter(p.session.Filter())
		}
	}
}

// sweepFlows forgets flows that have ended, now and then.
func (c *Client) sweepFlows(now time.Time) {
	if now.Before(c.sweepAt) {
		return
	}
	c.flows.Sweep(now)
	c.sweepAt = now.Add(sweepInterval)
}
