package hard

import (
	"net/netip"
	"time"
)

// waits are how long a peer, and whoever is behind the same address, is left alone
// after an attempt that has come to nothing, and after another.
var waits = [...]time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute}

const (
	// memory is how long it is remembered, after the wait, how often an attempt has
	// come to nothing.
	memory = time.Hour

	// maxStandings is how many peers, and how many addresses, are remembered. When
	// all are waiting, no other gets an attempt: the pause makes sure that this takes
	// somebody days who invents peers.
	maxStandings = 1024

	// In a row, freeFailures attempts may come to nothing before all of them wait,
	// for firstPause, then for twice as long each time, up to lastPause. What is
	// known about NATs may be wrong, or a lie.
	freeFailures = 4
	firstPause   = 10 * time.Second
	lastPause    = 10 * time.Minute
)

// A Cost counts what attempts have cost, and what came of them.
type Cost struct {
	Attempts  uint64
	Sockets   uint64 // opened
	Probes    uint64 // punches sent
	Successes uint64 // tunnels that were opened over what was found
}

// A Ration bounds the attempts of a client. An attempt counts as one that has come to
// nothing from its beginning on, until it is said to have succeeded. Its zero value
// is a client that has made none.
type Ration struct {
	Cost Cost // so far

	peers, hosts map[netip.Addr]*standing
	failed       int       // attempts in a row, as far as they are not forgiven
	pause        time.Time // until when all wait
}

// A standing is what is remembered of a peer, or of a public address.
type standing struct {
	until  time.Time
	failed int
}

// Begin reports whether an attempt may begin to reach a peer, by its VPN address, whose
// NAT has the given public address; if so, it counts.
func (r *Ration) Begin(now time.Time, peer, host netip.Addr) bool {
	if r.peers == nil {
		r.peers, r.hosts = map[netip.Addr]*standing{}, map[netip.Addr]*standing{}
	}
	if now.Before(r.pause) || !ready(now, r.peers, peer) || !ready(now, r.hosts, host) {
		return false
	}
	r.failed++
	if n := r.failed - freeFailures; n >= 0 {
		r.pause = now.Add(min(firstPause<<min(n, 8), lastPause))
	}
	note(now, r.peers, peer)
	note(now, r.hosts, host)
	r.Cost.Attempts++
	return true
}

// Succeeded tells that the attempt that began last has led to the peer. It pays for one
// more that has not.
func (r *Ration) Succeeded(peer, host netip.Addr) {
	delete(r.peers, peer)
	delete(r.hosts, host)
	if r.failed = max(0, r.failed-2); r.failed < freeFailures {
		r.pause = time.Time{}
	}
}

// ready reports whether whoever is remembered under a need not wait, and makes room.
func ready(now time.Time, m map[netip.Addr]*standing, a netip.Addr) bool {
	if s := m[a]; s != nil {
		return !now.Before(s.until)
	}
	if len(m) < maxStandings {
		return true
	}
	for k, s := range m {
		if !now.Before(s.until) {
			delete(m, k)
		}
	}
	return len(m) < maxStandings
}

// note remembers that an attempt has begun.
func note(now time.Time, m map[netip.Addr]*standing, a netip.Addr) {
	s := m[a]
	if s == nil || now.Sub(s.until) > memory {
		s = &standing{}
		m[a] = s
	}
	s.until = now.Add(waits[min(s.failed, len(waits)-1)])
	s.failed++
}
