package client

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"time"

	"campagnol/rdv/wire"
)

// Apply changes the settings of a running client. Sessions that the change does
// not touch stay open; those of peers whose certificates the new Verify refuses
// are closed. Another certificate is shown to peers with fresh keys for the sessions
// that are in use. At RDVs that are new, or if the published address has changed, the
// client registers anew; what it has at others goes on.
func (c *Client) Apply(ctx context.Context, s Settings) error {
	if err := s.check(); err != nil {
		return err
	}
	return c.do(ctx, func(now time.Time) { c.apply(now, s) })
}

// Restart closes every session and registers anew, with new settings, on the same
// socket and device.
func (c *Client) Restart(ctx context.Context, s Settings) error {
	if err := s.check(); err != nil {
		return err
	}
	return c.do(ctx, func(now time.Time) {
		c.goodbye(now)
		c.change(now, s)
		c.enlist(now, nil)
		c.enlistRelays(now)
	})
}

// do runs f on the control goroutine and waits for its end.
func (c *Client) do(ctx context.Context, f func(now time.Time)) error {
	done := make(chan struct{})
	select {
	case c.calls <- func(now time.Time) { f(now); close(done) }:
		<-done
		return nil
	case <-c.done:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) apply(now time.Time, s Settings) {
	old := c.set
	s = s.withDefaults()
	var keep []*rendezvous
	for _, r := range c.servers.rdvs {
		if c.staysAt(r, &s) {
			keep = append(keep, r)
		} else {
			c.leaveServer(now, r)
		}
	}
	c.change(now, s)
	c.enlist(now, keep)
	c.enlistRelays(now)
	for _, r := range keep {
		c.applyToChannel(now, r, &old)
	}
	c.verifyAsleep(now)
	replaced := !bytes.Equal(leafOf(&old), leafOf(&c.set))
	for _, p := range c.peersInOrder() {
		if p.session != nil {
			c.verifyAgain(now, p)
		}
		if replaced {
			p.rekey.shown = now
		}
		if old.RelayFor != c.set.RelayFor {
			c.tellAbilities(now, p)
		}
		c.keepThrough(now, p)
		if c.set.RelayOnly {
			c.dropStream(p)
		}
		if p.session != nil && c.isServer(p.at.Addr) {
			c.closeSession(now, p) // that is an RDV's place now
		}
		c.settle(p)
	}
}

// staysAt reports whether what we have at an RDV can go on under new settings.
func (c *Client) staysAt(r *rendezvous, s *Settings) bool {
	i := slices.IndexFunc(s.Servers, func(o Server) bool { return o.Name == r.name })
	switch {
	case i < 0, !slices.Contains(s.Servers[i].Addrs, r.at), c.set.Auth != s.Auth:
		return false
	case c.set.LocalAddr != s.LocalAddr && r.on && !r.reg.held():
		return false // an original server refuses a second HELLO with another address
	}
	return true
}

// change makes s the settings, for control and for the data path.
func (c *Client) change(now time.Time, s Settings) {
	old := c.set
	c.set = s.withDefaults()
	c.changes++
	tab := *c.table.Load()
	tab.servers, tab.channel, tab.multicast = waysTo(c.set.Servers), c.set.Auth != AuthNo, c.set.Multicast
	next := &tab
	if old.MaxRate != c.set.MaxRate || old.PeerRate != c.set.PeerRate || old.MTU != c.set.MTU {
		c.shape(now)
		for _, p := range c.peers {
			if p.session != nil {
				r := c.newRoute(now, p.session, p.at)
				r.limit = c.pathLimit(p)
				next = c.setWay(next, p, r)
			}
		}
	}
	next = c.relayAnew(c.settleOwn(next, old))
	if !c.set.AcceptRoutes {
		next = c.forgetAsleep(next, netip.Addr{})
	}
	c.publish(next)
}

// settleOwn notes which addresses this host and the RDVs have below the tunnels, in
// place of those of old settings, and returns tab with what follows for networks.
func (c *Client) settleOwn(tab *table, old Settings) *table {
	for _, a := range waysTo(c.set.Servers) {
		tab = c.below(tab, netip.Addr{}, a.Addr())
	}
	for _, a := range waysTo(old.Servers) {
		tab = c.below(tab, a.Addr(), netip.Addr{})
	}
	tab = c.below(tab, old.LocalAddr.Addr(), c.set.LocalAddr.Addr())
	for _, a := range c.set.HostAddrs {
		tab = c.below(tab, netip.Addr{}, a)
	}
	for _, a := range old.HostAddrs {
		tab = c.below(tab, a, netip.Addr{})
	}
	return tab
}

// shape makes a shaper for the rates in the settings, in place of the last one.
func (c *Client) shape(now time.Time) {
	if c.unshape != nil {
		c.unshape()
		c.unshape = nil
	}
	c.shaper = newShaper(now, c.cfg.Conn, &c.drops, c.set.MaxRate, c.set.PeerRate, c.set.MTU)
	if s := c.shaper; s != nil {
		var ctx context.Context
		ctx, c.unshape = context.WithCancel(c.ctx)
		c.wg.Go(func() { s.run(ctx) })
	}
}

// verifyAgain closes p's session if its certificate is no longer good.
func (c *Client) verifyAgain(now time.Time, p *peer) {
	err := c.set.Verify(now, p.vpn, p.session.Certificates(), !p.server)
	if err == nil {
		c.identifyAgain(now, p)
		c.filterAgain(p)
		return
	}
	attrs := append([]any{"peer", p.vpn, "err", err}, c.refusePeer(now, p.vpn, p.at.Addr, err)...)
	c.log.Warn("Closing DTLS connection with peer", attrs...)
	c.tell(wire.Close, p.vpn)
	p.ending, p.endCode = err.Error(), codeOf(err)
	c.closeSession(now, p)
	c.publish(c.forgetAsleep(c.table.Load(), p.vpn))
}
