//go:build !linux

package udp

// A Conn is a UDP socket. On this system it is a [Portable].
type Conn = Portable

// Listen opens a socket.
func Listen(cfg Config) (*Conn, error) { return ListenPortable(cfg) }
