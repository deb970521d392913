package stream

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"campagnol/punch"
)

// ListenConfig bounds what clients of a Listener can take. The zero value is useful.
type ListenConfig struct {
	// TLS is for clients of TLS, see [ServerTLS]; nil: they speak plain TCP.
	TLS *tls.Config

	// MaxConns is how many connections there are, and MaxOfNetwork how many of them are
	// of one IPv4 address, or one IPv6 /64; 0 means 1000 and 64.
	MaxConns, MaxOfNetwork int

	// Begin is how long a client may take for TLS, and then for its first frame, and
	// Idle how long it may say nothing from then on; 0 means 5 s and a minute. What is
	// no complete frame is nothing.
	Begin, Idle time.Duration

	// Log takes what keeps clients out; nil means nowhere.
	Log *slog.Logger
}

// withDefaults returns cfg with its zero values replaced.
func (cfg ListenConfig) withDefaults() ListenConfig {
	if cfg.MaxConns <= 0 {
		cfg.MaxConns = 1000
	}
	if cfg.MaxOfNetwork <= 0 {
		cfg.MaxOfNetwork = 64
	}
	if cfg.Begin <= 0 {
		cfg.Begin = 5 * time.Second
	}
	if cfg.Idle <= 0 {
		cfg.Idle = time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return cfg
}

// maxLent is of how many connections one Receive returns datagrams.
const maxLent = 32

// minBackoff and maxBackoff bound the pause after a failed accept: most likely there are
// too many open files.
const (
	minBackoff = 5 * time.Millisecond
	maxBackoff = time.Second
)

// A Listener is a punch.Conn for a server, whose clients come by TCP. It has a goroutine
// that accepts, and two for each connection:
//
//	accept ─▶ limits ─▶ TLS ─▶ read, frames ─▶ ready ─▶ Receive
//	                                 ▲                     │ the next Receive
//	                                 └─────── resume ──────┘
//	Send ─▶ queue of the client ─▶ write
//
// A connection is read on when what it has said was handled: who says much waits for
// itself, and nothing is copied.
type Listener struct {
	cfg      ListenConfig
	listener net.Listener
	local    netip.AddrPort
	ready    chan *link
	done     chan struct{} // closed by Close
	helpers  sync.WaitGroup
	counts   counters

	// Of the goroutine that calls Receive.
	lent  []*link
	batch []punch.Datagram

	mu     sync.RWMutex // guards the rest
	closed bool
	limits *limits
	open   map[net.Conn]bool // also those that have no link yet
	links  map[netip.AddrPort]*link
	gone   func(netip.AddrPort) // see OnGone; nil: nobody cares
}

var _ punch.StreamConn = (*Listener)(nil)

// A link is the connection of a client.
type link struct {
	*pipe
	at     netip.AddrPort
	said   []punch.Datagram // that Receive returns
	resume chan struct{}    // of capacity 1
}

// Listen returns a Listener for the connections that l, of TCP, accepts. Close closes l.
func Listen(l net.Listener, cfg ListenConfig) *Listener {
	cfg = cfg.withDefaults()
	s := &Listener{
		cfg: cfg, listener: l, local: addrPort(l.Addr()),
		ready: make(chan *link), done: make(chan struct{}),
		limits: newLimits(cfg.MaxConns, cfg.MaxOfNetwork),
		open:   map[net.Conn]bool{}, links: map[netip.AddrPort]*link{},
	}
	s.helpers.Go(s.accept)
	return s
}

// accept takes connections until Close.
func (s *Listener) accept() {
	backoff := time.Duration(0)
	for {
		conn, err := s.listener.Accept()
		switch {
		case err == nil:
			backoff = 0
			s.begin(time.Now(), conn)
			continue
		case errors.Is(err, net.ErrClosed):
			return
		case backoff == 0:
			s.cfg.Log.Warn("No connections are accepted at {addr}: {reason}", "addr", s.local, "reason", err)
		}
		backoff = min(max(minBackoff, 2*backoff), maxBackoff)
		pause := time.NewTimer(backoff)
		select {
		case <-pause.C:
		case <-s.done:
			pause.Stop()
			return
		}
	}
}

// begin serves a connection, unless that is one too many.
func (s *Listener) begin(now time.Time, conn net.Conn) {
	at := addrPort(conn.RemoteAddr())
	network := networkOf(at.Addr())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.limits.enter(now, network) {
		s.counts.refused.Add(1)
		abort(conn)
		return
	}
	s.counts.accepted.Add(1)
	s.open[conn] = true
	s.helpers.Go(func() {
		defer func() {
			conn.Close()
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.open, conn)
			s.limits.leave(time.Now(), network)
		}()
		s.serve(conn, Zone(at))
	})
}

// abort closes a connection of which the kernel shall remember nothing.
func abort(conn net.Conn) {
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	conn.Close()
}

