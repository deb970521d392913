package path

import (
	"slices"
	"time"
)

// Timeout returns when Advance must be called next; zero means never.
func (k *Keeper) Timeout() time.Time {
	next := earlier(k.look, k.probeAt())
	if !k.doubt.IsZero() {
		next = earlier(next, k.check)
		if k.dark.IsZero() {
			next = earlier(next, k.doubt.Add(k.patience()))
		} else {
			next = earlier(earlier(next, k.ask), k.revive)
		}
	}
	return next
}

// earlier returns the earlier of two moments, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// due reports whether a moment has come; zero never does.
func due(now, t time.Time) bool { return !t.IsZero() && !now.Before(t) }

// Advance takes the passing of time and appends what to do to out. It is to be called
// after whatever the Keeper is told, too, and after Observe.
func (k *Keeper) Advance(now time.Time, out []Out) []Out {
	k.fill(now)
	k.watch(now)
	if !k.doubt.IsZero() {
		out = k.verify(now, out)
	}
	out = k.choose(now, out)
	if k.Dark() {
		out = k.seek(now, out)
	}
	return k.probe(now, out)
}

// used reports whether packets have passed lately.
func (k *Keeper) used(now time.Time) bool { return now.Sub(later(k.sent, k.received)) < inUse }

// watch looks whether there is silence.
func (k *Keeper) watch(now time.Time) {
	if !k.doubt.IsZero() && !k.strict && k.heard.After(k.doubt) {
		k.sure()
	}
	if !due(now, k.look) {
		return
	}
	// Something is owed: an answer to what we have sent, or, when the peer has stopped
	// sending, a word whether it has.
	switch owed := k.sent.After(k.heard) || k.received.After(k.proved); {
	case !owed:
		k.owed = time.Time{}
	case k.owed.IsZero():
		k.owed = now
	}
	last := later(later(k.heard, k.since), k.owed)
	switch {
	case !k.used(now) && now.Sub(k.since) >= inUse:
		k.look = time.Time{} // the owner will say when it is
		return
	case !k.owed.IsZero() && now.Sub(last) >= k.quiet():
		k.suspect(now, false)
	}
	k.look = later(last.Add(k.quiet()), now.Add(lookWait))
}

// suspect begins to doubt the path.
func (k *Keeper) suspect(now time.Time, strict bool) {
	if k.doubt.IsZero() {
		k.doubt, k.check, k.checks = now, now, 0
	}
	k.strict = k.strict || strict
}

// sure ends all doubts.
func (k *Keeper) sure() {
	k.doubt, k.check, k.dark, k.ask, k.revive = time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	k.strict, k.checks, k.asks = false, 0, 0
}

// quiet returns how long nothing may be heard until the path is challenged.
func (k *Keeper) quiet() time.Duration { return max(quiet, k.current().rtt*3/2) }

// patience returns how long the path may leave challenges without response.
func (k *Keeper) patience() time.Duration { return max(patience, 2*k.current().rtt) }

// verify challenges the path, and notices if it does not answer.
func (k *Keeper) verify(now time.Time, out []Out) []Out {
	if k.dark.IsZero() && now.Sub(k.doubt) >= k.patience() {
		k.dark, k.ask, k.strict = now, now, true
		k.revive = now.Add(lostTime)
		for i := range k.list {
			switch c := &k.list[i]; {
			case c.at() == k.path:
			case c.warm(now):
				c.hope(now.Add(-patience)) // before all others
			case now.Sub(c.answered) > patience:
				c.hope(now)
			}
		}
		k.pace = now
	}
	if k.Dark() && k.idle(now) {
		// Nobody waits. The next packet goes on from here.
		k.check, k.ask, k.revive = time.Time{}, time.Time{}, time.Time{}
		return out
	}
	if k.check.IsZero() || !now.Before(k.check) {
		k.check = now.Add(min(checkWait<<min(k.checks, 8), checkMax))
		if k.Dark() && now.Sub(k.dark) > huntTime {
			k.check = now.Add(checkSlow)
		}
		k.checks++
		out = append(out, Out{Do: Challenge, At: k.path, Number: k.current().draw(now, k.number)})
	}
	return out
}

// idle reports whether a dark path may stay so for now.
func (k *Keeper) idle(now time.Time) bool {
	return now.Sub(k.dark) > huntTime && now.Sub(later(k.sent, k.since)) > huntTime
}

