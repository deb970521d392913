//go:build !unix

package main

import (
	"context"
	"syscall"
)

// signals are none where there are no such signals.
func (n *node) signals() map[syscall.Signal]func(context.Context) { return nil }
