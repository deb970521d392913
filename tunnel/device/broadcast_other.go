//go:build !linux

package device

import (
	"errors"
	"fmt"
	"net/netip"
)

// AcceptBroadcast is not possible on this system.
func (k *Kernel) AcceptBroadcast(a netip.Addr) error {
	return fmt.Errorf("device: accept packets to %v: %w", a, errors.ErrUnsupported)
}
