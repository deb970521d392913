//go:build !linux

package stream

import "net"

// setKernel does nothing: deadlines of writes and keep-alives have to do.
func setKernel(*net.TCPConn) {}
