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
	"slices"
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
	Conn    punch.Conn // closed when Run returns
	Servers []Server   // the RDVs; at most 8 are used, all at a time

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

// An Authority is the VPN's authority at its RDVs: it is registered there over the
// authenticated channel, without an address in the VPN, answers what they pass on to
// it, and has what all members should have. Run starts and stops it; the other
// methods are safe for concurrent use.
type Authority struct {
	cfg     AuthorityConfig
	log     *slog.Logger
	changed chan struct{}   // has room for one
	jobs    chan jobRequest // for the worker; has room for all that there may be
	status  atomic.Pointer[[]RDVStatus]

	// To the goroutine of Run, which owns the following. Never closed.
	datagrams chan event
	shaken    chan shakeEnd
	answers   chan jobAnswer

	ctx    context.Context // of Run
	wg     sync.WaitGroup  // its goroutines
	rdvs   []*rendezvous
	outbox []punch.Datagram
}

// A jobRequest is what an RDV has passed on.
type jobRequest struct {
	by   *rendezvous
	on   *link
	id   uint32
	from netip.AddrPort
	data []byte
}

// A jobAnswer is the answer to a request that the RDV has passed on.
type jobAnswer struct {
	by   *rendezvous
	on   *link
	id   uint32
	data []byte
}

