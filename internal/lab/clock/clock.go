// Package clock is the one clock of an experiment. Programs in all namespaces of
// a machine read it alike, and nothing sets it, so that times of several
// processes can be compared to the microsecond.
package clock

import (
	"fmt"
	"time"
)

// An Instant is a point in time: nanoseconds of the kernel's monotonic clock.
// The zero Instant is before everything.
type Instant int64

// Sub returns the time from u to t.
func (t Instant) Sub(u Instant) time.Duration { return time.Duration(t - u) }

// Add returns the instant d after t.
func (t Instant) Add(d time.Duration) Instant { return t + Instant(d) }

// String returns seconds.
func (t Instant) String() string { return fmt.Sprintf("%.6f s", time.Duration(t).Seconds()) }
