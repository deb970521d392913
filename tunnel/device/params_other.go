//go:build !linux && !darwin && !windows

package device

import "github.com/songgao/water"

// The library has no device of this system.
const supportsTUN, supportsTAP = false, false

func params(Config) water.PlatformSpecificParams { return water.PlatformSpecificParams{} }
