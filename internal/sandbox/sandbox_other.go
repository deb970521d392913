//go:build !linux

package sandbox

import "io/fs"

// Become returns an error on this system.
func (a *Account) Become(...Capability) error { return ErrUnsupported }

// Own returns an error on this system.
func (a *Account) Own(string, fs.FileMode) error { return ErrUnsupported }

// Confine does nothing on this system.
func Confine(Paths) (confined bool, err error) { return false, nil }

// Writable returns nil on this system: it will be seen.
func Writable(string) error { return nil }
