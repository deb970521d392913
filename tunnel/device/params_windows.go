package device

import "github.com/songgao/water"

const supportsTUN, supportsTAP = true, true

// params returns what to ask the driver for. For a device of IP packets it plays
// the neighbours, for which it wants to know the network.
func params(cfg Config) water.PlatformSpecificParams {
	p := water.PlatformSpecificParams{ComponentID: "tap0901", InterfaceName: cfg.Name}
	if cfg.Address.IsValid() {
		p.Network = cfg.Address.String()
	}
	return p
}
