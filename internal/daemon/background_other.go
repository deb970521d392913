//go:build !unix

package daemon

import (
	"context"
	"errors"
)

// errUnsupported is returned where there are no sessions and no signals.
var errUnsupported = errors.New("this system has no daemons: let its service manager start the program in the foreground")

// Background returns an error on this system.
func Background(context.Context, Options) (*Child, error) { return nil, errUnsupported }
