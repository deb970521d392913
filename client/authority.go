package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel/record"
)

// An AuthorityConfig says what an Authority is made of.
type AuthorityConfig struct {
	Conn   punch.Conn     // closed when Run returns
	Server netip.AddrPort // the RDV

	Certificate  tls.Certificate // one for the VPN's authority
	VerifyServer func(now time.Time, chain [][]byte) (ServerIdentity, error)
	Suites       []record.Suite // nil: all that we speak
	Software     string         // our name and version, for people at the RDV

	// Answer answers a request that came from a host, whose address is that which
	// the RDV tells; nothing else is known about it. Nil refuses the request. An
	// answer is at most channel.MaxData bytes long. It is called in a goroutine
	// of its own, one call at a time, and borrows request.
	Answer func(now time.Time, from netip.AddrPort, request []byte) []byte

	// Objects returns what all members should have; what it has returned must
	// not be changed. It is called at the start and after [Authority.Changed],
	// by the goroutine of Run.
	Objects func() []Object

	Log    *slog.Logger   // nil: none
	Jitter func() float64 // 0 to 1; nil: random
}

// An Authority is the VPN's authority at its RDV: it is registered there over the
// authenticated channel, without an address in the VPN, answers what the RDV passes
// on to it, and has what all members should have. Run starts and stops it; the other
// methods are safe for concurrent use.
type Authority struct {
	cfg     AuthorityConfig
	log     *slog.Logger
	changed chan struct{} // has room for one
	jobs    chan chanOut  // of actServe, for the worker; has room for all that there may be
	status  atomic.Pointer[RDVStatus]

	// To the goroutine of Run, which owns the following. Never closed.
	datagrams chan []byte
	shaken    chan shakeEnd
	answers   chan jobAnswer

	ctx     context.Context // of Run
	wg      sync.WaitGroup  // its goroutines
	server  *serverChannel
	shaking *shaking // nil: no handshake runs
	outbox  []punch.Datagram
}

// A jobAnswer is the answer to a request that the RDV has passed on.
type jobAnswer struct {
	on   *link
	id   uint32
	data []byte
}

// NewAuthority returns an Authority. It returns an error if the configuration lacks
// something.
func NewAuthority(cfg AuthorityConfig) (*Authority, error) {
	if cfg.Conn == nil || !cfg.Server.IsValid() || cfg.VerifyServer == nil || cfg.Answer == nil || cfg.Objects == nil {
		return nil, errors.New("client: incomplete configuration of the authority")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	a := &Authority{
		cfg: cfg, log: cfg.Log,
		changed:   make(chan struct{}, 1),
		jobs:      make(chan chanOut, maxJobs),
		datagrams: make(chan []byte, queueChannel),
		shaken:    make(chan shakeEnd),
		answers:   make(chan jobAnswer),
	}
	a.status.Store(&RDVStatus{Auth: AuthYes})
	return a, nil
}

// Changed makes the Authority ask for its objects again, and tell the RDV. It does
// not wait.
func (a *Authority) Changed() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// Status tells how the Authority is registered at the RDV.
func (a *Authority) Status() RDVStatus { return *a.status.Load() }

// Run runs the Authority until ctx is done or the socket fails. It tells the RDV
// good-bye and returns when every goroutine that it has started has ended. It
// returns nil if ctx ended it.
func (a *Authority) Run(ctx context.Context) error {
	outer := ctx
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	a.ctx = ctx
	now := time.Now()
	a.server = newServerChannel(now, channelConfig{
		auth: AuthYes, known: func() bool { return true }, jitter: a.cfg.Jitter,
		register: channel.Message{Type: channel.Register, Software: a.cfg.Software},
	})
	a.server.duty = new(duty)
	a.server.duty.publish(a.cfg.Objects())
	a.wg.Go(func() { fail(a.receive()) })
	a.wg.Go(a.work)
	a.loop()
	a.perform(time.Now(), a.server.bye(nil))
	a.flush()
	a.abandon()
	a.cfg.Conn.Close()
	a.wg.Wait()
	if outer.Err() != nil {
		return nil
	}
	return fmt.Errorf("client: authority: %w", context.Cause(ctx))
}

// receive reads the socket. What does not come from the RDV means nothing, and what
// comes too fast is dropped: it is repeated.
func (a *Authority) receive() error {
	for {
		ds, err := a.cfg.Conn.Receive()
		if err != nil {
			return err
		}
		for _, d := range ds {
			if d.Addr != a.cfg.Server {
				continue
			}
			for b := range d.Segments {
				select {
				case a.datagrams <- bytes.Clone(b):
				default:
				}
			}
		}
	}
}

// work answers requests, one after the other.
func (a *Authority) work() {
	for {
		select {
		case j := <-a.jobs:
			var from netip.AddrPort
			if len(j.msg.Endpoints) > 0 {
				from = j.msg.Endpoints[0]
			}
			answer := jobAnswer{j.link, j.id, a.cfg.Answer(time.Now(), from, j.msg.Data)}
			select {
			case a.answers <- answer:
			case <-a.ctx.Done():
				return
			}
		case <-a.ctx.Done():
			return
		}
	}
}

// loop is the goroutine of Run: one event or one moment at a time, then what is to
// be sent.
func (a *Authority) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-timer.C:
		case b := <-a.datagrams:
			a.handle(time.Now(), b)
		case e := <-a.shaken:
			a.handleShaken(time.Now(), e)
		case j := <-a.answers:
			a.perform(time.Now(), a.server.served(j.on, j.id, j.data, nil))
		case <-a.changed:
			a.server.duty.publish(a.cfg.Objects())
			a.perform(time.Now(), a.server.announce(time.Now(), nil))
		}
		now := time.Now()
		a.perform(now, a.server.advance(now, nil))
		a.flush()
		next := now.Add(time.Hour) // a handshake has an end of its own
		if t := a.server.timeout(); !t.IsZero() && t.Before(next) {
			next = t
		}
		timer.Reset(next.Sub(now))
	}
}

