package client

import (
	"time"

	"campagnol/tunnel"
)

// dropsInterval is how often it is told what is dropped of a peer's packets, if there is
// more of it.
const dropsInterval = time.Minute

// A dropsTold is what was told of the drops of a session. Its zero value is nothing.
type dropsTold struct {
	of               *tunnel.Stats
	spoofed, in, out dropTold // those in and out are of the policy
}

// A dropTold is what was told of drops of one kind.
type dropTold struct {
	count uint64
	at    time.Time // the last time; zero: never
}

// more returns how many drops there are that are to be told now.
func (d *dropTold) more(now time.Time, count uint64, last bool) uint64 {
	if count == d.count || !last && !d.at.IsZero() && now.Sub(d.at) < dropsInterval {
		return 0
	}
	n := count - d.count
	d.count, d.at = count, now
	return n
}

// tellDrops tells who watches of packets of p's session that were dropped since p was not
// allowed to send them, or we to send them to it: at once, and then once a minute. last
// says that the session ends, so that it is now or never.
func (c *Client) tellDrops(now time.Time, p *peer, last bool) {
	if c.cfg.Notify == nil || p.session == nil {
		return
	}
	s, told := p.session.Stats(), &p.dropsTold
	if told.of != s {
		*told = dropsTold{of: s}
	}
	tell := func(kind EventKind, out bool, count uint64) {
		if count > 0 {
			c.notify(Event{Kind: kind, VPNAddr: p.vpn, Name: p.id.Name, Key: p.id.Key, Serial: p.id.Serial, Addr: p.at.Addr, Out: out, Count: count})
		}
	}
	tell(EventSpoofed, false, told.spoofed.more(now, s.Drops.Get(tunnel.DropSource), last))
	tell(EventFiltered, false, told.in.more(now, s.Drops.Get(tunnel.DropFilter), last))
	tell(EventFiltered, true, told.out.more(now, s.Filtered.Load(), last))
}