// serve reads what a client says until the connection ends.
func (s *Listener) serve(raw net.Conn, at netip.AddrPort) {
	setOptions(raw)
	conn := raw
	if err := raw.SetDeadline(time.Now().Add(s.cfg.Begin)); err != nil {
		return
	}
	if s.cfg.TLS != nil {
		secured := tls.Server(raw, s.cfg.TLS)
		if err := secured.Handshake(); err != nil {
			s.cfg.Log.Debug("TLS with {addr} failed: {reason}", "addr", Real(at), "reason", explain(err))
			return
		}
		conn = secured
	}
	k := &link{pipe: newPipe(conn, raw, at, &s.counts), at: at, resume: make(chan struct{}, 1)}
	if !s.add(k) {
		return
	}
	var writer sync.WaitGroup
	writer.Go(k.write)
	k.end(s.read(k))
	s.remove(k)
	writer.Wait()
}

// add makes a client one that can be sent to. If another connection has the address, the
// kernel knows that it is over, and we not yet.
func (s *Listener) add(k *link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if old := s.links[k.at]; old != nil {
		old.end(errReplaced)
		s.sayGoneLocked(k.at)
	}
	s.links[k.at] = k
	return true
}

var errReplaced = errors.New("another connection has its address")

// remove takes a client away.
func (s *Listener) remove(k *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.links[k.at] == k {
		delete(s.links, k.at)
		s.sayGoneLocked(k.at)
	}
}

// OnGone has f called with the address of each client whose connection is over, before
// anything comes from another one with this address. f must not wait, nor call s.
func (s *Listener) OnGone(f func(client netip.AddrPort)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = f
}

func (s *Listener) sayGoneLocked(at netip.AddrPort) {
	if s.gone != nil {
		s.gone(at)
	}
}

// read hands over what a client says, and returns why no more comes.
func (s *Listener) read(k *link) error {
	for wait := s.cfg.Begin; ; wait = s.cfg.Idle {
		if err := k.raw.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return err
		}
		ds, err := k.receive()
		if err != nil {
			return err
		}
		k.said = ds
		select {
		case s.ready <- k:
		case <-s.done:
			return net.ErrClosed
		}
		select {
		case <-k.resume:
		case <-s.done:
			return net.ErrClosed
		}
	}
}

// Receive waits for datagrams of any client, see [punch.Conn].
func (s *Listener) Receive() ([]punch.Datagram, error) {
	for i, k := range s.lent {
		k.resume <- struct{}{}
		s.lent[i] = nil
	}
	clear(s.batch)
	s.lent, s.batch = s.lent[:0], s.batch[:0]
	select {
	case k := <-s.ready:
		s.borrow(k)
	case <-s.done:
		return nil, net.ErrClosed
	}
	for len(s.lent) < maxLent {
		select {
		case k := <-s.ready:
			s.borrow(k)
			continue
		default:
		}
		break
	}
	return s.batch, nil
}

func (s *Listener) borrow(k *link) {
	s.lent = append(s.lent, k)
	s.batch = append(s.batch, k.said...)
}

var errUnknown = errors.New("stream: nobody is connected from this address")

// Send queues datagrams for clients. It does not wait. What is dropped because its client
// is slow is no error; that nobody is there, is.
func (s *Listener) Send(ds []punch.Datagram) error {
	var first error
	var k *link
	now := time.Now()
	for i := range ds {
		if k == nil || k.at != ds[i].Addr {
			if k != nil {
				k.out.signal()
			}
			k = s.find(ds[i].Addr)
		}
		err := errUnknown
		if k == nil {
			s.counts.unknown.Add(1)
		} else {
			err = k.send(now, &ds[i])
		}
		if first == nil {
			first = err
		}
	}
	if k != nil {
		k.out.signal()
	}
	return first
}

func (s *Listener) find(at netip.AddrPort) *link {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.links[at]
}

// Transport returns "tls" or "tcp".
func (s *Listener) Transport() string {
	if s.cfg.TLS != nil {
		return "tls"
	}
	return "tcp"
}

// LocalAddr returns the address that clients connect to.
func (s *Listener) LocalAddr() netip.AddrPort { return s.local }

// Stats returns what s has counted. It is safe for concurrent use.
func (s *Listener) Stats() Stats {
	st := s.counts.stats()
	s.mu.RLock()
	defer s.mu.RUnlock()
	st.Conns = len(s.open)
	return st
}

// Close ends all connections. What was sent before gets a moment to leave.
func (s *Listener) Close() error {
	if s.shut() {
		s.listener.Close()
	}
	s.helpers.Wait()
	return nil
}

// shut begins to close, and reports whether nobody has before.
func (s *Listener) shut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.closed = true
	close(s.done)
	linked := map[net.Conn]bool{}
	for _, k := range s.links {
		linked[k.raw] = true
		k.end(net.ErrClosed)
	}
	for conn := range s.open {
		if !linked[conn] {
			conn.Close() // in TLS, or replaced
		}
	}
	return true
}
