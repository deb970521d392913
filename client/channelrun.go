package client

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
	"campagnol/tunnel/handshake"
)

// register begins to register, as the settings say.
func (c *Client) register(now time.Time) {
	c.reg = newRegistration(now, c.set.Server, c.hello(), c.cfg.Jitter)
	c.askNobody()
	c.server = newServerChannel(now, c.channelConfig())
	c.said = nil
	if c.server.on() {
		c.reg.hold()
	}
}

// channelConfig returns what the settings say about the channel.
func (c *Client) channelConfig() channelConfig {
	cfg := channelConfig{
		auth:   c.set.Auth,
		known:  c.set.ServerKnown,
		jitter: c.cfg.Jitter,
		register: channel.Message{
			Type: channel.Register, VPN: c.own(), Software: c.set.Software,
			NAT: c.nat, Candidates: c.candidates(),
		},
	}
	if c.set.Objects != nil {
		cfg.has = c.set.Objects.Has
	}
	if cfg.known == nil {
		cfg.known = func() bool { return false }
	}
	if a := c.set.LocalAddr; a.IsValid() && a.Port() != 0 && !a.Addr().IsUnspecified() {
		cfg.register.Endpoints = []netip.AddrPort{a}
	}
	return cfg
}

// leave tells the RDV that we do, in the way in which we are registered.
func (c *Client) leave(now time.Time) {
	if !c.reg.held() {
		c.post([]punch.Out{c.reg.bye()})
	}
	if c.server.stands() {
		c.log.Debug("Sending BYE")
	}
	c.perform(now, c.server.bye(nil))
	c.abandon()
}

// applyToChannel gives the channel new settings, in place of old ones of the same
// RDV: the RDV's certificate has to be good under them, and what we say of
// ourselves has to be true.
func (c *Client) applyToChannel(now time.Time, old *Settings) {
	if !c.server.on() {
		return
	}
	c.verifyServerAgain(now)
	if old.LocalAddr != c.set.LocalAddr || !bytes.Equal(leafOf(old), leafOf(&c.set)) {
		c.perform(now, c.server.renew(now, c.channelConfig(), nil))
	} else {
		c.server.cfg = c.channelConfig()
	}
	c.perform(now, c.server.reconsider(now, nil))
}

// leafOf returns the certificate that settings make us show.
func leafOf(s *Settings) []byte {
	if len(s.Certificate.Certificate) == 0 {
		return nil
	}
	return s.Certificate.Certificate[0]
}

// advanceRegistration does what is due for the registration, of either kind.
func (c *Client) advanceRegistration(now time.Time) {
	c.perform(now, c.server.advance(now, nil))
	var ev regEvent
	c.messages, ev = c.reg.advance(now, c.messages[:0])
	c.reportRegistration(now, ev)
	c.post(c.messages)
	c.lookForChannel(now, ev)
}

// lookForChannel knocks when a round of the registration in clear begins or fails:
// the RDV may be another one now, or want no HELLO.
func (c *Client) lookForChannel(now time.Time, ev regEvent) {
	switch ev {
	case regTrying, regRefused, regFailed:
		c.perform(now, c.server.look(now, nil))
	}
}

// tellChannel is tell for a client that is not registered in clear.
func (c *Client) tellChannel(t wire.Type, vpn netip.Addr) {
	switch {
	case t == wire.Ask:
		c.server.ask(channel.Ask, vpn)
	case t == wire.Close && c.server.stands():
		c.server.ask(channel.Finished, vpn)
	}
}

// handleChannel takes a datagram from the RDV's address that is one of the gate or
// has records.
func (c *Client) handleChannel(now time.Time, b []byte) {
	if wire.KindOf(b) == wire.KindGate {
		g, err := wire.ParseGate(b)
		if err != nil {
			c.drops.Add(tunnel.DropInvalid)
			return
		}
		c.log.Debug("<< gate", "type", gateNames[g.Type], "from", c.set.Server)
		c.perform(now, c.server.handleGate(now, g, nil))
		return
	}
	out, d := c.server.receive(now, b, nil)
	c.drops.Add(d)
	c.perform(now, out)
}

// gateNames are the gate's messages in the log.
var gateNames = [...]string{wire.Knock: "KNOCK", wire.Cookie: "COOKIE", wire.Admit: "ADMIT", wire.Wait: "WAIT", wire.Closed: "CLOSED"}

// perform does what the channel's machine wants to be done.
func (c *Client) perform(now time.Time, outs []chanOut) {
	for i := range outs {
		switch o := &outs[i]; o.act {
		case actSend:
			c.send(c.set.Server, o.data)
		case actBegin:
			c.shake(now, o.cookies)
		case actCookies:
			if c.shaking != nil {
				c.shaking.cookies.Store(&o.cookies)
			}
		case actShake:
			if c.shaking != nil {
				c.shaking.hs.Handle(o.data)
			}
		case actAbandon:
			c.abandon()
		case actClear:
			c.reg.start(now)
		case actQuiet:
			c.reg.hold()
		case actPeer:
			c.log.Debug("<< PEER", "peer", o.vpn, "authentic", o.msg.Authentic)
			c.handlePeer(now, o.vpn, &o.msg)
		case actIntroduce:
			c.log.Debug("<< INTRODUCE", "peer", o.vpn, "authentic", o.msg.Authentic)
			c.handleIntroduce(now, &o.msg)
		case actReject:
			if o.msg.Reason != channel.Unknown {
				c.refuse(now, o.vpn, &RefusedError{o.msg.Reason, o.msg.Text})
			}
			c.handleReject(now, o.vpn, rejection(&o.msg))
		case actList:
			c.handleList(now, &o.msg)
		case actObject:
			c.takeObject(o.object, o.data)
		case actAnswer:
			c.answerAsking(o.id, o.data, o.err)
		default:
			c.reportChannel(now, o)
		}
	}
}

