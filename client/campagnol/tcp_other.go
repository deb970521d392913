//go:build !linux

package main

import "syscall"

// toInterface would return what binds sockets to an interface. Where that is not possible
// the client does not start with one (punch/udp).
func toInterface(string) func(network, address string, c syscall.RawConn) error { return nil }
