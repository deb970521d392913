//go:build !unix || solaris || aix

package safefile

import "errors"

var errUnsupported = errors.New("safefile: no file locks on this system")

// Lock is not available on this system.
func Lock(string) (unlock func(), err error) { return nil, errUnsupported }
