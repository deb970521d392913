//go:build !linux && !darwin && !freebsd && !solaris && !windows

package udp

import "errors"

// dontFragment is not possible here for IPv4.
func dontFragment(uintptr, families) error { return errors.ErrUnsupported }
