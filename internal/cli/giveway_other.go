//go:build !linux

package cli

import "errors"

// lowerPriority does nothing: how it is done differs from system to system.
func lowerPriority(int) error { return errors.ErrUnsupported }
