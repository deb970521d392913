package main

import (
	"context"
	"net/netip"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/control"
	"campagnol/pki"
	"campagnol/pki/ocsp"
)

// answersInterval is how often we look whether it is time to ask responders again
// about those with whom we are connected.
const answersInterval = 2 * time.Second

// askBeforeTime bounds how long a new configuration waits for responders.
const askBeforeTime = 6 * time.Second

// ocspMode returns what the configuration says of responders.
func ocspMode(o conf.OCSP) ocsp.Mode {
	switch o {
	case conf.OCSPYes:
		return ocsp.Yes
	case conf.OCSPRequire:
		return ocsp.Require
	}
	return ocsp.Off
}

// judge gives a trust the responders' answers, if they are wanted.
func (n *node) judge(cfg *conf.Client, t *trust) {
	t.online = ocsp.Judge{}
	if mode := ocspMode(cfg.OCSP); mode != ocsp.Off {
		n.responders.Avoid(cfg.Network)
		t.online = ocsp.Judge{Checker: n.responders, Mode: mode}
	}
}

// onlineServer decides about rendezvous servers. They are trusted with nothing but
// that peers find each other, and without one nobody does: one that is revoked is
// refused, but one without an answer is not.
func (t *trust) onlineServer() ocsp.Judge {
	return ocsp.Judge{Checker: t.online.Checker, Mode: min(t.online.Mode, ocsp.Yes)}
}

// inquirer returns what asks the responder about a peer in a handshake; nil: nobody
// is asked.
func (t *trust) inquirer() func(context.Context, [][]byte, bool) {
	if t.online.Mode == ocsp.Off {
		return nil
	}
	return func(ctx context.Context, chain [][]byte, server bool) {
		if peer := t.shown(client.Shown{Chain: chain, Server: server}); peer != nil {
			t.online.Inquire(ctx, peer)
		}
	}
}

// shown returns who has shown certificates; nil if they are refused anyway, so that
// nobody has to be asked.
func (t *trust) shown(s client.Shown) *pki.Peer {
	role := pki.Client
	if s.Server {
		role = pki.Server
	}
	peer, err := t.policy.Verify(time.Now(), s.Chain, role)
	if err != nil {
		return nil
	}
	return peer
}

// askBefore asks about those with whom we are connected, if t is not to believe
// them without an answer: those that nobody has asked about yet would else lose
// their tunnels as soon as t is in use.
func (n *node) askBefore(ctx context.Context, t *trust) {
	if t.online.Mode != ocsp.Require {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askBeforeTime)
	defer cancel()
	askAgain(ctx, n.parts.client, t)
}

// watchAnswers asks responders again when it is time to, about those with whom we
// are connected, and ends the tunnels of who is refused now, until ctx is done.
func (n *node) watchAnswers(ctx context.Context) {
	ticker := time.NewTicker(answersInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		v := n.view.Load()
		if v.trust.online.Mode != ocsp.Off && askAgain(ctx, v.client, v.trust) {
			v.client.Recheck(ctx) // if it does not run, nobody is connected
		}
	}
}

// askAgain asks about those with whom c is connected if it is time to, and reports
// whether one of them is refused now.
func askAgain(ctx context.Context, c *client.Client, t *trust) (refused bool) {
	list, err := c.Shown(ctx)
	if err != nil {
		return false // it does not run just now
	}
	var peers []*pki.Peer
	var judges []ocsp.Judge
	for _, s := range list {
		if !t.online.Checker.Due(time.Now(), s.Chain[0]) {
			continue // to verify all of them each time would be much work
		}
		if peer := t.shown(s); peer != nil {
			peers = append(peers, peer)
			judges = append(judges, t.judgeOf(s.VPNAddr))
		}
	}
	t.online.InquireAll(ctx, peers)
	for i, p := range peers {
		refused = refused || ctx.Err() == nil && judges[i].Check(time.Now(), p) != nil
	}
	return refused
}

// judgeOf returns who decides about the peer with a VPN address, or about the
// rendezvous server, which has none.
func (t *trust) judgeOf(vpn netip.Addr) ocsp.Judge {
	if !vpn.IsValid() {
		return t.onlineServer()
	}
	return t.online
}

// ocspDocument returns what the control socket tells of responders; the zero value
// if nobody is asked.
func ocspDocument(j ocsp.Judge) control.OCSP {
	if j.Mode == ocsp.Off {
		return control.OCSP{}
	}
	s := j.Checker.Stats()
	d := control.OCSP{
		Mode: j.Mode.String(), Asked: s.Asked, Good: s.Good, Revoked: s.Revoked, Unknown: s.Unknown, Failed: s.Failed,
		Failures: make([]control.OCSPFailure, len(s.Failures)),
	}
	for i, f := range s.Failures {
		d.Failures[i] = control.OCSPFailure{Certificate: f.Name, Time: f.Time.UTC(), Reason: f.Reason}
	}
	return d
}
