package natcheck

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
	"campagnol/punch/stun"
)

// Ages are how long mappings are left alone before a measurement looks whether they
// are still there. Each has a mapping of its own, so that it takes as long as the
// oldest, and not the sum, as one after the other would; and looking at one does not
// refresh the others.
func Ages() []time.Duration {
	return []time.Duration{
		0, 10 * time.Second, 20 * time.Second, 30 * time.Second, 45 * time.Second,
		time.Minute, 90 * time.Second, 2 * time.Minute, 3 * time.Minute, 5 * time.Minute,
	}
}

// A Lifetime measures how long an idle mapping is kept (RFC 5780 section 4.6). The
// sockets 1 to n, one for each age, make a mapping each. When its time has come,
// socket 0 asks the server to send to it (RESPONSE-PORT): it arrives, or the mapping
// is gone. The first of the ages is none, and tells whether the server and the NAT let
// this work at all.
//
// It is a machine, as a Check is, and ends at the first mapping that is gone.
type Lifetime struct {
	codec  stun.Codec
	id     func() stun.ID
	server netip.AddrPort
	ages   []time.Duration
	maps   []*exchange // of sockets 1 and up
	made   []time.Time // when they were answered
	look   *exchange   // what runs now
	age    int         // the index of its age
	kept   int         // how many mappings were there when they were looked at
	over   bool
}

// A LifetimeResult is what a measurement has found. A mapping is kept for at least
// Kept, and at most Gone; Gone is 0 if none was found to be gone. Known is false if
// server or NAT do not let it be measured.
type LifetimeResult struct {
	Known      bool
	Kept, Gone time.Duration
}

// StartLifetime begins a measurement. Ages rise from 0.
func StartLifetime(now time.Time, server netip.AddrPort, ages []time.Duration, id func() stun.ID, out []Out) (*Lifetime, []Out) {
	if id == nil {
		id = randomID
	}
	l := &Lifetime{id: id, server: server, ages: ages, made: make([]time.Time, len(ages)), over: len(ages) == 0}
	for i := range ages {
		l.maps = append(l.maps, l.begin(stun.Request{}, 1+i))
	}
	return l, l.Advance(now, out)
}

// begin makes an exchange for a request from a socket.
func (l *Lifetime) begin(r stun.Request, socket int) *exchange {
	r.ID = l.id()
	return &exchange{
		socket: socket, to: l.server, from: l.server, id: r.ID, data: l.codec.AppendRequest(nil, r, ""),
		maxTries: firstTries, retry: firstTry, last: firstTry,
	}
}

// Done reports whether the measurement is over.
func (l *Lifetime) Done() bool { return l.over }

// Timeout returns when Advance has to be called next.
func (l *Lifetime) Timeout() time.Time {
	var next time.Time
	for _, x := range append(slices.Clone(l.maps), l.look) {
		if x != nil && !x.over && (next.IsZero() || x.next.Before(next)) {
			next = x.next
		}
	}
	if next.IsZero() {
		next = l.made[l.age].Add(l.ages[l.age])
	}
	return next
}

// Handle takes a datagram that has come to a socket.
func (l *Lifetime) Handle(now time.Time, socket int, from netip.AddrPort, data []byte, out []Out) []Out {
	r, err := l.codec.ParseResponse(data)
	if err != nil || from != l.server {
		return l.Advance(now, out)
	}
	for i, x := range l.maps {
		if x.id == r.ID && socket == x.socket && r.Code == 0 && !x.answered {
			x.over, x.answered, x.answer = true, true, r
			l.made[i] = now
		}
	}
	switch x := l.look; {
	case x == nil || x.id != r.ID || x.over:
	case r.Code != 0 && socket == 0: // the server cannot do it
		x.over = true
	case r.Code == 0 && socket == 1+l.age:
		x.over, x.answered = true, true
	}
	return l.Advance(now, out)
}

// Advance takes the passing of time.
func (l *Lifetime) Advance(now time.Time, out []Out) []Out {
	for !l.over {
		for _, x := range append(slices.Clone(l.maps), l.look) {
			out = x.repeat(now, out)
		}
		if !l.proceed(now) {
			break
		}
	}
	return out
}

// proceed goes on with the next mapping, and reports whether it did.
func (l *Lifetime) proceed(now time.Time) bool {
	switch {
	case !over(l.maps...):
		return false
	case l.look == nil: // time for the next, if it has come
		if !l.maps[l.age].answered {
			l.over = true
			return true
		}
		if now.Before(l.made[l.age].Add(l.ages[l.age])) {
			return false
		}
		l.look = l.begin(stun.Request{ReplyPort: l.maps[l.age].answer.Mapped.Port()}, 0)
	case !l.look.over:
		return false
	default:
		if l.look.answered {
			l.kept++
		}
		l.over = !l.look.answered || l.kept == len(l.ages)
		l.look = nil
		l.age = min(l.age+1, len(l.ages)-1)
	}
	return true
}

// Result returns what was found.
func (l *Lifetime) Result() (r LifetimeResult) {
	if l.kept == 0 {
		return r
	}
	r.Known, r.Kept = true, l.ages[l.kept-1]
	if l.kept < len(l.ages) && l.maps[l.kept].answered {
		r.Gone = l.ages[l.kept]
	}
	return r
}

// RunLifetime makes a measurement on sockets of its own, of which there is one more
// than there are ages, and closes them.
func RunLifetime(ctx context.Context, server netip.AddrPort, ages []time.Duration, conns []punch.Conn) (LifetimeResult, error) {
	l, out := StartLifetime(time.Now(), server, ages, nil, nil)
	if err := drive(ctx, l, conns, out, func() {}); err != nil {
		return LifetimeResult{}, err
	}
	return l.Result(), nil
}
