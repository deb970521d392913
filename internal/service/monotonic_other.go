//go:build !linux

package service

import "time"

// monotonic returns 0: there is no systemd here that would go by it.
func monotonic() time.Duration { return 0 }
