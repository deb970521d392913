package rdv

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"campagnol/internal/logging"
	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/rdv/relay"
	"campagnol/rdv/wire"
	"campagnol/tunnel/record"
)

// Config configures a Server.
type Config struct {
	// Conn is the socket to serve on. Run closes it.
	Conn punch.Conn

	// MoreConns are other sockets to serve on, at most MaxSockets with Conn, for
	// clients that cannot reach the port of Conn. All share one registry. Run closes
	// them.
	MoreConns []punch.Conn

	// Streams are sockets for clients whose UDP does not get through, which have
	// addresses as package punch/stream gives them. There are at most MaxSockets with
	// Conn and MoreConns. Run closes them.
	Streams []punch.Conn

	// OtherConn is a socket with another port on which STUN is answered, and
	// nothing else, so that clients can find out how their NAT behaves (RFC
	// 5780). Run closes it. nil: there is none.
	OtherConn punch.Conn

	// OtherAddrs are second addresses of this host, at most one of a family, from
	// which STUN is answered on request. The sockets have to take all addresses,
	// and to know Datagram.Local.
	OtherAddrs []netip.Addr

	// Mode says who may register in clear. Trust is needed but in mode Open,
	// where it has no use.
	Mode  Mode
	Trust *Trust

	// Software is what clients with a channel are told of this program.
	Software string

	// Authority is the VPN's authority, if it is in this process. nil: members with
	// a certificate for it are.
	Authority Authority

	// Relay is a relay, whose links are Conn, MoreConns and Streams in this order; nil:
	// there is none.
	// RelaySecret is its secret, and RelayAddrs are where it is, if clients do not
	// reach it where they reach the server. Run runs it. In mode Open nobody gets
	// credentials for it.
	Relay       *relay.Server
	RelaySecret *relay.Secret
	RelayAddrs  []netip.AddrPort

	// State keeps what the authority has sent; nil: it is forgotten at the end.
	State *State

	// MaxClients is how many clients can be registered; 0 means any number.
	MaxClients int

	// Notify is told what happens, and what of it nothing else tells: by various
	// goroutines, which must not be made to wait. nil: nobody wants to know.
	Notify func(time.Time, Event)

	// Log takes what the original prints; nil means nowhere. Its messages
	// name their attributes in braces, see package internal/logging.
	Log *slog.Logger

	// LogMessages logs every message that is received and sent, if Log takes
	// slog.LevelDebug, and its bytes, if Log takes logging.LevelPacket.
	LogMessages bool
}

// MaxSockets is on how many sockets a Server can serve.
const MaxSockets = 16

// A Server answers clients, mostly on one socket. Two goroutines share the work:
//
//	Conn.Receive ─▶ receiver: which protocol, parse, ─▶ control: Registry ─▶ Conn.Send
//	                ▲         answer KNOCKs               │  ▲
//	                └────────── empty batches ────────────┘  │
//	                             handshakes, one goroutine each, while they last
//	                             clerk: objects, and the authority in this process
//
// A batch is all messages of one Receive. There is one more than sockets, so that
// each can fill one while another is handled; if control cannot keep up, receivers
// wait in turn, and the kernel drops what does not fit in the sockets' buffers.
//
// Each socket has a receiver of its own, and all else is common. Whatever a client is
// sent leaves by the socket that it came to, since its NAT may let in nothing else.
//
// Records of channels are opened and sealed by control: each costs less than its
// way through the kernel, and so nothing about a channel needs a lock.
type Server struct {
	cfg     Config
	log     *slog.Logger
	stats   stats
	library *library
	trust   *atomic.Pointer[Trust] // of the library; nil: there are no channels
	conns   []punch.Conn           // Conn, MoreConns and Streams
	full    chan *batch            // from receivers to control
	empty   chan *batch            // and back
	failure chan error             // why receivers ended

	ended    chan attemptEnd // from handshakes
	verdicts chan verdict    // from the check of certificates
	renewed  chan struct{}   // there is another trust, or other objects
	offers   chan Offered    // from control to the clerk
	requests chan request    // likewise
	answers  chan answer     // and back
	counts   chan chan<- Census
	looks    chan func()    // what control is to do for others, see look
	stopped  chan struct{}  // closed when control has ended
	helpers  sync.WaitGroup // receivers, handshakes, the check, the clerk

	history *History

	receivers []*receiver // of conns; each belongs to its goroutine
	bindings  stunLimiter // of all sockets

	// Owned by the clerk.
	refused      map[[32]byte]bool // hashes of objects of cfg.Authority
	collectError string

	// Owned by control.
	trusted      *Trust // that control has acted on
	registry     *Registry
	attempts     map[spot]*attempt
	admission    *admission
	failures     limiter // of lines in the log about failed handshakes
	begin        time.Time
	recheckAt    time.Time // zero: never
	rechecking   bool
	recheckAgain bool

	out   []Out
	plain []byte             // a message before it is sealed
	buf   []byte             // what out is on the wire
	send  [][]punch.Datagram // and to whom, by socket
	tmp   record.Scratch
}

