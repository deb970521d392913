package relay

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// burst is what a bucket lets through at once, as the time that it takes at its
	// rate, and leastBurst at least how much: the largest run of datagrams.
	burst      = 50 * time.Millisecond
	leastBurst = 1 << 16
)

// A bucket bounds a rate. It holds when it would be full again, at the rate, if all
// that went through had gone at that rate: one number and no timer (the generic cell
// rate algorithm). It is safe for concurrent use.
type bucket struct {
	rate  int64 // units per second; 0: any
	burst int64 // nanoseconds
	due   atomic.Int64
}

// setRate sets the rate, and what goes at once: least units or more. It comes before
// use.
func (b *bucket) setRate(rate, least int64) {
	b.rate = rate
	if rate > 0 {
		b.burst = max(int64(burst), b.cost(least))
	}
}

// cost returns the time that n units take. They are few enough for an int64.
func (b *bucket) cost(n int64) int64 { return n * int64(time.Second) / b.rate }

// within returns how many units go in a time. The product has more than 64 bits at
// terabytes a second.
func (b *bucket) within(d int64) int64 {
	if d <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(d), uint64(b.rate))
	if hi >= uint64(time.Second) {
		return math.MaxInt64
	}
	n, _ := bits.Div64(hi, lo, uint64(time.Second))
	return int64(min(n, math.MaxInt64))
}

// take returns how many of count things of size units, each, go through at now.
func (b *bucket) take(now time.Duration, size, count int) int {
	if b.rate <= 0 {
		return count
	}
	for {
		due := b.due.Load()
		begin := max(due, int64(now))
		room := b.within(int64(now) + b.burst - begin)
		n := min(int64(count), room/int64(max(size, 1)))
		if n <= 0 {
			return 0
		}
		if b.due.CompareAndSwap(due, begin+b.cost(n*int64(size))) {
			return int(n)
		}
	}
}

// give puts back what was taken in vain.
func (b *bucket) give(size, count int) {
	if b.rate > 0 && count > 0 {
		b.due.Add(-b.cost(int64(size) * int64(count)))
	}
}
