package device

import (
	"errors"
	"fmt"
	"net/netip"
)

// A Route leads to a network behind a peer, over the interface.
type Route struct {
	Network netip.Prefix // masked
	Source  netip.Addr   // what programs on this host send from; the zero Addr: the kernel's choice
	Metric  int          // the less, the better; 0 is the kernel's default
}

// A RouteProblem says why there is no route to a network.
type RouteProblem struct {
	Network netip.Prefix
	Err     error
}

func (p RouteProblem) Error() string { return fmt.Sprintf("no route to %v: %v", p.Network, p.Err) }

// Unwrap returns the reason.
func (p RouteProblem) Unwrap() error { return p.Err }

// errNoRoutes is for routes to an Ethernet device, whose hosts find each other.
var errNoRoutes = errors.New("an Ethernet interface has no networks behind peers")
