package client

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// A Pong is what has come of a ping.
type Pong struct {
	VPNAddr  netip.Addr     // by which the peer is known
	Name     string         // in its certificate
	Addr     netip.AddrPort // of the path by which it was sent
	Path     string         // what kind of path that is, as [PeerStatus] has it
	Answered bool
	RTT      time.Duration // of the round trip inside the tunnel

	// PathRTT is that of a challenge by the same path, which was sent just before; 0:
	// its response did not come before the answer.
	PathRTT time.Duration
}

// Why a peer cannot be pinged.
var (
	ErrNoSession    = errors.New("client: there is no session with the peer")
	ErrMute         = errors.New("client: the peer does not answer probes")
	ErrTooManyPings = errors.New("client: too many pings at a time")
)

// maxPings is how many pings may be without an answer, of all that ask for them.
const maxPings = 64

// A ping is one that was sent.
type ping struct {
	peer      netip.Addr
	challenge uint64
	sent      time.Time
	pong      Pong
	answered  chan struct{} // closed when the answer has come
}

// A pingTable has those that are under way, by the number of the probe. The zero value is
// empty.
type pingTable map[uint64]*ping

// Ping asks the peer with a VPN address, inside its session, whether it is there, and
// waits for the answer until ctx is done. That there is none is no error.
func (c *Client) Ping(ctx context.Context, vpn netip.Addr) (pong Pong, err error) {
	var number uint64
	var w *ping
	if e := c.do(ctx, func(now time.Time) { number, w, err = c.beginPing(now, vpn.Unmap()) }); e != nil || err != nil {
		return Pong{}, errors.Join(e, err)
	}
	select {
	case <-w.answered:
	case <-ctx.Done():
	case <-c.done:
		return Pong{}, ErrStopped
	}
	err = c.do(context.WithoutCancel(ctx), func(time.Time) {
		delete(c.pings, number)
		pong = w.pong
	})
	return pong, err
}

// beginPing sends a challenge and a probe to the peer.
func (c *Client) beginPing(now time.Time, vpn netip.Addr) (number uint64, w *ping, err error) {
	p := c.peerFor(vpn)
	switch {
	case p == nil || p.session == nil:
		return 0, nil, ErrNoSession
	case !p.session.IsOurs():
		return 0, nil, ErrMute
	case len(c.pings) >= maxPings:
		return 0, nil, ErrTooManyPings
	}
	for number == 0 || c.pings[number] != nil {
		number = drawNumber()
	}
	w = &ping{peer: p.vpn, challenge: drawNumber(), sent: now, answered: make(chan struct{})}
	w.pong = Pong{VPNAddr: p.vpn, Name: p.id.Name, Addr: p.at.Addr}
	if c.pings == nil {
		c.pings = pingTable{}
	}
	c.pings[number] = w
	if p.paths != nil {
		w.pong.Path = p.paths.View().Class().String()
		if b := p.session.SealChallenge(w.challenge, 0, &c.tmp); b != nil {
			c.sendToPeer(now, p, b)
		}
	}
	for _, b := range p.session.ProbeNumber(c.abilities(), number, nil) {
		c.sendToPeer(now, p, b)
	}
	return number, w, nil
}

// peerFor returns the peer to which packets for a VPN address go, or that is being looked
// for; nil: there is none.
func (c *Client) peerFor(vpn netip.Addr) *peer {
	dst := c.gatewayOf(vpn)
	if p := c.claims.holderOf(dst); p != nil {
		return p
	}
	return c.peers[dst]
}

// echoed takes that p has sent back a probe.
func (c *Client) echoed(now time.Time, p *peer, number uint64) {
	w := c.pings[number]
	if w == nil || w.peer != p.vpn || w.pong.Answered {
		return
	}
	w.pong.Answered, w.pong.RTT = true, now.Sub(w.sent)
	close(w.answered)
}

// answeredPing reports whether a response is that to the challenge of a ping.
func (c *Client) answeredPing(now time.Time, p *peer, number uint64) bool {
	for _, w := range c.pings {
		if w.peer == p.vpn && w.challenge == number {
			if w.pong.PathRTT == 0 {
				w.pong.PathRTT = now.Sub(w.sent)
			}
			return true
		}
	}
	return false
}
