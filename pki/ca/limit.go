package ca

import (
	"net/netip"
	"sync"
	"time"
)

// Limits on requests that cost something: signatures, and files that are read and
// written. They are those of a fleet whose certificates end on one day, and of a
// machine that has other things to do.
const (
	totalRate, totalBurst     = 20.0, 40.0 // a second
	networkRate, networkBurst = 4.0, 16.0  // a second, of one network
	maxNetworks               = 4096       // that are remembered
)

// A limiter bounds requests, in all and of each network. It is safe for concurrent
// use.
type limiter struct {
	mu       sync.Mutex
	total    bucket
	networks map[netip.Prefix]bucket
}

// A bucket holds what may be done at once.
type bucket struct {
	level float64
	at    time.Time // of level; zero: the bucket is full
}

// fill brings b to a time.
func (b bucket) fill(now time.Time, rate, burst float64) bucket {
	switch {
	case b.at.IsZero():
		b.level = burst
	case now.After(b.at):
		b.level = min(burst, b.level+now.Sub(b.at).Seconds()*rate)
	}
	b.at = now
	return b
}

// allow reports whether a request from an address may cost something.
func (l *limiter) allow(now time.Time, from netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	network := networkOf(from)
	b, known := l.networks[network]
	if !known && len(l.networks) >= maxNetworks {
		l.forget(now)
	}
	if !known && len(l.networks) >= maxNetworks {
		return false
	}
	b = b.fill(now, networkRate, networkBurst)
	l.total = l.total.fill(now, totalRate, totalBurst)
	ok := b.level >= 1 && l.total.level >= 1
	if ok {
		b.level--
		l.total.level--
	}
	if l.networks == nil {
		l.networks = map[netip.Prefix]bucket{}
	}
	l.networks[network] = b
	return ok
}

// forget forgets the networks whose buckets are full again.
func (l *limiter) forget(now time.Time) {
	for n, b := range l.networks {
		if b.fill(now, networkRate, networkBurst).level >= networkBurst {
			delete(l.networks, n)
		}
	}
}

// networkOf returns what belongs to one subscriber: 256 IPv4 addresses, or an IPv6
// /56. All requests without address are one network.
func networkOf(a netip.Addr) netip.Prefix {
	bits := 56
	if a = a.Unmap().WithZone(""); a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits)
	return p
}

// Limits of a cache.
const (
	maxAnswers = 256
	answerLife = time.Minute
)

// A cache keeps answers for those who fetch them in pieces, or lose one: the
// pieces have to be of one answer. It is safe for concurrent use.
type cache struct {
	mu      sync.Mutex
	answers map[[32]byte]cached
}

type cached struct {
	whole []byte
	until time.Time
}

func (c *cache) get(now time.Time, key [32]byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a, ok := c.answers[key]; ok && now.Before(a.until) {
		return a.whole
	}
	return nil
}

func (c *cache) put(now time.Time, key [32]byte, whole []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.answers) >= maxAnswers {
		for k, a := range c.answers {
			if !now.Before(a.until) {
				delete(c.answers, k)
			}
		}
	}
	if len(c.answers) >= maxAnswers {
		return // it can be made again
	}
	if c.answers == nil {
		c.answers = map[[32]byte]cached{}
	}
	c.answers[key] = cached{whole, now.Add(answerLife)}
}
