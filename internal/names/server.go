package names

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/netutil"
)

const (
	maxConns   = 32               // TCP connections at each address at a time
	maxQueries = 64               // that are answered over one of them
	maxWaiting = 64               // queries that wait for a newer zone
	idle       = 10 * time.Second // for the next query over TCP
)

// A Server answers questions at addresses of this host, over UDP and TCP.
type Server struct {
	book    *Book
	allow   func(from netip.Addr) bool
	log     *slog.Logger
	limit   limiter
	waiting chan struct{}

	servers []*dns.Server
}

// Listen opens the sockets of a server at port 53, or another one, of some addresses;
// those that cannot be opened are in the error, and with none of them there is no
// server. allow says who may ask; others get no answer.
func Listen(addrs []netip.AddrPort, book *Book, allow func(from netip.Addr) bool, log *slog.Logger) (*Server, error) {
	s := &Server{book: book, allow: allow, log: log, waiting: make(chan struct{}, maxWaiting)}
	var errs error
	for _, a := range addrs {
		pc, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("names: %w", err))
			continue
		}
		ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(a.Addr(), uint16(pc.LocalAddr().(*net.UDPAddr).Port))))
		if err != nil {
			pc.Close()
			errs = errors.Join(errs, fmt.Errorf("names: %w", err))
			continue
		}
		s.servers = append(s.servers,
			&dns.Server{PacketConn: pc, Handler: s, UDPSize: 2048},
			&dns.Server{Listener: netutil.LimitListener(ln, maxConns), Handler: s, MaxTCPQueries: maxQueries,
				ReadTimeout: idle, WriteTimeout: idle, IdleTimeout: func() time.Duration { return idle }})
	}
	if len(s.servers) == 0 {
		return nil, errs
	}
	return s, errs
}

// Addrs returns where the server listens.
func (s *Server) Addrs() (list []netip.AddrPort) {
	for _, d := range s.servers {
		if d.PacketConn != nil {
			list = append(list, d.PacketConn.LocalAddr().(*net.UDPAddr).AddrPort())
		}
	}
	return list
}

// Close closes the sockets of a server that does not run.
func (s *Server) Close() {
	for _, d := range s.servers {
		if d.PacketConn != nil {
			d.PacketConn.Close()
		} else {
			d.Listener.Close()
		}
	}
}

// Run answers until ctx is done, and closes the sockets.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	started := make(chan struct{}, len(s.servers))
	for _, d := range s.servers {
		d.NotifyStartedFunc = func() { started <- struct{}{} }
		running.Go(func() { cancel(d.ActivateAndServe()) })
	}
	for range s.servers { // what has not begun cannot be ended
		select {
		case <-started:
		case <-ctx.Done():
		}
	}
	running.Go(func() { s.book.Run(ctx) })
	<-ctx.Done()
	for _, d := range s.servers {
		d.Shutdown() // an error says that it has ended
	}
	s.Close()
	running.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("names: %w", err)
	}
	return nil
}

// ServeDNS answers one query; see [dns.Handler].
func (s *Server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	now := time.Now()
	from, udp := sourceOf(w.RemoteAddr())
	if !s.allow(from) || !s.limit.allow(now, from) {
		return
	}
	z := s.zone(now, func(z *Zone) bool { return z.Knows(q) })
	if m := z.Answer(q, udp); m != nil {
		if err := w.WriteMsg(m); err != nil {
			s.log.Debug("An answer to a question for a name cannot be sent", "addr", from, "err", err)
		}
	}
}

// zone returns the zone for a query, one of few that wait for it.
func (s *Server) zone(now time.Time, known func(*Zone) bool) *Zone {
	select {
	case s.waiting <- struct{}{}:
		defer func() { <-s.waiting }()
		return s.book.Zone(context.Background(), now, known)
	default:
		return s.book.zone.Load().Zone
	}
}

// sourceOf returns the address of who asks.
func sourceOf(a net.Addr) (from netip.Addr, udp bool) {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap(), true
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap(), false
	}
	return netip.Addr{}, false
}
