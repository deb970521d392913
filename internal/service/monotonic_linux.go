package service

import (
	"time"

	"golang.org/x/sys/unix"
)

// monotonic returns the time of the clock that systemd goes by.
func monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
