package device

import "github.com/songgao/water"

const supported = true

// params returns what to ask the system for. Names are utun and a number.
func params(cfg Config) water.PlatformSpecificParams {
	return water.PlatformSpecificParams{Name: cfg.Name}
}
