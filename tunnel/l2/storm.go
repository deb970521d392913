package l2

import (
	"sync/atomic"
	"time"
)

// A Stamp is a moment as the data path notes it: nanoseconds since shortly before
// the switch began.
type Stamp int64

// A bucket is a token bucket, as the moment at which it will be full again (the
// generic cell rate algorithm of ATM). Its zero value is full. It is safe for
// concurrent use and never blocks.
type bucket struct{ full atomic.Int64 }

// take takes a token if there is one. rate is in tokens a second; a bucket holds
// burst of them.
func (b *bucket) take(at Stamp, rate rate) bool {
	if rate.interval == 0 {
		return true
	}
	for {
		old := b.full.Load()
		next := max(old, int64(at)) + rate.interval
		if next-int64(at) > rate.depth {
			return false
		}
		if b.full.CompareAndSwap(old, next) {
			return true
		}
	}
}

// A rate is how fast a bucket fills and how much it holds, in nanoseconds. The zero
// value is no limit.
type rate struct{ interval, depth int64 }

// minBurst is what a limit lets pass at once, at least: a host that comes up says
// more than one thing.
const minBurst = 16

// newRate returns the rate for n frames a second, of which a quarter may come at
// once; negative: no limit.
func newRate(n int) rate {
	if n < 0 {
		return rate{}
	}
	n = min(n, int(time.Second))
	interval := int64(time.Second) / int64(n)
	return rate{interval, interval * int64(max(minBurst, n/4))}
}

// The limits that are not configured, in a second.
const (
	bpduRate  = 50   // frames of the spanning tree of each port: a bridge sends few
	learnRate = 2000 // notes about new addresses of each port
	wantRate  = 100  // notes about whom we miss
)

// A flow is what a limit is about.
type flow uint8

// The flows.
const (
	broadcastFlow flow = iota
	unknownFlow
	multicastFlow
	bpduFlow
	flowCount
)

// flowDrops says what a frame beyond a limit is counted as.
var flowDrops = [flowCount]Drop{DropBroadcast, DropUnknown, DropMulticast, DropMulticast}

// quiet is how long something must not have happened for its next time to be worth
// an event.
const quiet = 10 * time.Second

// An onset turns many occurrences into one event at their beginning. It is safe for
// concurrent use: of several goroutines, one raises.
type onset struct{ last atomic.Int64 }

// raise notes an occurrence and reports whether it is the first in a while.
func (o *onset) raise(at Stamp) bool {
	last := o.last.Swap(int64(at))
	return last == 0 || int64(at)-last > int64(quiet)
}