// NewAuthority returns an Authority. It returns an error if the configuration lacks
// something.
func NewAuthority(cfg AuthorityConfig) (*Authority, error) {
	if cfg.Conn == nil || !usableServers(cfg.Servers) || cfg.VerifyServer == nil || cfg.Answer == nil || cfg.Objects == nil {
		return nil, errors.New("client: incomplete configuration of the authority")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	cfg.Servers = withNames(cfg.Servers)
	a := &Authority{
		cfg: cfg, log: cfg.Log,
		changed:   make(chan struct{}, 1),
		jobs:      make(chan jobRequest, maxJobs*len(cfg.Servers)),
		datagrams: make(chan event, queueChannel),
		shaken:    make(chan shakeEnd),
		answers:   make(chan jobAnswer),
	}
	a.status.Store(new([]RDVStatus))
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

// Status tells how the Authority is registered at its RDVs, in the order of the
// configuration; before Run has begun it has nothing to tell.
func (a *Authority) Status() []RDVStatus { return *a.status.Load() }

// Run runs the Authority until ctx is done or the socket fails. It tells the RDVs
// good-bye and returns when every goroutine that it has started has ended. It
// returns nil if ctx ended it.
func (a *Authority) Run(ctx context.Context) error {
	outer := ctx
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	a.ctx = ctx
	now := time.Now()
	for _, server := range a.cfg.Servers {
		a.rdvs = append(a.rdvs, a.newRendezvous(now, server))
	}
	a.publish()
	a.wg.Go(func() { fail(a.receive()) })
	a.wg.Go(a.work)
	a.loop()
	for _, r := range a.rdvs {
		a.perform(time.Now(), r, r.server.bye(nil))
		r.abandon()
	}
	a.flush()
	a.cfg.Conn.Close()
	a.wg.Wait()
	if outer.Err() != nil {
		return nil
	}
	return fmt.Errorf("client: authority: %w", context.Cause(ctx))
}

func (a *Authority) newRendezvous(now time.Time, s Server) *rendezvous {
	r := &rendezvous{name: s.Name, on: true, owner: &owner{ctx: a.ctx, wg: &a.wg, send: a.send}}
	r.owner.shake = func() shakeConfig {
		return shakeConfig{
			conn: a.cfg.Conn, certificate: a.cfg.Certificate, verify: a.cfg.VerifyServer,
			suites: a.cfg.Suites, log: a.log, ended: a.shaken,
		}
	}
	r.setWays(s.Addrs)
	r.reg = newRegistration(now, r.at, wire.Message{}, a.cfg.Jitter)
	r.reg.hold()
	r.server = newServerChannel(now, channelConfig{
		auth: AuthYes, known: func() bool { return true }, jitter: a.cfg.Jitter,
		register: channel.Message{Type: channel.Register, Software: a.cfg.Software},
	})
	r.server.duty = new(duty)
	return r
}

// publish makes what all members should have known to the channels.
func (a *Authority) publish() {
	objects := a.cfg.Objects()
	for _, r := range a.rdvs {
		r.server.duty.publish(objects)
	}
}

func (a *Authority) send(_ punch.Conn, to netip.AddrPort, b []byte) {
	a.outbox = append(a.outbox, punch.Datagram{Addr: to, Data: b})
}

// receive reads the socket. What does not come from an RDV means nothing, and what
// comes too fast is dropped: it is repeated.
func (a *Authority) receive() error {
	ways := waysTo(a.cfg.Servers)
	for {
		ds, err := a.cfg.Conn.Receive()
		if err != nil {
			return err
		}
		for _, d := range ds {
			if !slices.Contains(ways, d.Addr) {
				continue
			}
			for b := range d.Segments {
				select {
				case a.datagrams <- event{addr: d.Addr, data: bytes.Clone(b)}:
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
			answer := jobAnswer{j.by, j.on, j.id, a.cfg.Answer(time.Now(), j.from, j.data)}
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
		case e := <-a.datagrams:
			a.handle(time.Now(), e.addr, e.data)
		case e := <-a.shaken:
			a.handleShaken(time.Now(), e)
		case j := <-a.answers:
			a.perform(time.Now(), j.by, j.by.server.served(j.on, j.id, j.data, nil))
		case <-a.changed:
			a.publish()
			for _, r := range a.rdvs {
				a.perform(time.Now(), r, r.server.announce(time.Now(), nil))
			}
		}
		timer.Reset(a.advance(time.Now()))
	}
}

// advance does what is due, sends what is to be sent, and returns for how long nothing
// else is due.
func (a *Authority) advance(now time.Time) time.Duration {
	next := now.Add(time.Hour) // a handshake has an end of its own
	var status []RDVStatus
	for _, r := range a.rdvs {
		a.perform(now, r, r.server.advance(now, nil))
		r.advanceRace(now)
		if t := r.timeout(); !t.IsZero() && t.Before(next) {
			next = t
		}
		status = append(status, r.status(AuthYes))
	}
	a.status.Store(&status)
	a.flush()
	return next.Sub(now)
}

// handle takes a datagram of an RDV.
func (a *Authority) handle(now time.Time, from netip.AddrPort, b []byte) {
	i := slices.IndexFunc(a.rdvs, func(r *rendezvous) bool { return r.leadsTo(from) })
	r := a.rdvs[i] // receive has seen to it that there is one
	switch wire.KindOf(b) {
	case wire.KindRendezvous:
		if m, err := wire.Parse(b); err == nil {
			a.perform(now, r, r.handleClear(now, nil, from, m.Type))
		}
	case wire.KindGate:
		if g, err := wire.ParseGate(b); err == nil {
			a.perform(now, r, r.handleGate(now, nil, from, g))
		}
	case wire.KindDTLS:
		out, _ := r.receive(now, nil, from, b)
		a.perform(now, r, out)
	}
}

// perform does what the machine of the channel to an RDV wants to be done.
func (a *Authority) perform(now time.Time, r *rendezvous, outs []chanOut) {
	for i := range outs {
		o := &outs[i]
		more, done := r.perform(now, o, nil)
		switch {
		case done:
			a.perform(now, r, more)
		case o.act == actServe:
			j := jobRequest{by: r, on: o.link, id: o.id, data: o.msg.Data}
			if len(o.msg.Endpoints) > 0 {
				j.from = o.msg.Endpoints[0]
			}
			a.jobs <- j // never waits: each machine works on maxJobs at a time
		default:
			a.report(r, o)
		}
	}
}

// report logs what the channel to an RDV has to say.
func (a *Authority) report(r *rendezvous, o *chanOut) {
	server := r.at
	switch o.act {
	case actTrying:
		a.log.Info("Registering with the RDV server...", "server", server)
	case actUp:
		r.said = nil
		if l := o.link; o.fresh {
			a.log.Info("Registration complete", "server", server, "certificate", l.server.Name, "cipher", l.suite.String())
		}
	case actDown:
		a.log.Warn("The channel to the RDV server has ended", "server", server, "err", o.err, "hint", "trying again")
	case actRefused:
		if r.said.first(o.err) {
			a.log.Warn("No authenticated channel to the RDV server", "server", server, "err", o.err, "hint", "trying again")
		}
	case actSilent:
		a.log.Warn("The RDV server no longer answers", "server", server, "hint", "trying again")
	case actBack:
		a.log.Info("The RDV server answers again", "server", server)
	}
}

// handleShaken takes the end of a handshake with an RDV.
func (a *Authority) handleShaken(now time.Time, e shakeEnd) {
	i := slices.IndexFunc(a.rdvs, func(r *rendezvous) bool { return r.shaking == e.run })
	if i < 0 {
		return // abandoned meanwhile
	}
	r := a.rdvs[i]
	r.abandon()
	l, err := e.link()
	a.perform(now, r, r.server.handshaken(now, l, err, nil))
	if err != nil {
		return
	}
	for _, rec := range e.run.hs.Early() {
		out, _ := r.receive(now, nil, r.at, rec)
		a.perform(now, r, out)
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