// handle takes a datagram of the RDV.
func (a *Authority) handle(now time.Time, b []byte) {
	switch wire.KindOf(b) {
	case wire.KindRendezvous:
		if m, err := wire.Parse(b); err == nil {
			a.perform(now, a.server.handleClear(now, m.Type, nil))
		}
	case wire.KindGate:
		if g, err := wire.ParseGate(b); err == nil {
			a.perform(now, a.server.handleGate(now, g, nil))
		}
	case wire.KindDTLS:
		out, _ := a.server.receive(now, b, nil)
		a.perform(now, out)
	}
}

// perform does what the channel's machine wants to be done.
func (a *Authority) perform(now time.Time, outs []chanOut) {
	for i := range outs {
		switch o := &outs[i]; o.act {
		case actSend:
			a.outbox = append(a.outbox, punch.Datagram{Addr: a.cfg.Server, Data: o.data})
		case actBegin:
			a.shake(now, o.cookies)
		case actCookies:
			if a.shaking != nil {
				a.shaking.cookies.Store(&o.cookies)
			}
		case actShake:
			if a.shaking != nil {
				a.shaking.hs.Handle(o.data)
			}
		case actAbandon:
			a.abandon()
		case actServe:
			a.jobs <- *o // never waits: the machine works on maxJobs at a time
		default:
			a.report(now, o)
		}
	}
}

// report logs what the channel has to say, and keeps the status.
func (a *Authority) report(now time.Time, o *chanOut) {
	server := a.cfg.Server
	s := *a.status.Load()
	switch o.act {
	case actTrying:
		a.log.Info("Registering with the RDV server...", "server", server)
	case actUp:
		l := o.link
		s = RDVStatus{Auth: AuthYes, Authenticated: true, Since: l.since, Server: l.server, Cipher: l.suite.String(), Endpoint: l.endpoint}
		if o.fresh {
			a.log.Info("Registration complete", "server", server, "certificate", l.server.Name, "cipher", l.suite.String())
		}
	case actDown:
		s = RDVStatus{Auth: AuthYes}
		a.log.Warn("The channel to the RDV server has ended", "server", server, "err", o.err, "hint", "trying again")
	case actRefused:
		if s.Refusal != o.err.Error() {
			a.log.Warn("No authenticated channel to the RDV server", "server", server, "err", o.err, "hint", "trying again")
		}
		s.Refusal, s.RefusedAt = o.err.Error(), now
	case actSilent:
		a.log.Warn("The RDV server no longer answers", "server", server, "hint", "trying again")
	case actBack:
		a.log.Info("The RDV server answers again", "server", server)
	}
	a.status.Store(&s)
}

func (a *Authority) shake(now time.Time, cookies []cookie) {
	a.abandon()
	var err error
	a.shaking, err = startShaking(a.ctx, &a.wg, shakeConfig{
		conn: a.cfg.Conn, server: a.cfg.Server, certificate: a.cfg.Certificate, verify: a.cfg.VerifyServer,
		suites: a.cfg.Suites, log: a.log, ended: a.shaken,
	}, cookies)
	if err != nil {
		a.perform(now, a.server.handshaken(now, nil, err, nil))
	}
}

// abandon ends the handshake with the RDV, if one runs.
func (a *Authority) abandon() {
	if a.shaking != nil {
		a.shaking.cancel()
		a.shaking = nil
	}
}

// handleShaken takes the end of a handshake with the RDV.
func (a *Authority) handleShaken(now time.Time, e shakeEnd) {
	if e.run != a.shaking {
		return // abandoned meanwhile
	}
	a.abandon()
	l, err := e.link()
	a.perform(now, a.server.handshaken(now, l, err, nil))
	if err != nil {
		return
	}
	for _, rec := range e.run.hs.Early() {
		out, _ := a.server.receive(now, rec, nil)
		a.perform(now, out)
	}
}

// flush sends what is in the outbox, in order.
func (a *Authority) flush() {
	if len(a.outbox) == 0 {
		return
	}
	if err := a.cfg.Conn.Send(a.outbox); err != nil {
		a.log.Debug("send", "err", err)
	}
	clear(a.outbox)
	a.outbox = a.outbox[:0]
}
