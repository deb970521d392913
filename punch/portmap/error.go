package portmap

import (
	"errors"
	"syscall"
)

// isRefused reports whether an error says that nobody listens on a port.
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// isSilent reports whether an error means no more than that the gateway does not
// speak a protocol.
func isSilent(err error) bool { return errors.Is(err, errSilent) || errors.Is(err, errOldPCP) }
