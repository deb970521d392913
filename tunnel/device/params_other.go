//go:build !linux && !darwin && !windows

package device

import "github.com/songgao/water"

// supported says that the library has no TUN device for this system.
const supported = false

func params(Config) water.PlatformSpecificParams { return water.PlatformSpecificParams{} }
