package web

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// A network may try so many wrong passwords at once, and one each failureEvery in
	// the long run.
	failureBurst = 10
	failureEvery = 5 * time.Second

	// maxGuarded is how many networks are remembered. Beyond it all are forgotten: who
	// has thousands of networks could try from each of them anyhow.
	maxGuarded = 4096
)

// A guard slows down who guesses passwords. It is safe for concurrent use.
type guard struct {
	mu   sync.Mutex
	till map[netip.Prefix]time.Time // when all tries of a network are forgotten
}

// network returns what one who guesses is likely to have all of.
func network(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}

// blocked reports whether a network has to wait.
func (g *guard) blocked(now time.Time, from netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.till[network(from)].Sub(now) > (failureBurst-1)*failureEvery
}

// failed notes a wrong password.
func (g *guard) failed(now time.Time, from netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.till == nil || len(g.till) >= maxGuarded {
		g.till = map[netip.Prefix]time.Time{}
	}
	n := network(from)
	till := g.till[n]
	if till.Before(now) {
		till = now
	}
	g.till[n] = till.Add(failureEvery)
}
