// Package httpd serves HTTP to a few people, and bounds what everybody else can make it
// do: connections at a time, the size of a request and the time it may take.
//
//	Listen(Config{Addr, TLS}) ──▶ Server.Serve(ctx)
package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/net/netutil"
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
	addr     netip.AddrPort
	listener net.Listener
	tls      *tls.Config
	http     *http.Server
}

// Listen opens the port. Who connects waits until Serve is called.
func Listen(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l, err := net.Listen("tcp", cfg.Addr.String())
	if err != nil {
		return nil, err
	}
	return &Server{addr: cfg.Addr, listener: netutil.LimitListener(l, maxConns), tls: cfg.TLS, http: &http.Server{
		Handler:           http.MaxBytesHandler(cfg.Handler, 0),
		ReadHeaderTimeout: headTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}}, nil
}

// Addr returns where the server listens.
func (s *Server) Addr() netip.AddrPort { return s.listener.Addr().(*net.TCPAddr).AddrPort() }

// Asked returns the address that the server was to listen at.
func (s *Server) Asked() netip.AddrPort { return s.addr }

// Close ends a Server that does not Serve.
func (s *Server) Close() { s.listener.Close() }

// Serve answers requests until ctx is done, when it closes all connections and returns
// nil. What an answer is made of may still be gathered then, for a moment.
func (s *Server) Serve(ctx context.Context) error {
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		s.http.Close()
	})
	l := s.listener
	if s.tls != nil {
		l = tls.NewListener(l, s.tls)
	}
	err := s.http.Serve(l)
	if stop() { // it has failed by itself
		s.http.Close()
	} else {
		<-ended
	}
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
