package portmap

import (
	"errors"
	"fmt"
	"time"
)

// Times of a lease.
const (
	// defaultLifetime is asked for; RFC 6886 section 3.3 and RFC 6887 section 15
	// have as much in mind for hosts that renew.
	defaultLifetime = 2 * time.Hour
	// maxLifetime is believed of a gateway that gives more.
	maxLifetime = 24 * time.Hour
	// minRenew is how long a renewal waits at least (RFC 6887 section 11.2.1).
	minRenew = 4 * time.Second

	// How often we look whether the gateway still knows. A datagram each is
	// nothing; UPnP takes two connections.
	checkTime     = 30 * time.Second
	checkTimeUPnP = 2 * time.Minute

	// calm is how long announcements have no effect after we have asked: anybody
	// in the local network can forge them.
	calm = 2 * time.Second

	// searchTime is when a search that has found nothing is repeated, the first
	// time; the times triple.
	searchTime    = 10 * time.Second
	maxSearchTime = 10 * time.Minute
	// maxRetry is for how long a gateway may send us away.
	maxRetry = 30 * time.Minute
)

// Why there is no mapping.
var (
	errNoGateway = errors.New("no gateway is known")
	errSearching = errors.New("the gateway is being asked")
	errExpired   = errors.New("the gateway no longer answers")
)

// A task is what is to be done about a mapping.
type task uint8

const (
	rest   task = iota // nothing, for now
	search             // for a protocol that works
	renew              // ask for the same, by the same protocol
	check              // whether the gateway has forgotten
)

// A lease is the machine behind one mapping: it says what to do when, and takes what
// came of it. It does no I/O and reads no clock. Owned by one goroutine.
type lease struct {
	port     uint16
	lifetime time.Duration

	way      Way // the zero Way: there is none
	method   Method
	grant    grant     // if there is a method
	expires  time.Time // zero: never
	renewAt  time.Time
	checkAt  time.Time
	epoch    epoch
	searchAt time.Time // if there is no method
	failures int       // searches in a row that have found nothing
	asked    time.Time // when we have asked for something last
	why      error     // there is no mapping
}

func newLease(port uint16, lifetime time.Duration) *lease {
	if lifetime <= 0 {
		lifetime = defaultLifetime
	}
	return &lease{port: port, lifetime: lifetime, why: errNoGateway}
}

// held reports whether the gateway forwards our port, as far as we know.
func (l *lease) held() bool { return l.method != 0 }

// wish returns what to ask for: what we had, if possible.
func (l *lease) wish() wish {
	return wish{port: l.port, external: l.grant.external, lifetime: l.lifetime}
}

// due returns what to do now.
func (l *lease) due(now time.Time) task {
	if l.held() && !l.expires.IsZero() && !now.Before(l.expires) {
		l.lose(now, errExpired)
	}
	switch {
	case !l.way.Gateway.IsValid():
		return rest
	case !l.held() && !now.Before(l.searchAt):
		return search
	case l.held() && !now.Before(l.renewAt):
		return renew
	case l.held() && !now.Before(l.checkAt):
		return check
	}
	return rest
}

// timeout returns when due has something to do next; zero: never.
func (l *lease) timeout() time.Time {
	switch {
	case !l.way.Gateway.IsValid():
		return time.Time{}
	case !l.held():
		return l.searchAt
	}
	next := l.renewAt
	if l.checkAt.Before(next) {
		next = l.checkAt
	}
	if !l.expires.IsZero() && l.expires.Before(next) {
		next = l.expires
	}
	return next
}

// moved takes where the gateway is now: what another one knew is of no use, nor what
// it knew of another address of ours.
func (l *lease) moved(now time.Time, w Way) {
	*l = lease{port: l.port, lifetime: l.lifetime, way: w, searchAt: now, why: errSearching}
	if !w.Gateway.IsValid() {
		l.why = errNoGateway
	}
}

// granted takes what the gateway has given at a search or a renewal.
func (l *lease) granted(now time.Time, m Method, g grant) {
	l.method, l.grant, l.failures, l.why, l.asked = m, g, 0, nil, now
	l.epoch = epoch{}
	if g.pulse.counted {
		l.epoch.forgotten(now, g.pulse.epoch)
	}
	lifetime := min(g.lifetime, maxLifetime)
	l.expires = now.Add(lifetime)
	if lifetime == 0 {
		l.expires, lifetime = time.Time{}, l.lifetime
	}
	l.renewAt = now.Add(max(lifetime/2, minRenew))
	l.checkAt = now.Add(l.checkTime())
}

func (l *lease) checkTime() time.Duration {
	if l.method == UPnP {
		return checkTimeUPnP
	}
	return checkTime
}

// failed takes why a task has come to nothing.
func (l *lease) failed(now time.Time, t task, err error) {
	l.asked = now
	switch t {
	case search:
		wait := searchTime
		for range l.failures {
			wait = min(3*wait, maxSearchTime)
		}
		var refused *Refusal
		if errors.As(err, &refused) {
			wait = max(wait, min(refused.Retry, maxRetry))
		}
		l.failures++
		l.searchAt, l.why = now.Add(wait), err
	case renew:
		var refused *Refusal
		if errors.As(err, &refused) {
			l.lose(now, err) // another protocol may do
			return
		}
		left := l.lifetime
		if !l.expires.IsZero() {
			left = l.expires.Sub(now)
		}
		l.renewAt = now.Add(max(left/2, minRenew)) // RFC 6887 section 11.2.1
	case check:
		l.checkAt = now.Add(l.checkTime())
	}
}

// checked takes a sign of life: if the gateway has forgotten, or has another outer
// address, we ask again at once. The mapping counts until there is an answer.
func (l *lease) checked(now time.Time, p pulse) {
	l.asked = now
	l.checkAt = now.Add(l.checkTime())
	forgotten := p.counted && l.epoch.forgotten(now, p.epoch)
	if p.lost || forgotten || p.external.IsValid() && p.external != l.grant.external.Addr() {
		l.renewAt = now
	}
}

// announced takes that the gateway, or somebody in its name, says that it has
// restarted or has another outer address: we look.
func (l *lease) announced(now time.Time) {
	at := l.asked.Add(calm)
	if at.Before(now) {
		at = now
	}
	switch {
	case l.held() && at.Before(l.checkAt):
		l.checkAt = at
	case !l.held() && at.Before(l.searchAt):
		l.searchAt = at
	}
}

// lose takes that the mapping is no more, and begins a search.
func (l *lease) lose(now time.Time, why error) {
	l.method, l.searchAt, l.why = 0, now, why
	l.expires, l.epoch = time.Time{}, epoch{}
}

// describe returns a sentence about why there is no mapping.
func describe(w Way, err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errSilent):
		return fmt.Sprintf("the gateway %v does not answer by PCP, NAT-PMP or UPnP", w.Gateway)
	}
	return err.Error()
}
