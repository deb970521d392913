package control

import (
	"net"
	"sync"
)

// A limited is a listener with at most maxConns open connections. Those beyond
// wait, in the backlog of the socket.
type limited struct {
	*net.UnixListener
	free   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newLimited(l *net.UnixListener) *limited {
	return &limited{UnixListener: l, free: make(chan struct{}, maxConns), closed: make(chan struct{})}
}

// Accept waits for room, and then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.AcceptUnix()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{UnixConn: conn, release: sync.OnceFunc(func() { <-l.free })}, nil
}

// Close unblocks Accept.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.UnixListener.Close()
}

// A limitedConn makes room when it is closed. It has all other methods of its
// kind: the HTTP server looks for some.
type limitedConn struct {
	*net.UnixConn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.UnixConn.Close()
}
