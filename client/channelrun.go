package client

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
	"campagnol/tunnel/handshake"
)

// channelConfig returns what the settings say about the channel to an RDV.
func (c *Client) channelConfig(r *rendezvous) channelConfig {
	cfg := channelConfig{
		auth:      c.set.Auth,
		jitter:    c.cfg.Jitter,
		patience:  r.patience(),
		elsewhere: func(now time.Time, o channel.Object) bool { return c.fetching(now, o, r) },
		register: channel.Message{
			Type: channel.Register, VPN: c.own(), Software: c.set.Software,
			NAT: c.nat, Candidates: c.candidates(), Scopes: c.set.Scopes, Relays: c.set.RelayFor,
		},
	}
	if c.set.Objects != nil {
		cfg.has = c.set.Objects.Has
	}
	known, name := c.set.ServerKnown, r.name
	cfg.known = func() bool { return known != nil && known(name) }
	if a := c.set.LocalAddr; a.IsValid() && a.Port() != 0 && !a.Addr().IsUnspecified() {
		cfg.register.Endpoints = []netip.AddrPort{a}
	}
	cfg.register.Fit()
	return cfg
}

// applyToChannel gives the channel to an RDV new settings, in place of old ones: the
// RDV's certificate has to be good under them, and what we say of ourselves has to be
// true.
func (c *Client) applyToChannel(now time.Time, r *rendezvous, old *Settings) {
	if !r.server.on() {
		return
	}
	c.verifyServerAgain(now, r)
	if !bytes.Equal(leafOf(old), leafOf(&c.set)) {
		c.perform(now, r, r.server.renew(now, c.channelConfig(r), nil))
	} else {
		c.perform(now, r, r.server.update(now, c.channelConfig(r), nil))
	}
	c.perform(now, r, r.server.reconsider(now, nil))
}

// leafOf returns the certificate that settings make us show.
func leafOf(s *Settings) []byte {
	if len(s.Certificate.Certificate) == 0 {
		return nil
	}
	return s.Certificate.Certificate[0]
}

// lookForChannel knocks when a round of the registration in clear begins or fails:
// the RDV may be another one now, or want no HELLO; and when it succeeds where KNOCKs
// did not.
func (c *Client) lookForChannel(now time.Time, r *rendezvous, ev regEvent) {
	switch ev {
	case regTrying, regRefused, regFailed:
		c.perform(now, r, r.server.look(now, nil))
	case regDone:
		c.perform(now, r, r.server.helloDone(now, nil))
	}
}

// tellChannel tells the RDV something about a peer over the channel.
func (r *rendezvous) tellChannel(t wire.Type, vpn netip.Addr) {
	switch {
	case t == wire.Ask:
		r.server.ask(channel.Ask, vpn)
	case t == wire.Close && r.server.stands():
		r.server.ask(channel.Finished, vpn)
	}
}

// handleChannel takes a datagram from an address of an RDV, nil if that is not on, that
// is one of the gate or has records. It came over a stream or, if conn is nil, by UDP.
func (c *Client) handleChannel(now time.Time, r *rendezvous, conn punch.Conn, from netip.AddrPort, b []byte) {
	switch {
	case r == nil:
		c.drops.Add(tunnel.DropNoPeer)
	case wire.KindOf(b) == wire.KindGate:
		g, err := wire.ParseGate(b)
		if err != nil {
			c.drops.Add(tunnel.DropInvalid)
			return
		}
		c.log.Debug("<< gate", "type", gateNames[g.Type], "from", from)
		c.checker.heardGate(g, from, r.server.state == chanKnocking && conn == nil && r.server.by == nil)
		c.perform(now, r, r.handleGate(now, conn, from, g))
	default:
		out, d := r.receive(now, conn, from, b)
		c.drops.Add(d)
		c.perform(now, r, out)
	}
}

// gateNames are the gate's messages in the log.
var gateNames = [...]string{wire.Knock: "KNOCK", wire.Cookie: "COOKIE", wire.Admit: "ADMIT", wire.Wait: "WAIT", wire.Closed: "CLOSED"}

// perform does what the machine of the channel to an RDV wants to be done.
func (c *Client) perform(now time.Time, r *rendezvous, outs []chanOut) {
	for i := range outs {
		o := &outs[i]
		more, done := r.perform(now, o, nil)
		if !done {
			c.performOwn(now, r, o)
		}
		c.perform(now, r, more)
	}
}

// performOwn does what is no affair of the channel alone.
func (c *Client) performOwn(now time.Time, r *rendezvous, o *chanOut) {
	switch o.act {
	case actClear:
		r.reg.start(now)
	case actQuiet:
		r.reg.hold()
	case actPeer:
		c.log.Debug("<< PEER", "peer", o.vpn, "authentic", o.msg.Authentic, "server", r.at)
		c.handlePeer(now, r, o.vpn, &o.msg)
		c.introducedBy(now, r, o.msg.NAT, o.msg.VPN...)
	case actIntroduce:
		c.log.Debug("<< INTRODUCE", "peer", o.vpn, "authentic", o.msg.Authentic, "server", r.at)
		c.handleIntroduce(now, &o.msg)
		c.introducedBy(now, r, o.msg.NAT, o.msg.VPN...)
	case actReject:
		if o.msg.Reason != channel.Unknown {
			c.refuse(now, o.vpn, r.at, &RefusedError{o.msg.Reason, o.msg.Text})
		}
		c.handleAgainst(now, r, o.vpn, rejection(&o.msg))
	case actList:
		if !c.handleCensus(now, r, o.id, &o.msg) {
			c.handleList(now, r, &o.msg)
		}
	case actRelayed:
		c.handleRelayed(now, r, o.vpn, &o.msg)
	case actObject:
		c.takeObject(r, o.object, o.data)
	case actAnswer:
		c.answerAsking(now, r, o.id, o.data, o.err)
	default:
		c.reportChannel(now, r, o)
		c.noteChannel(now, r, o)
	}
}

