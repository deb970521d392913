package path

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
)

// How a session lives with a relay: it goes to a direct path as soon as there is one,
// falls back at once when that dies, and does not go back and forth.
const (
	// A session that has moved to a path which died so soon does not move there again, as
	// long as another one carries it, for a while.
	shortLife = 10 * time.Second
	barMin    = 30 * time.Second // the first time; it doubles
	barMax    = 10 * time.Minute // up to this

	// A relay that stands is kept so by challenges. It must have a permission and a
	// channel, and a NAT on the way has to remember.
	warmWait = 10 * time.Second
	warmLife = 3 * warmWait // since its last answer, it counts as one that stands

	// While nothing but a relay, or a connection, carries the session, direct paths are looked for more
	// often: after a part of the time for which it has been so.
	directWait = 4 * time.Second // at least
	directPart = 8
)

// warm reports whether c is a relay, or a connection, that has answered lately.
func (c *candidate) warm(now time.Time) bool {
	return c.detour() && !c.answered.IsZero() && now.Sub(c.answered) < warmLife
}

// barred reports whether the session is not to move to c, as long as another path works.
func (c *candidate) barred(now time.Time) bool { return now.Before(c.bar) }

// Relayed reports whether somebody passes on what goes to an endpoint, as far as is known:
// at our end or at the peer's.
func (k *Keeper) Relayed(at punch.Endpoint) bool {
	c := k.find(at)
	return at.Relayed() || c != nil && c.relayed()
}

// maxKnownRelayed is of how many addresses it is remembered that they are at a relay.
const maxKnownRelayed = 8

// noteRelayed remembers that a candidate is at a relay. It is named so once, when the peer
// has got it, and what comes from there later must not look like a direct path.
func (k *Keeper) noteRelayed(n punch.Candidate) {
	if n.Kind != punch.Relayed || slices.Contains(k.atRelays, n.Addr) {
		return
	}
	if len(k.atRelays) == maxKnownRelayed {
		k.atRelays = slices.Delete(k.atRelays, 0, 1)
	}
	k.atRelays = append(k.atRelays, n.Addr)
}

// seenAt returns a candidate for an address at which the peer was seen, and that the last
// introduction does not name.
func (k *Keeper) seenAt(a netip.AddrPort) punch.Candidate {
	n := punch.Candidate{Addr: a, Kind: punch.Reflexive}
	if slices.Contains(k.atRelays, a) {
		n.Kind = punch.Relayed
	}
	return n
}

// slow returns how long a candidate that is not the path waits for its next challenge,
// after the fast ones.
func (k *Keeper) slow(now time.Time, c *candidate) time.Duration {
	switch since := now.Sub(k.relayed); {
	case c.warm(now):
		return warmWait
	case !k.relayed.IsZero() && !c.detour():
		return min(max(since/directPart, directWait), slowMax)
	}
	return min(slowWait<<min(max(0, c.tries-fastTries), 8), slowMax)
}

// arrive notes that the session is on another path than before, which was left because it
// is dark, or for a better one.
func (k *Keeper) arrive(now time.Time, from *candidate) {
	if k.Dark() {
		if k.doubt.Sub(k.arrived) < shortLife {
			from.barTime = min(max(2*from.barTime, barMin), barMax)
			from.bar = now.Add(from.barTime)
		} else {
			from.barTime = 0
		}
	}
	k.arrived = now
}

// noteRelay notes since when the path has led through a relay, or over a connection.
func (k *Keeper) noteRelay(now time.Time) {
	switch detour := k.current().detour(); {
	case !detour:
		k.relayed = time.Time{}
	case k.relayed.IsZero():
		k.relayed = now
	}
}

// maxHinted is how many candidates may be there on the word of a punch.
const maxHinted = 2

// Hint tells that something was heard that anybody could have sent, a punch in the peer's
// name, from an endpoint: it is challenged, and nothing else. Where there are too many of
// such, the oldest makes room that has never answered.
func (k *Keeper) Hint(now time.Time, at punch.Endpoint) {
	c := k.find(at)
	if c == nil {
		if c = k.hinted(at); c == nil {
			return
		}
	}
	if at == k.path || c.sent > 0 && (c.tries < fastTries || now.Sub(c.last) < time.Second) {
		return
	}
	c.hope(now)
}

// hinted returns a new candidate on the word of a punch, or nil if there is no room.
func (k *Keeper) hinted(at punch.Endpoint) *candidate {
	oldest, count := -1, 0
	for i := range k.list {
		c := &k.list[i]
		if !c.hint || c.named {
			continue
		}
		if count++; oldest < 0 && c.useful().IsZero() && c.at() != k.path {
			oldest = i
		}
	}
	if count >= maxHinted {
		if oldest < 0 {
			return nil
		}
		k.list = slices.Delete(k.list, oldest, oldest+1)
	}
	k.list = append(k.list, candidate{Candidate: k.seenAt(at.Addr), conn: at.Conn, hint: true})
	return &k.list[len(k.list)-1]
}
