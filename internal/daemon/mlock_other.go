//go:build !linux

package daemon

import "errors"

// LockMemory returns an error on this system.
func LockMemory() error {
	return errors.New("lock memory: this system cannot do it")
}
