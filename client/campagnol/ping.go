package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"campagnol/client"
	"campagnol/internal/control"
	"campagnol/internal/version"
)

const (
	// openLook is how often it is looked whether a tunnel is open.
	openLook = 20 * time.Millisecond

	// pongTime is how long the answer to a ping may take if the request does not say.
	pongTime = time.Second
)

// pingPeer answers a request to ask a peer whether it is there.
func (n *node) pingPeer(r *http.Request) (any, error) {
	ctx := r.Context()
	wait := pongTime
	if text := r.URL.Query().Get("wait"); text != "" {
		var err error
		if wait, err = seconds(text, control.MaxWait); err != nil || wait == 0 {
			return nil, &control.Error{Status: http.StatusBadRequest, Text: fmt.Sprintf("%q is not a time to wait for an answer", text),
				Advice: fmt.Sprintf("a number of seconds up to %d: ?wait=1", int(control.MaxWait.Seconds()))}
		}
	}
	v := n.view.Load()
	addr, err := v.peerOf(ctx, r.URL.Query().Get("peer"))
	if err != nil {
		return nil, err
	}
	d := &control.Pong{Version: version.String(), VPNAddress: addr}
	pong, err := v.ping(ctx, addr, wait)
	if errors.Is(err, client.ErrNoSession) {
		began := time.Now()
		if d.Reason, err = v.open(ctx, addr); err == nil && d.Reason == "" {
			d.OpenedSeconds = time.Since(began).Seconds()
			pong, err = v.ping(ctx, addr, wait)
		}
	}
	switch {
	case errors.Is(err, client.ErrNoSession): // it has just ended
		d.Reason = "the tunnel was closed"
	case err != nil:
		return nil, notPinged(addr, err)
	case d.Reason == "":
		d.VPNAddress, d.Name, d.Answered = pong.VPNAddr, pong.Name, pong.Answered
		d.RTTSeconds, d.PathRTTSeconds = pong.RTT.Seconds(), pong.PathRTT.Seconds()
		d.Path, d.PathKind = pong.Addr, pong.Path
		if !d.Answered {
			d.Reason = fmt.Sprintf("nothing came within %v", wait)
		}
	}
	d.Time = time.Now().UTC()
	return d, nil
}

// ping asks a peer with a session.
func (v *view) ping(ctx context.Context, addr netip.Addr, wait time.Duration) (client.Pong, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return v.client.Ping(ctx, addr)
}

// open opens a tunnel to a peer, and waits for it. It returns why there is none, made for
// people; empty: there is one.
func (v *view) open(ctx context.Context, addr netip.Addr) (why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, control.OpenTime)
	defer cancel()
	if err := v.client.Reach(ctx, addr); err != nil {
		return "", err
	}
	ticker := time.NewTicker(openLook)
	defer ticker.Stop()
	for {
		e, err := v.client.Explain(ctx, addr)
		switch {
		case ctx.Err() != nil:
			return "no tunnel was opened in time", nil
		case err != nil:
			return "", err
		case e.Chain != nil:
			return "", nil
		case e.Status == nil:
			return whyNot(&e)
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// whyNot returns why no tunnel is being opened.
func whyNot(e *client.Explanation) (string, error) {
	switch e.Fate {
	case client.FateOwn:
		return "", &control.Error{Status: http.StatusUnprocessableEntity, Text: e.Asked.String() + " is the VPN address of this host",
			Advice: "name a peer"}
	case client.FateOutside, client.FateEverybody:
		return "", &control.Error{Status: http.StatusUnprocessableEntity, Text: e.Asked.String() + " is no address of a peer",
			Advice: "name a VPN address of a peer, or one in a network behind it"}
	case client.FateNotRegistered:
		return "no rendezvous server knows this host", nil
	case client.FateNeedsChannel:
		return "the rendezvous server tells IPv6 addresses over the authenticated channel only", nil
	case client.FateTooMany:
		return "there are as many tunnels as there may be (max_clients)", nil
	}
	if e.Failure != nil {
		return e.Failure.Reason, nil
	}
	return "no tunnel could be opened", nil
}

// notPinged returns what a request is told whose peer cannot be asked.
func notPinged(addr netip.Addr, err error) error {
	var told *control.Error
	switch {
	case errors.As(err, &told):
		return told
	case errors.Is(err, client.ErrMute):
		return &control.Error{Status: http.StatusConflict, Err: err,
			Text:   fmt.Sprintf("%v runs Campagnol 0.3.5, which does not answer inside the tunnel", addr),
			Advice: fmt.Sprintf("ask its system: ping %v", addr)}
	case errors.Is(err, client.ErrTooManyPings):
		return &control.Error{Status: http.StatusTooManyRequests, Err: err, Text: "too many pings are under way", Advice: "ask again in a moment"}
	}
	return unanswered(err)
}

// disconnectPeer answers a request to close the tunnel to a peer.
func (n *node) disconnectPeer(r *http.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), statusTime)
	defer cancel()
	v := n.view.Load()
	addr, err := v.peerOf(ctx, r.URL.Query().Get("peer"))
	if err != nil {
		return nil, err
	}
	was, any, err := v.client.Disconnect(ctx, addr)
	if err != nil {
		return nil, unanswered(err)
	}
	d := &control.Disconnection{Version: version.String(), Time: time.Now().UTC(), VPNAddress: addr, State: closedState}
	if any {
		d.VPNAddress, d.Name, d.State = was.VPNAddr, was.Name, was.State
		if !was.Since.IsZero() {
			d.Since = was.Since.UTC()
		}
	}
	return d, nil
}
