package path

import (
	"slices"
	"time"

	"campagnol/punch"
)

// Bounds on what is known of one session's paths. A lying server or a peer must make us
// neither remember nor send much.
const (
	maxNamed     = 8 // candidates that were named, by the primary socket
	maxByOther   = 4 // likewise, by all other sockets
	maxByStream  = 2 // likewise, by one connection; the owner bounds how many there are
	maxReflexive = 4 // known as the source of an authentic record only

	budgetRate  = 10 // challenges a second to addresses other than the path
	budgetBurst = 40
)

// How challenges to an address that is not the path are spaced. The first ones open the
// NATs on the way, at both ends at about the same time; later ones see whether what did
// not work does by now.
const (
	firstWait = 50 * time.Millisecond // after the first challenge; it doubles
	fastTries = 6                     // so spaced, then slow ones
	slowWait  = 30 * time.Second      // it doubles
	slowMax   = 10 * time.Minute      // up to this

	calmPace = 20 * time.Millisecond // between challenges to different addresses
	darkPace = 5 * time.Millisecond  // likewise, in the dark (RFC 8445 section 14.2)

	// leftLife is how long an address that nobody names any more, and that was of
	// use, is remembered: what was sent from there is on its way.
	leftLife = 10 * time.Second
)

// pending is how many challenges to one address may be without response. The oldest is
// forgotten first.
const pending = 4

// A challenge has been sent and not been answered.
type challenge struct {
	number uint64
	sent   time.Time
}

// A candidate is where the peer may be, or is: an address as one of our sockets sees it.
// The same address by two sockets is two candidates.
type candidate struct {
	punch.Candidate
	conn     punch.Conn    // nil: the primary socket
	named    bool          // by the last introduction
	hint     bool          // there is nothing but a punch that says so
	gone     bool          // its socket is; it is the path only until there is another one
	rtt      time.Duration // smoothed; 0: it has never answered
	answers  int           // in all
	answered time.Time     // last
	left     time.Time     // it was the path until then
	seen     time.Time     // as the source of an authentic record, last
	tries    int           // challenges that were sent since there was a reason to hope
	next     time.Time     // challenge; zero: none is planned
	bar      time.Time     // until then, the session does not move there
	barTime  time.Duration // of the last time
	out      [pending]challenge
	sent     int       // challenges in all, the next one's place in out
	last     time.Time // of them
}

// draw returns the number of the next challenge to c.
func (c *candidate) draw(now time.Time, number func() uint64) uint64 {
	n := number()
	c.out[c.sent%pending] = challenge{n, now}
	c.sent++
	c.last = now
	return n
}

// take reports whether a response is one to a challenge to c, which is then answered.
func (c *candidate) take(now time.Time, number uint64) bool {
	for i := range c.out {
		o := &c.out[i]
		if o.sent.IsZero() || o.number != number {
			continue
		}
		c.measure(now.Sub(o.sent))
		*o = challenge{}
		c.answers++
		c.answered = now
		return true
	}
	return false
}

// measure takes a round trip (RFC 6298 section 2).
func (c *candidate) measure(d time.Duration) {
	d = max(d, time.Microsecond) // 0 stands for none
	if c.rtt == 0 {
		c.rtt = d
	} else {
		c.rtt += (d - c.rtt) / 8
	}
}

// hope makes c be challenged anew from the beginning, as soon as it may be.
func (c *candidate) hope(now time.Time) { c.tries, c.next = 0, now }

// plan sets when c is challenged again after a challenge.
func (k *Keeper) plan(now time.Time, c *candidate) {
	c.tries++
	if c.tries < fastTries {
		c.next = now.Add(firstWait << (c.tries - 1))
	} else {
		c.next = now.Add(k.slow(now, c))
	}
}

// useful returns when c has last been of use.
func (c *candidate) useful() time.Time { return later(later(c.answered, c.left), c.seen) }

// at returns where c is.
func (c *candidate) at() punch.Endpoint { return punch.Endpoint{Addr: c.Addr, Conn: c.conn} }

// streamed reports whether c is reached over a connection.
func (c *candidate) streamed() bool { return c.at().Streamed() }

// detour reports whether c is a way that is only taken for want of a direct one by
// datagrams.
func (c *candidate) detour() bool { return c.relayed() || c.streamed() }

// relayed reports whether somebody passes on what goes to c: at our end or at the peer's.
func (c *candidate) relayed() bool { return c.Kind == punch.Relayed || c.at().Relayed() }

func (c *candidate) view() View {
	return View{Addr: c.Addr, Stream: c.streamed(), Relay: c.relayed(), RTT: c.rtt}
}

// find returns the candidate at an endpoint, or nil. What it returns is good until the
// list changes.
func (k *Keeper) find(at punch.Endpoint) *candidate {
	for i := range k.list {
		if k.list[i].at() == at {
			return &k.list[i]
		}
	}
	return nil
}

// current returns the candidate that is the path.
func (k *Keeper) current() *candidate { return k.find(k.path) }

// name takes candidates of an introduction that a socket is to try, in place of those of
// the last one that it was to try.
func (k *Keeper) name(now time.Time, conn punch.Conn, list []punch.Candidate) {
	others := 0
	for i := range k.list {
		switch c := &k.list[i]; {
		case c.conn == conn:
			c.named = false
		case c.conn != nil && c.named && !c.streamed():
			others++
		}
	}
	most := maxNamed
	switch {
	case punch.Endpoint{Conn: conn}.Streamed():
		most = maxByStream
	case conn != nil:
		most = maxByOther - others
	}
	for _, n := range list[:min(len(list), most)] {
		if !n.Addr.IsValid() || n.Addr.Port() == 0 {
			continue
		}
		at := punch.Endpoint{Addr: n.Addr, Conn: conn}
		c := k.find(at)
		if c == nil {
			k.list = append(k.list, candidate{Candidate: n, conn: conn})
			c = &k.list[len(k.list)-1]
		}
		c.Candidate, c.named = n, true
		k.noteRelayed(n)
		if at != k.path {
			c.hope(now)
		}
	}
	k.tidy(now)
}

// reflexive returns the candidate for the source of an authentic record. If it is new
// and there are too many, the one makes room that has been of no use for longest.
func (k *Keeper) reflexive(now time.Time, at punch.Endpoint) *candidate {
	if c := k.find(at); c != nil && !c.hint {
		return c
	}
	oldest, count := -1, 0
	for i := range k.list {
		c := &k.list[i]
		if c.named || c.hint || c.at() == k.path {
			continue
		}
		count++
		if oldest < 0 || c.useful().Before(k.list[oldest].useful()) {
			oldest = i
		}
	}
	if count >= maxReflexive {
		k.list = slices.Delete(k.list, oldest, oldest+1)
	}
	if c := k.find(at); c != nil {
		c.hint = false // it is more than that
		return c
	}
	k.list = append(k.list, candidate{Candidate: k.seenAt(at.Addr), conn: at.Conn, next: now})
	return &k.list[len(k.list)-1]
}

// tidy forgets addresses that are neither named nor the path, and have been of no use
// for a while.
func (k *Keeper) tidy(now time.Time) {
	k.list = slices.DeleteFunc(k.list, func(c candidate) bool {
		return !c.named && c.at() != k.path && now.Sub(c.useful()) > leftLife
	})
}
