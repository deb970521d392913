//go:build unix

package main

import (
	"context"
	"syscall"
)

// signals are what the node does on signals.
func (n *node) signals() map[syscall.Signal]func(context.Context) {
	return map[syscall.Signal]func(context.Context){
		syscall.SIGHUP:  n.reload,
		syscall.SIGUSR1: n.restart,
		syscall.SIGUSR2: n.renew,
	}
}
