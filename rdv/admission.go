package rdv

import (
	"net/netip"
	"time"
)

const (
	// maxHandshakes is how many handshakes run at the same time. A handshake
	// takes a millisecond of processor time, two round trips, and 24 KB until
	// it goes on. With round trips of 100 ms so many keep one core busy; more
	// would only make those who ask for peers wait for the arithmetic.
	maxHandshakes = 256

	// maxOfNetwork is how many of them may be of one network, and startInterval
	// and startBurst how fast they may begin. One host can have any number of
	// ports, and of addresses in its network.
	maxOfNetwork  = 64
	startInterval = 5 * time.Millisecond
	startBurst    = time.Second

	// handshakeTime is the longest that a handshake may take.
	handshakeTime = 5 * time.Second

	// minWait and maxWait bound what a client is told to wait.
	minWait = 250 * time.Millisecond
	maxWait = 30 * time.Second
)

// Bounds on the pace at which handshakes end, as admission estimates it. The upper
// one is what a slow processor takes for one. Who is called back too early costs
// next to nothing; an estimate from a moment in which all clients were busy would
// make all of them wait for nothing.
const (
	minPace = 500 * time.Microsecond
	maxPace = 3 * time.Millisecond
)

// An admission decides who may begin a handshake, and when those come back who may
// not. It gives each of them a time of its own: one after another at the pace at
// which handshakes end. So their waits grow with their number, and they do not all
// come at once.
//
// It has no clock. One goroutine owns it.
type admission struct {
	jitter func() float64 // in [0, 1)

	open     int
	networks map[network]int // handshakes of each network that has any
	starts   limiter
	begin    time.Time

	slot  time.Time     // the last that was given
	pace  time.Duration // smoothed time between two ends while there is no room
	ended time.Time     // the last end while there was no room
}

// A network is 256 IPv4 addresses, or 2^72 IPv6 ones: what one customer of a
// provider has at most.
type network uint64

func networkOf(a netip.Addr) network {
	b := a.Unmap().As16()
	var n network
	from, to := 0, 7
	if a.Unmap().Is4() {
		from, to = 12, 15
	}
	for _, x := range b[from:to] {
		n = n<<8 | network(x)
	}
	if from == 0 {
		n |= 1 << 63 // no IPv4 network has this
	}
	return n
}

// fold returns n in 32 bits, for a limiter.
func (n network) fold() uint32 { return uint32(n ^ n>>32) }

func newAdmission(now time.Time, jitter func() float64) *admission {
	return &admission{
		jitter:   jitter,
		networks: map[network]int{},
		starts:   limiter{interval: startInterval, burst: startBurst},
		begin:    now,
		pace:     time.Millisecond,
	}
}

// admit reports whether a client at a may begin a handshake, which release ends,
// or else when it should come back.
func (ad *admission) admit(now time.Time, a netip.Addr) (wait time.Duration, ok bool) {
	n := networkOf(a)
	switch {
	case ad.open >= maxHandshakes:
		return ad.wait(now), false
	case ad.networks[n] >= maxOfNetwork || !ad.starts.allowNetwork(now.Sub(ad.begin), n.fold()):
		// That its network is full says nothing about the others.
		return time.Second + time.Duration(ad.jitter()*float64(2*time.Second)), false
	}
	ad.open++
	ad.networks[n]++
	return 0, true
}

// wait returns when the next place is likely to be free for who has none.
func (ad *admission) wait(now time.Time) time.Duration {
	if first := now.Add(minWait); ad.slot.Before(first) {
		ad.slot = first
	}
	ad.slot = ad.slot.Add(ad.pace)
	if last := now.Add(maxWait); ad.slot.After(last) {
		ad.slot = last
		// More than can be served in this time: spread them over half of it.
		return maxWait - time.Duration(ad.jitter()*float64(maxWait/2))
	}
	d := ad.slot.Sub(now)
	return max(minWait, d-time.Duration(ad.jitter()*float64(d/4)))
}

// release notes the end of a handshake of a client at a.
func (ad *admission) release(now time.Time, a netip.Addr) {
	if ad.open >= maxHandshakes {
		if !ad.ended.IsZero() {
			ad.pace += (min(max(now.Sub(ad.ended), minPace), maxPace) - ad.pace) / 16
		}
		ad.ended = now
	} else {
		ad.ended = time.Time{}
		ad.pace = max(minPace, ad.pace-ad.pace/64) // it can be faster
	}
	ad.open--
	n := networkOf(a)
	if ad.networks[n]--; ad.networks[n] == 0 {
		delete(ad.networks, n)
	}
}
