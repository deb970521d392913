package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// toInterface returns what binds sockets to an interface; nil if there is none.
func toInterface(name string) func(network, address string, c syscall.RawConn) error {
	if name == "" {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), name) }); cerr != nil {
			return cerr
		}
		return err
	}
}
