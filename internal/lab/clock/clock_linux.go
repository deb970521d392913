package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now returns the present.
func Now() Instant { return read(unix.CLOCK_MONOTONIC) }

// OfStamp converts a time that the kernel took a moment ago, of a packet. Those
// are in the time of day, which may be set: what counts is how long ago it was.
func OfStamp(t time.Time) Instant {
	return Now() - (read(unix.CLOCK_REALTIME) - Instant(t.UnixNano()))
}

// read reads one of the kernel's clocks. It cannot fail with those above.
func read(id int32) Instant {
	var t unix.Timespec
	unix.ClockGettime(id, &t)
	return Instant(t.Nano())
}
