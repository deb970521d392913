package device

import "github.com/songgao/water"

// The library has no TAP device of this system: there is none without a driver of a
// third party, which its newer versions no longer load.
const supportsTUN, supportsTAP = true, false

// params returns what to ask the system for. Names are utun and a number.
func params(cfg Config) water.PlatformSpecificParams {
	return water.PlatformSpecificParams{Name: cfg.Name}
}
