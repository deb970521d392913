package client

import (
	"sync/atomic"
	"time"

	"campagnol/tunnel"
)

// meterBurst is how much may be relayed at once: what the rate allows in this time.
const meterBurst = tunnel.Stamp(250 * time.Millisecond)

// minMeterBurst is the least that may be relayed at once, in bytes, however low the rate.
const minMeterBurst = 8 * etherMTU

// A meter bounds a rate of bytes. It is a token bucket of one number, the moment at which
// it would be full again, so that the goroutines of the data path share it without a lock.
type meter struct {
	cost  float64 // of a byte, in nanoseconds
	burst tunnel.Stamp
	full  atomic.Int64 // Stamp
}

// newMeter returns a full meter for a rate in bytes a second; 0 is no limit.
func newMeter(rate int64) *meter {
	if rate <= 0 {
		return &meter{burst: meterBurst}
	}
	m := &meter{cost: float64(time.Second) / float64(rate)}
	m.burst = max(meterBurst, tunnel.Stamp(m.cost*minMeterBurst))
	return m
}

// take takes n bytes if they are there.
func (m *meter) take(now tunnel.Stamp, n int) bool { return m.takeOf(now, n, m.burst) }

// takeSpare takes n bytes if half of what can be taken at once is left then: whoever takes
// more than its share leaves that to those who do not.
func (m *meter) takeSpare(now tunnel.Stamp, n int) bool { return m.takeOf(now, n, m.burst/2) }

func (m *meter) takeOf(now tunnel.Stamp, n int, burst tunnel.Stamp) bool {
	cost := int64(m.cost * float64(n))
	for {
		full := m.full.Load()
		next := max(full, int64(now)) + cost
		if next-int64(now) > int64(burst) {
			return false
		}
		if m.full.CompareAndSwap(full, next) {
			return true
		}
	}
}
