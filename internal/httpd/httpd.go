// Package httpd serves HTTP to a few people, and bounds what everybody else can make it
// do: connections at a time, the size of a request and the time it may take.
//
//	Listen(Config{Addr, TLS}) ──▶ Server.Serve(ctx)
package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// What somebody may ask of us.
const (
	maxConns    = 64       // at a time; more wait in the socket's backlog
	maxHeader   = 16 << 10 // bytes
	headTime    = 5 * time.Second
	requestTime = 10 * time.Second // to read the whole request
	answerTime  = 30 * time.Second // from its header to the last byte of the answer
	idleTime    = 15 * time.Second // between two requests of a connection
)

// Config says how to make a Server.
type Config struct {
	Addr    netip.AddrPort
	Handler http.Handler
	TLS     *tls.Config  // nil: plain HTTP
	Log     *slog.Logger // nil: none
}

// A Server listens. Listen makes it; Serve or Close ends it.
type Server struct {
	cfg Config
	l   *limited
}

// Listen opens the port.
func Listen(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l, err := net.Listen("tcp", cfg.Addr.String())
	if err != nil {
		return nil, fmt.Errorf("httpd: %w", err)
	}
	return &Server{cfg: cfg, l: &limited{Listener: l, free: make(chan struct{}, maxConns), closed: make(chan struct{})}}, nil
}

// Addr returns where the server listens.
func (s *Server) Addr() netip.AddrPort {
	return s.l.Addr().(*net.TCPAddr).AddrPort()
}

// Close ends a Server that does not Serve.
func (s *Server) Close() { s.l.Close() }

// Serve answers requests until ctx is done, when it returns nil.
func (s *Server) Serve(ctx context.Context) error {
	server := &http.Server{
		Handler:           http.MaxBytesHandler(s.cfg.Handler, 0),
		ReadHeaderTimeout: headTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	var l net.Listener = s.l
	if s.cfg.TLS != nil {
		l = tls.NewListener(l, s.cfg.TLS)
	}
	err := server.Serve(l)
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	server.Close()
	return err
}

// A limited is a listener with at most maxConns open connections.
type limited struct {
	net.Listener
	free   chan struct{}
	closed chan struct{}
	once   sync.Once
}

// Accept waits for room, and then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.free })}, nil
}

// Close unblocks Accept.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// A limitedConn makes room when it is closed.
type limitedConn struct {
	net.Conn
	release func()
}

// Close closes the connection.
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
