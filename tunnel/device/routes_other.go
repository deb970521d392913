//go:build !linux

package device

import (
	"errors"
	"fmt"
	"runtime"
)

// SetRoutes is not possible here: routes to networks behind peers have to be set by
// hand.
func (k *Kernel) SetRoutes(want []Route) ([]RouteProblem, error) {
	if len(want) == 0 {
		return nil, nil
	}
	return nil, fmt.Errorf("device: routes of %s: not possible on %s: %w", k.Name(), runtime.GOOS, errors.ErrUnsupported)
}

// SetForwarding is not possible here.
func (k *Kernel) SetForwarding(bool) ([]error, error) {
	return nil, fmt.Errorf("device: forwarding of %s: not possible on %s: %w", k.Name(), runtime.GOOS, errors.ErrUnsupported)
}

// ClearForwarding has nothing to take back.
func (k *Kernel) ClearForwarding() error { return nil }