// A batch is what has come in with one Receive.
type batch struct {
	arrivals []arrival
	data     []byte // of the arrivals
}

// An arrival is a datagram that control has to see.
type arrival struct {
	In             // of wire.KindRendezvous, with Msg
	kind wire.Kind // Rendezvous, Gate (an ADMIT or APPLY with a good cookie) or DTLS
	data []byte    // of the latter two
}

// add appends a datagram, of which it keeps a copy.
func (b *batch) add(a arrival, payload []byte) {
	start := len(b.data)
	b.data = append(b.data, payload...)
	a.data = b.data[start:len(b.data):len(b.data)]
	b.arrivals = append(b.arrivals, a)
}

// New returns a server that has not started yet.
func New(cfg Config) *Server {
	conns := slices.Concat([]punch.Conn{cfg.Conn}, cfg.MoreConns, cfg.Streams)
	streams := len(conns) - len(cfg.Streams) // the number of the first one
	s := &Server{
		cfg:     cfg,
		log:     cfg.Log,
		conns:   conns,
		full:    make(chan *batch),
		empty:   make(chan *batch, 1+len(conns)),
		failure: make(chan error, len(conns)),
		send:    make([][]punch.Datagram, len(conns)),

		ended:    make(chan attemptEnd),
		verdicts: make(chan verdict),
		renewed:  make(chan struct{}, 1),
		offers:   make(chan Offered, channel.MaxObjects),
		requests: make(chan request, maxRequests),
		answers:  make(chan answer),
		counts:   make(chan chan<- Census),
		looks:    make(chan func()),
		history:  NewHistory(),
		stopped:  make(chan struct{}),
		attempts: map[spot]*attempt{},
		failures: limiter{interval: failureInterval, burst: failureBurst},
		bindings: stunLimiter{l: limiter{interval: stunInterval, burst: stunBurst}},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.empty <- &batch{}
	for i, conn := range conns {
		s.empty <- &batch{}
		s.receivers = append(s.receivers, &receiver{s: s, socket: uint8(i), conn: conn, stream: i >= streams})
	}
	s.library = newLibrary(s.log, func() {
		select {
		case s.renewed <- struct{}{}:
		default: // control has not seen the last one yet
		}
	})
	s.trust = &s.library.trust
	if cfg.Mode != Open {
		s.library.setTrust(time.Now(), cfg.Trust)
	}
	rc := RegistryConfig{
		MaxClients: cfg.MaxClients, Mode: cfg.Mode, Software: cfg.Software,
		Offer: s.offer, Jitter: rand.Float64, Trace: s.note,
	}
	if cfg.Authority != nil {
		rc.Serve = s.ask
	}
	s.useRelay(&rc)
	s.registry = NewRegistry(rc)
	s.trusted = s.trust.Load()
	s.registry.SetRules(s.trusted.rulesOf())
	s.registry.SetVia(s.trusted.party())
	return s
}

// Run serves until ctx is done, when it returns nil, or until a socket fails.
// It closes the sockets, and returns when all goroutines have ended. It can be
// called once.
func (s *Server) Run(ctx context.Context) error {
	for _, r := range s.receivers {
		msg := "Server listening on port {port}"
		if r.stream {
			msg = "Server listening on TCP port {port}"
		}
		s.log.Log(ctx, logging.LevelNotice, msg, "port", r.conn.LocalAddr().Port())
	}
	ctx, stop := context.WithCancel(ctx)
	s.prepare(time.Now())
	s.helpers.Go(s.clerk)
	for _, r := range s.receivers {
		s.helpers.Go(func() { s.failure <- r.run(ctx) })
	}
	if s.cfg.OtherConn != nil {
		s.helpers.Go(s.serveOther)
	}
	if s.cfg.Relay != nil {
		s.helpers.Go(func() { s.runRelay(ctx) })
	}
	err := s.control(ctx)
	stop()
	close(s.stopped)
	for _, conn := range s.conns {
		conn.Close() // ends its receiver
	}
	if s.cfg.OtherConn != nil {
		s.cfg.OtherConn.Close() // ends serveOther
	}
	s.helpers.Wait()
	return err
}

// prepare begins the server's time.
func (s *Server) prepare(now time.Time) {
	s.begin = now
	s.bindings.begin = now
	for _, r := range s.receivers {
		r.gate = newGate(now)
		other := s.cfg.OtherConn
		if r.stream {
			other = nil // a datagram by UDP does not reach who has a connection
		}
		r.stun = newResponder(&s.cfg, r.conn, other, &s.bindings, &s.stats)
	}
	s.admission = newAdmission(now, rand.Float64)
	if s.cfg.Mode != Open {
		for _, o := range bulletinsFirst(s.cfg.State.take(), func(o Object) channel.ObjectKind { return o.Kind }) {
			if err := s.library.restore(now, o, "the state directory"); err != nil {
				s.logRefused(context.Background(), "the state directory", err)
			}
		}
		s.recheckAt = now.Add(s.trust.Load().interval())
	}
	s.trusted = s.trust.Load() // nobody is there whose certificate had to be checked
	s.registry.SetObjects(now, s.library.catalog.Load())
}

// renew acts on what the library has published.
func (s *Server) renew(now time.Time) {
	trust := s.trust.Load()
	if trust != s.trusted {
		s.trusted = trust
		s.registry.SetRules(trust.rulesOf())
		s.registry.SetVia(trust.party())
		s.recheck(now)
	}
	s.registry.SetObjects(now, s.library.catalog.Load())
}

// control owns the registry. It returns nil when ctx is done, and the error of
// a socket when that has failed.
func (s *Server) control(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		s.arm(timer)
		select {
		case b := <-s.full:
			s.handle(ctx, time.Now(), b)
			s.empty <- b
		case e := <-s.ended:
			s.handleEnd(ctx, time.Now(), e)
		case v := <-s.verdicts:
			s.handleVerdict(time.Now(), v)
		case <-s.renewed:
			s.renew(time.Now())
		case a := <-s.answers:
			s.out = s.registry.Answered(time.Now(), a.id, a.data, s.out)
		case to := <-s.counts:
			to <- s.census(time.Now())
		case f := <-s.looks:
			f()
		case <-timer.C:
			s.advance(time.Now())
		case err := <-s.failure:
			if ctx.Err() != nil {
				return nil
			}
			return err
		case <-ctx.Done():
			return nil
		}
		s.flush(ctx)
	}
}

