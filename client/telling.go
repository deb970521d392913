package client

import (
	"time"

	"campagnol/tunnel"
)

// A telling is the state of telling a peer what we can do: by a probe, which is repeated
// until the peer's echo shows that it has come. Its zero value is that there is nothing to
// tell.
type telling struct {
	next  time.Time // the next probe; zero: none
	tries int
}

// How often a peer is told, and how long after the first probe the second one is sent; the
// time doubles.
const (
	tellTries = 6
	tellWait  = 300 * time.Millisecond
)

// tellAbilities begins to tell p, with which a session has just begun or to which we can
// now do something else, what we can do.
func (c *Client) tellAbilities(now time.Time, p *peer) {
	p.telling = telling{}
	if p.session == nil || !p.session.IsOurs() || c.abilities() == (tunnel.Abilities{}) {
		return
	}
	p.telling.next = now
	c.advanceTelling(now, p)
}

// advanceTelling repeats the probe if it is time.
func (c *Client) advanceTelling(now time.Time, p *peer) {
	t := &p.telling
	if t.next.IsZero() || now.Before(t.next) {
		return
	}
	c.probe(now, p)
	t.next = now.Add(tellWait << t.tries)
	if t.tries++; t.tries >= tellTries {
		*t = telling{}
	}
}