// seek asks for help in the dark.
func (k *Keeper) seek(now time.Time, out []Out) []Out {
	if k.idle(now) {
		return out
	}
	// A mere listener leaves new sessions to who sends, and goes on asking; who sends
	// asks for the new session.
	sends := k.sent.After(k.doubt.Add(-inUse))
	if k.ask.IsZero() || !now.Before(k.ask) {
		k.ask = now.Add(min(askWait<<min(k.asks, 8), slowWait))
		k.asks++
		if !sends || now.Sub(k.dark) < lostTime || k.asks == 1 {
			out = append(out, Out{Do: Ask})
		}
	}
	if k.revive.IsZero() || !now.Before(k.revive) {
		k.revive = now.Add(lostWait)
		if sends {
			out = append(out, Out{Do: Revive})
		}
	}
	return out
}

// Why a session moves.
const (
	whySilent = "the path no longer answers"
	whyLAN    = "the peer is in the same network"
	whyDirect = "there is a direct path"
	whyStream = "there is a way by TCP, without a relay"
	whyFaster = "the round trip is shorter"
)

// stayTime is how long a session stays on a path to which a shorter round trip has made
// it move, if it works. What the session itself carries makes round trips longer, too.
const stayTime = 30 * time.Second

// choose moves the session to the best of the paths that work, if it is worth it or
// the path does not.
func (k *Keeper) choose(now time.Time, out []Out) []Out {
	var best *candidate
	for i := range k.list {
		c := &k.list[i]
		if c.at() == k.path || !k.works(now, c) {
			continue
		}
		if best == nil || k.prefers(now, c, best) {
			best = c
		}
	}
	if best == nil {
		return out
	}
	cur := k.current()
	why := whySilent
	if k.dark.IsZero() {
		// Two measurements: the first may be lucky. And none during a doubt, which
		// ends soon.
		if best.answers < 2 || best.barred(now) || !k.doubt.IsZero() || !Worth(cur.view(), best.view()) {
			return out
		}
		switch {
		case best.view().Class() == cur.view().Class():
			if now.Sub(k.settled) < stayTime {
				return out
			}
			why, k.settled = whyFaster, now
		case best.view().Class() == LAN:
			why = whyLAN
		case best.view().Class() == TCP:
			why = whyStream
		default:
			why = whyDirect
		}
	}
	k.arrive(now, cur)
	cur.left, cur.next = now, now.Add(k.slow(now, cur))
	if !k.dark.IsZero() {
		cur.rtt, cur.answers = 0, 0 // what it was it is no more
		cur.hope(now.Add(inUse))
	}
	k.path, k.moves, k.proved = best.at(), k.moves+1, best.answered
	best.next = now.Add(slowWait)
	k.list = slices.DeleteFunc(k.list, func(c candidate) bool { return c.gone })
	k.noteRelay(now)
	k.sure()
	k.since = now
	return append(out, Out{Do: Move, At: k.path, Why: why})
}

// prefers reports whether a is the better one of two candidates for the path: one from
// which the session has just been driven away comes after all others.
func (k *Keeper) prefers(now time.Time, a, b *candidate) bool {
	if ab, bb := a.barred(now), b.barred(now); ab != bb {
		return bb
	}
	return Better(a.view(), b.view())
}

// works reports whether a path that is not the one in use has answered lately: in the
// dark, since the doubt began.
func (k *Keeper) works(now time.Time, c *candidate) bool {
	if k.Dark() {
		return !c.answered.Before(k.doubt)
	}
	return !c.answered.IsZero() && now.Sub(c.answered) < inUse
}

// fill adds to the budget what the time brings.
func (k *Keeper) fill(now time.Time) {
	k.budget = min(budgetBurst, k.budget+budgetRate*now.Sub(k.filled).Seconds())
	k.filled = now
}

// probeAt returns when probe has something to do.
func (k *Keeper) probeAt() time.Time {
	var next time.Time
	for i := range k.list {
		next = earlier(next, k.list[i].next)
	}
	if next.IsZero() {
		return next
	}
	next = later(next, k.pace)
	if k.budget < 1 {
		next = later(next, k.filled.Add(time.Second/budgetRate))
	}
	return next
}

// probe challenges one address whose turn it is, if it is time for one.
func (k *Keeper) probe(now time.Time, out []Out) []Out {
	if now.Before(k.pace) || k.budget < 1 {
		return out
	}
	var c *candidate
	for i := range k.list {
		if o := &k.list[i]; due(now, o.next) && (c == nil || o.next.Before(c.next)) {
			c = o
		}
	}
	if c == nil {
		return out
	}
	if c.tries >= fastTries && !k.used(now) && (!k.Dark() || k.idle(now)) {
		c.next = time.Time{} // an idle session does without
		return out
	}
	k.budget--
	k.pace = now.Add(calmPace)
	if k.Dark() {
		k.pace = now.Add(darkPace)
	}
	if c.at() == k.path && c.tries >= fastTries-2 {
		c.tries = fastTries // measured a few times in vain: it does not matter
	}
	k.plan(now, c)
	return append(out, Out{Do: Challenge, At: c.at(), Number: c.draw(now, k.number)})
}
