package stream

import (
	"net/netip"
	"time"
)

const (
	// A network may begin so many connections, one in beginInterval and beginBurst of
	// them at once: each costs a handshake of TLS, a fraction of a millisecond.
	beginInterval = 50 * time.Millisecond
	beginBurst    = 128

	// maxNetworks is how many networks are remembered. Each has a connection, or had
	// one a few seconds ago; beyond it those that are not known are refused.
	maxNetworks = 16 << 10
)

// limits bound connections. Whoever calls its methods holds a lock.
type limits struct {
	most, mostOfNetwork int
	all                 int
	networks            map[netip.Prefix]*usage
}

// usage is what a network has.
type usage struct {
	open int
	due  time.Time // when it would have begun none
}

func newLimits(most, mostOfNetwork int) *limits {
	return &limits{most: most, mostOfNetwork: mostOfNetwork, networks: map[netip.Prefix]*usage{}}
}

// enter reports whether a network may have another connection, which leave ends.
func (l *limits) enter(now time.Time, n netip.Prefix) bool {
	if l.all >= l.most {
		return false
	}
	u := l.networks[n]
	if u == nil {
		if len(l.networks) >= maxNetworks && !l.forget(now) {
			return false
		}
		u = &usage{}
		l.networks[n] = u
	}
	next := now.Add(beginInterval)
	if u.due.After(now) {
		next = u.due.Add(beginInterval)
	}
	if u.open >= l.mostOfNetwork || next.Sub(now) > beginBurst*beginInterval {
		return false
	}
	u.due = next
	u.open++
	l.all++
	return true
}

// leave ends a connection.
func (l *limits) leave(now time.Time, n netip.Prefix) {
	u := l.networks[n]
	l.all--
	if u.open--; u.open == 0 && !u.due.After(now) {
		delete(l.networks, n)
	}
}

// forget forgets the networks that have nothing, and reports whether there is room now.
func (l *limits) forget(now time.Time) bool {
	for n, u := range l.networks {
		if u.open == 0 && !u.due.After(now) {
			delete(l.networks, n)
		}
	}
	return len(l.networks) < maxNetworks
}
