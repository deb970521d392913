//go:build !unix && !windows

package main

import (
	"context"
	"errors"
	"os/exec"
)

// shell says that commands cannot be run.
func shell(context.Context, string) (*exec.Cmd, error) {
	return nil, errors.New("no shell is known for this system")
}

// quoteShell returns s as it is: there is no shell to quote for.
func quoteShell(s string) string { return s }