// takeObject hands an object to the store, outside of control.
func (c *Client) takeObject(r *rendezvous, o channel.Object, data []byte) {
	store, server := c.set.Objects, r.server
	if store == nil { // the settings have changed
		return
	}
	c.wg.Go(func() {
		select { // one after the other, wherever they come from
		case c.storing <- struct{}{}:
		case <-c.ctx.Done():
			return
		}
		err := store.Take(o, data)
		<-c.storing
		taken := func(now time.Time) {
			if r.server == server {
				c.perform(now, r, server.taken(now, o, err, nil))
			}
			if err != nil { // its hash is right: no other RDV has a better one
				c.shunObject(now, r, o)
			}
		}
		select {
		case c.calls <- taken:
		case <-c.ctx.Done():
		}
	})
}

// shunObject leaves an object of no use alone that other RDVs than r have, too.
func (c *Client) shunObject(now time.Time, r *rendezvous, o channel.Object) {
	for _, q := range c.servers.rdvs {
		if q != r && q.on {
			q.server.shun(now, o)
		}
	}
}

// fetching reports whether an object is being fetched from another RDV than r.
func (c *Client) fetching(now time.Time, o channel.Object, r *rendezvous) bool {
	return c.anyServer(func(q *rendezvous) bool { return q != r && q.server.isFetching(now, o) })
}

// handleShaken takes the end of a handshake with an RDV.
func (c *Client) handleShaken(now time.Time, e shakeEnd) {
	i := slices.IndexFunc(c.servers.rdvs, func(r *rendezvous) bool { return r.shaking == e.run })
	if i < 0 {
		return // abandoned meanwhile
	}
	r := c.servers.rdvs[i]
	r.abandon()
	l, err := e.link()
	if err == nil && e.run.under != c.changes { // the RDV was accepted under other settings
		l.server, err = c.set.VerifyServer(now, l.chain)
	}
	if err != nil {
		c.perform(now, r, r.server.handshaken(now, nil, err, nil))
		return
	}
	c.perform(now, r, r.server.handshaken(now, l, nil, nil))
	for _, rec := range e.run.hs.Early() {
		out, d := r.receive(now, e.run.by, r.at, rec)
		c.drops.Add(d)
		c.perform(now, r, out)
	}
}

// reportChannel logs what the channel to an RDV has to say.
func (c *Client) reportChannel(now time.Time, r *rendezvous, o *chanOut) {
	server := r.at
	switch o.act {
	case actTrying:
		c.reportRegistration(now, r, regTrying)
	case actSilent:
		c.reportRegistration(now, r, regSilent)
	case actBack:
		c.reportRegistration(now, r, regBack)
	case actUp:
		l := o.link
		r.said = nil
		c.restartRoster(now, r)
		c.registeredAt(now, r, l)
		c.turn.askAgain(r)
		if remember := c.set.RememberServer; remember != nil {
			id, name := l.server, r.name
			c.wg.Go(func() { remember(name, id) })
		}
		c.reportTransport(r, l)
		if !o.fresh {
			c.log.Debug("The channel to the RDV server is a new one", "server", server)
			return
		}
		c.log.Info("Registration complete", "server", server, "certificate", l.server.Name, "cipher", l.suite.String())
		c.notify(Event{Kind: EventRegistered, Name: l.server.Name, Addr: server})
	case actDown:
		attrs := c.refuse(now, netip.Addr{}, server, o.err)
		c.log.Warn("The channel to the RDV server has ended", append([]any{"server", server, "err", o.err,
			"hint", "open tunnels stay; trying again"}, attrs...)...)
		c.notify(Event{Kind: EventUnregistered, Addr: server, Reason: o.err.Error()})
	case actUseless:
		c.log.Warn("The RDV server has sent something else than it announced", "server", server, "kind", kindName(o.object.Kind))
	case actRefused:
		attrs := c.refuse(now, netip.Addr{}, server, o.err)
		if r.said.first(o.err) {
			attrs = append([]any{"server", server, "err", o.err, "hint", c.channelHint(o.err)}, attrs...)
			c.log.Warn("No authenticated channel to the RDV server", attrs...)
		}
	}
}

// once reports whether a reason for which something cannot be done is to be logged.
func (c *Client) once(why error) bool { return c.said.first(why) }

// channelHint says what can be done about the lack of a channel.
func (c *Client) channelHint(err error) string {
	var own interface{ Hint() string }
	var refused *RefusedError
	var alert *handshake.AlertError
	switch {
	case errors.As(err, &own) && own.Hint() != "":
		return own.Hint()
	case errors.Is(err, errNoChannel) && c.set.Auth == AuthYes:
		return "give the server a certificate (campagnol ca issue NAME --rdv), or set rdv_auth = auto here; trying again"
	case errors.Is(err, errNoChannel), errors.Is(err, errNoKnock) && c.set.Auth == AuthAuto:
		return "it had one, so that we do not register in clear; if it is to have none any more, run: campagnol forget --rdv"
	case errors.As(err, &refused) && refused.Reason == channel.NotYours:
		return "issue a certificate with this address: campagnol ca issue NAME" + c.ownOptions()
	case errors.As(err, &refused) && refused.Reason == channel.Taken:
		return "another client may hold this VPN address; trying again"
	case errors.As(err, &alert):
		return "the server may have refused our certificate: its log says why; trying again"
	}
	return "trying again"
}