// advance does what is due.
func (s *Server) advance(now time.Time) {
	s.out = s.registry.Advance(now, s.out)
	if !s.recheckAt.IsZero() && !now.Before(s.recheckAt) {
		s.recheck(now)
	}
}

// arm sets the timer to when there is something to do.
func (s *Server) arm(timer *time.Timer) {
	at := s.registry.Timeout()
	if at.IsZero() || !s.recheckAt.IsZero() && s.recheckAt.Before(at) {
		at = s.recheckAt
	}
	if at.IsZero() {
		timer.Stop()
		return
	}
	timer.Reset(time.Until(at))
}

// handle answers the messages of one batch.
func (s *Server) handle(ctx context.Context, now time.Time, b *batch) {
	logged := s.logs(ctx)
	for i := range b.arrivals {
		a := &b.arrivals[i]
		switch a.kind {
		case wire.KindRendezvous:
			if logged {
				s.logReceived(ctx, a.In)
			}
			s.out = s.registry.Handle(now, a.In, s.out)
		case wire.KindGate:
			s.receiveAdmitted(ctx, now, a)
		case wire.KindDTLS:
			s.receiveProtected(now, a)
		}
	}
}

// receiveProtected takes a datagram with records of a channel, or of one to be.
func (s *Server) receiveProtected(now time.Time, a *arrival) {
	running, m := s.attempts[a.spot()], s.registry.member(a.spot())
	if running != nil { // before they are opened in place
		running.keep(a.data)
	}
	switch {
	case m != nil:
		s.receiveRecords(now, m, a.data)
	case running == nil:
		s.stats.stray.Add(1)
	}
}

// flush sends what is queued, all at once, and publishes the counters.
func (s *Server) flush(ctx context.Context) {
	s.stats.publish(s.registry, len(s.attempts))
	logged := s.logs(ctx)
	for _, o := range s.out {
		if logged {
			s.logSent(ctx, o)
		}
		s.stats.said.note(&o)
		// If buf moves, what was appended before stays where it is.
		start := len(s.buf)
		switch {
		case o.Member != nil:
			s.say(o.Member, o.Answer)
			continue
		case o.Gate != nil:
			s.buf = o.Gate.Append(s.buf)
		default:
			s.buf = o.Msg.Append(s.buf)
		}
		s.queue(o.To, o.Local, o.Socket, s.buf[start:])
	}
	for i, ds := range s.send {
		if len(ds) == 0 {
			continue
		}
		s.stats.sent.Add(uint64(len(ds)))
		if err := s.conns[i].Send(ds); err != nil {
			// One datagram, or several: the others are sent. It is the
			// clients' business to try again.
			s.stats.sendFailed.Add(1)
			s.log.DebugContext(ctx, "Sending failed", "err", err)
		}
		s.send[i] = ds[:0]
	}
	s.out, s.buf = s.out[:0], s.buf[:0]
}
