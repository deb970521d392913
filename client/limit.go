package client

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"campagnol/tunnel/handshake"
)

// How ASKs are limited. A program that scans the VPN's addresses makes one for
// each; the RDV and ourselves must not feel it.
const (
	askRate  = 50  // a second
	askBurst = 128 // at once: a node that talks to all its peers when it starts

	refusalMin = time.Second     // how long an address is left alone after a failure
	refusalMax = 2 * time.Second // doubling for each that follows; a peer that comes up is found this soon
	maxRefused = 4096            // addresses remembered
)

// A bucket is a token bucket. Its zero value is empty.
type bucket struct {
	tokens float64
	filled time.Time
}

// take takes a token if there is one. rate is in tokens a second; a bucket holds
// burst of them.
func (b *bucket) take(now time.Time, rate, burst float64) bool {
	return b.takeMany(now, 1, rate, burst)
}

// takeMany takes n tokens, or none if there are not so many.
func (b *bucket) takeMany(now time.Time, n, rate, burst float64) bool {
	if b.filled.IsZero() {
		b.tokens = burst
	} else if d := now.Sub(b.filled); d > 0 {
		b.tokens = min(burst, b.tokens+rate*d.Seconds())
	}
	b.filled = now
	if b.tokens < n {
		return false
	}
	b.tokens -= n
	return true
}

// refusals remembers addresses that could not be reached, so that not every
// packet for one of them asks the RDV again. Its zero value is empty; it holds
// maxRefused addresses.
type refusals struct {
	m map[netip.Addr]refusal
}

type refusal struct {
	until time.Time
	wait  time.Duration
}

// note remembers that a was not reached.
func (r *refusals) note(now time.Time, a netip.Addr) {
	if r.m == nil {
		r.m = map[netip.Addr]refusal{}
	}
	old, again := r.m[a]
	wait := refusalMin
	if again && now.Sub(old.until) < refusalMax {
		wait = min(2*old.wait, refusalMax)
	}
	if !again && len(r.m) >= maxRefused {
		r.shrink(now)
	}
	r.m[a] = refusal{until: now.Add(wait), wait: wait}
}

// shrink makes room: it forgets what has expired or, failing that, everything,
// which costs a few questions too many.
func (r *refusals) shrink(now time.Time) {
	for a, f := range r.m {
		if !now.Before(f.until) {
			delete(r.m, a)
		}
	}
	if len(r.m) >= maxRefused {
		clear(r.m)
	}
}

// has reports whether a is to be left alone.
func (r *refusals) has(now time.Time, a netip.Addr) bool {
	f, ok := r.m[a]
	return ok && now.Before(f.until)
}

// forget forgets a: it was reached, or it has reached us.
func (r *refusals) forget(a netip.Addr) { delete(r.m, a) }

// maxFailures is how many peers that could not be reached are remembered for
// people. Any host may knock under any VPN address.
const maxFailures = 64

// failures remembers why peers could not be reached last. Its zero value is
// empty.
type failures struct {
	m map[netip.Addr]Failure
}

// note remembers why a was not reached, and forgets the oldest if there are too
// many.
func (f *failures) note(now time.Time, a netip.Addr, reason string, cause error) {
	if f.m == nil {
		f.m = map[netip.Addr]Failure{}
	}
	var legacy *handshake.LegacyError
	n := Failure{VPNAddr: a, Time: now, Reason: reason, Legacy: errors.As(cause, &legacy)}
	if cause != nil {
		n.Reason = cause.Error()
	}
	f.m[a] = n
	if len(f.m) > maxFailures {
		oldest := n
		for _, o := range f.m {
			if o.Time.Before(oldest.Time) {
				oldest = o
			}
		}
		delete(f.m, oldest.VPNAddr)
	}
}

// forget forgets a: it was reached.
func (f *failures) forget(a netip.Addr) { delete(f.m, a) }

// list returns the failures by VPN address.
func (f *failures) list() []Failure {
	return slices.SortedFunc(maps.Values(f.m), func(a, b Failure) int { return a.VPNAddr.Compare(b.VPNAddr) })
}
