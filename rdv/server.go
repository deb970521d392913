package rdv

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"campagnol/internal/logging"
	"campagnol/punch"
	"campagnol/rdv/wire"
)

// Config configures a Server.
type Config struct {
	// Conn is the socket to serve on. Run closes it.
	Conn punch.Conn

	// MaxClients is how many clients can be registered; 0 means any number.
	MaxClients int

	// Log takes what the original prints; nil means nowhere. Its messages
	// name their attributes in braces, see package internal/logging.
	Log *slog.Logger

	// LogMessages logs every message that is received and sent, if Log takes
	// slog.LevelDebug, and its bytes, if Log takes logging.LevelPacket.
	LogMessages bool
}

// A Server answers clients on one socket. Two goroutines share the work:
//
//	Conn.Receive ─▶ receive: which protocol, parse ─▶ control: Registry ─▶ Conn.Send
//	                     ▲                                  │
//	                     └────────── empty batches ─────────┘
//
// A batch is all messages of one Receive. There are two, so that one is filled
// while the other is handled; if control cannot keep up, receive waits, and the
// kernel drops what does not fit in the socket's buffer.
type Server struct {
	cfg     Config
	log     *slog.Logger
	stats   stats
	full    chan []In  // from receive to control
	empty   chan []In  // and back
	failure chan error // why receive ended

	// Owned by control.
	registry *Registry
	out      []Out
	buf      []byte           // what out is on the wire
	send     []punch.Datagram // and to whom; Data is in buf
}

// New returns a server that has not started yet.
func New(cfg Config) *Server {
	s := &Server{
		cfg:     cfg,
		log:     cfg.Log,
		full:    make(chan []In),
		empty:   make(chan []In, 2),
		failure: make(chan error, 1),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.empty <- nil
	s.empty <- nil
	s.registry = NewRegistry(RegistryConfig{MaxClients: cfg.MaxClients, Trace: s.logEvent})
	return s
}

// Run serves until ctx is done, when it returns nil, or until the socket fails.
// It closes the socket, and returns when all goroutines have ended. It can be
// called once.
func (s *Server) Run(ctx context.Context) error {
	s.log.Log(ctx, logging.LevelNotice, "Server listening on port {port}", "port", s.cfg.Conn.LocalAddr().Port())
	ctx, stop := context.WithCancel(ctx)
	var receiver sync.WaitGroup
	receiver.Go(func() { s.failure <- s.receive(ctx) })
	err := s.control(ctx)
	stop()
	s.cfg.Conn.Close() // ends receive
	receiver.Wait()
	return err
}

// receive hands over the messages that come in, until ctx is done or the socket
// fails.
func (s *Server) receive(ctx context.Context) error {
	for {
		ds, err := s.cfg.Conn.Receive()
		if err != nil {
			return fmt.Errorf("rdv: receive: %w", err)
		}
		var batch []In
		select {
		case batch = <-s.empty:
		case <-ctx.Done():
			return ctx.Err()
		}
		batch = batch[:0]
		for _, d := range ds {
			d.Segments(func(payload []byte) bool {
				if m, ok := s.parse(payload); ok {
					batch = append(batch, In{d.Addr, d.Local, m})
				}
				return true
			})
		}
		select {
		case s.full <- batch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// parse returns the message in a datagram. What is none is counted.
func (s *Server) parse(b []byte) (wire.Message, bool) {
	s.stats.received.Add(1)
	switch wire.KindOf(b) {
	case wire.KindRendezvous:
		m, err := wire.Parse(b)
		if err == nil {
			return m, true
		}
	case wire.KindSTUN, wire.KindDTLS, wire.KindChannel:
		s.stats.otherProtocol.Add(1)
		return wire.Message{}, false
	}
	s.stats.malformed.Add(1)
	return wire.Message{}, false
}

// control owns the registry. It returns nil when ctx is done, and the error of
// the socket when that has failed.
func (s *Server) control(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		s.arm(timer)
		select {
		case batch := <-s.full:
			s.handle(ctx, time.Now(), batch)
			s.empty <- batch
		case <-timer.C:
			s.out = s.registry.Advance(time.Now(), s.out[:0])
			s.flush(ctx)
		case err := <-s.failure:
			if ctx.Err() != nil {
				return nil
			}
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// arm sets the timer to when the registry has something to do.
func (s *Server) arm(timer *time.Timer) {
	at := s.registry.Timeout()
	if at.IsZero() {
		timer.Stop()
		return
	}
	timer.Reset(time.Until(at))
}

// handle answers the messages of one batch, all at once.
func (s *Server) handle(ctx context.Context, now time.Time, batch []In) {
	logged := s.cfg.LogMessages && s.log.Enabled(ctx, slog.LevelDebug)
	s.out = s.out[:0]
	for _, in := range batch {
		if logged {
			s.logReceived(ctx, in)
		}
		s.out = s.registry.Handle(now, in, s.out)
	}
	if logged {
		for _, o := range s.out {
			s.logSent(ctx, o)
		}
	}
	s.flush(ctx)
}

// flush sends s.out and publishes the counters.
func (s *Server) flush(ctx context.Context) {
	s.stats.publish(s.registry)
	if len(s.out) == 0 {
		return
	}
	s.buf, s.send = s.buf[:0], s.send[:0]
	for _, o := range s.out {
		// If buf moves, what was appended before stays where it is.
		start := len(s.buf)
		s.buf = o.Msg.Append(s.buf)
		s.send = append(s.send, punch.Datagram{Addr: o.To, Local: o.Local, Data: s.buf[start:]})
	}
	s.stats.sent.Add(uint64(len(s.send)))
	if err := s.cfg.Conn.Send(s.send); err != nil {
		// One datagram, or several: the others are sent. It is the clients'
		// business to try again.
		s.stats.sendFailed.Add(1)
		s.log.DebugContext(ctx, "Sending failed", "err", err)
	}
}
