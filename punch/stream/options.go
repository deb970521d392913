package stream

import (
	"net"
	"time"
)

const (
	// deadAfter is how long what was sent may go unacknowledged.
	deadAfter = 10 * time.Second

	// notSent is how much waits in the kernel, beyond what is on its way: what waits in
	// our queue can still be dropped.
	notSent = 16 << 10

	// kernelBuffer bounds what the kernel keeps for a connection, either way: at 100 ms
	// of round trip it is 20 Mbit/s, and twice that on Linux, which doubles it.
	kernelBuffer = 256 << 10
)

// keepAlive finds out within deadAfter, about, that a connection is dead over which
// nothing is sent.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}

// setOptions prepares the socket of a connection. One that is none of TCP is left alone.
func setOptions(conn net.Conn) {
	c, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	// What cannot be set makes the connection worse, not wrong.
	_ = c.SetNoDelay(true)
	_ = c.SetKeepAliveConfig(keepAlive)
	_ = c.SetReadBuffer(kernelBuffer)
	_ = c.SetWriteBuffer(kernelBuffer)
	setKernel(c)
}