// rejection returns why the RDV does not tell where a peer is.
func rejection(m *channel.Message) string {
	if m.Reason == channel.Unknown {
		return unknownPeer
	}
	return "the RDV server: " + (&RefusedError{m.Reason, m.Text}).Error()
}

// takeObject hands an object to the store, outside of control.
func (c *Client) takeObject(o channel.Object, data []byte) {
	store, server := c.set.Objects, c.server
	if store == nil { // the settings have changed
		return
	}
	c.wg.Go(func() {
		err := store.Take(o, data)
		taken := func(now time.Time) {
			if c.server == server {
				c.perform(now, server.taken(now, o, err, nil))
			}
		}
		select {
		case c.calls <- taken:
		case <-c.ctx.Done():
		}
	})
}

// shake begins the handshake with the RDV.
func (c *Client) shake(now time.Time, cookies []cookie) {
	c.abandon()
	r, err := startShaking(c.ctx, c.wg, shakeConfig{
		conn: c.cfg.Conn, server: c.set.Server, certificate: c.set.Certificate, verify: c.set.VerifyServer,
		suites: c.set.Suites, log: c.log, ended: c.shaken,
	}, cookies)
	if err != nil {
		c.log.Error("Cannot begin a DTLS handshake with the RDV server", "err", err)
		c.perform(now, c.server.handshaken(now, nil, err, nil))
		return
	}
	r.under = c.changes
	c.shaking = r
}

// abandon ends the handshake with the RDV, if one runs.
func (c *Client) abandon() {
	if c.shaking != nil {
		c.shaking.cancel()
		c.shaking = nil
	}
}

// handleShaken takes the end of a handshake with the RDV.
func (c *Client) handleShaken(now time.Time, e shakeEnd) {
	r := e.run
	if r != c.shaking {
		return // abandoned meanwhile
	}
	c.abandon()
	l, err := e.link()
	if err == nil && r.under != c.changes { // the RDV was accepted under other settings
		l.server, err = c.set.VerifyServer(now, l.chain)
	}
	if err != nil {
		c.perform(now, c.server.handshaken(now, nil, err, nil))
		return
	}
	c.perform(now, c.server.handshaken(now, l, nil, nil))
	for _, rec := range r.hs.Early() {
		out, d := c.server.receive(now, rec, nil)
		c.drops.Add(d)
		c.perform(now, out)
	}
}

// reportChannel logs what the channel has to say.
func (c *Client) reportChannel(now time.Time, o *chanOut) {
	server := c.set.Server
	switch o.act {
	case actTrying:
		c.reportRegistration(now, regTrying)
	case actSilent:
		c.reportRegistration(now, regSilent)
	case actBack:
		c.reportRegistration(now, regBack)
	case actUp:
		l := o.link
		c.said = nil
		c.restartRoster(time.Now())
		c.registeredAt(now, l.endpoint)
		if remember := c.set.RememberServer; remember != nil {
			id := l.server
			c.wg.Go(func() { remember(id) })
		}
		if !o.fresh {
			c.log.Debug("The channel to the RDV server is a new one", "server", server)
			return
		}
		c.log.Info("Registration complete", "server", server, "certificate", l.server.Name, "cipher", l.suite.String())
	case actDown:
		attrs := c.refuse(now, netip.Addr{}, o.err)
		c.log.Warn("The channel to the RDV server has ended", append([]any{"server", server, "err", o.err,
			"hint", "open tunnels stay; trying again"}, attrs...)...)
	case actUseless:
		c.log.Warn("The RDV server has sent something else than it announced", "server", server, "kind", kindName(o.object.Kind))
	case actRefused:
		attrs := c.refuse(now, netip.Addr{}, o.err)
		if c.once(o.err) {
			attrs = append([]any{"server", server, "err", o.err, "hint", c.channelHint(o.err)}, attrs...)
			c.log.Warn("No authenticated channel to the RDV server", attrs...)
		}
	}
}

// once reports whether a reason for which there is no channel is new since there was
// one: it is logged then, and not with every try. Numbers in it, such as what the
// clock says, do not make it new.
func (c *Client) once(why error) bool {
	const most = 16 // some texts come from the RDV
	text := strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, why.Error())
	if c.said[text] {
		return false
	}
	if c.said == nil || len(c.said) >= most {
		c.said = map[string]bool{}
	}
	c.said[text] = true
	return true
}

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
