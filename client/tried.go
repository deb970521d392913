package client

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
	punchstream "campagnol/punch/stream"
)

// A Tried is what a try to reach a peer has come to, for people.
type Tried struct {
	VPNAddr  netip.Addr
	Began    time.Time
	Asked    bool            // we asked the RDV for the peer; else it asked for us
	Running  bool            // the try is under way
	Outcomes []punch.Outcome // of the peer's candidates, in the order in which they are tried
}

// Tried returns what the last try to reach a peer has come to, by the VPN address that
// the peer is known by. It returns false if there was none, or it has been forgotten.
func (c *Client) Tried(ctx context.Context, vpn netip.Addr) (t Tried, ok bool, err error) {
	err = c.do(ctx, func(time.Time) {
		if p := c.peers[vpn]; p != nil && p.try != nil && p.try.attempt != nil {
			t, ok = p.try.tried(vpn), true
			t.Running = true
			return
		}
		t, ok = c.tried.find(vpn)
	})
	return t, ok, err
}

// tried returns what has come of t so far. It has an attempt.
func (t *try) tried(vpn netip.Addr) Tried {
	list := t.attempt.Report()
	for i := range list {
		list[i].Addr = punchstream.Real(list[i].Addr)
	}
	return Tried{VPNAddr: vpn, Began: t.began, Asked: t.asked, Outcomes: list}
}

// maxTried is how many peers it is remembered of what their last try has come to.
const maxTried = 256

// trials remembers what the last tries have come to, of each peer the last. Its zero
// value is empty.
type trials struct {
	list []Tried // oldest first
}

// note remembers a try at a peer that ends. One in which nothing was tried says
// nothing.
func (l *trials) note(vpn netip.Addr, t *try) {
	if t.attempt == nil {
		return
	}
	l.list = slices.DeleteFunc(l.list, func(o Tried) bool { return o.VPNAddr == vpn })
	if len(l.list) == maxTried {
		l.list = slices.Delete(l.list, 0, 1)
	}
	l.list = append(l.list, t.tried(vpn))
}

// find returns the last try at a peer.
func (l *trials) find(vpn netip.Addr) (Tried, bool) {
	i := slices.IndexFunc(l.list, func(o Tried) bool { return o.VPNAddr == vpn })
	if i < 0 {
		return Tried{}, false
	}
	return l.list[i], true
}
