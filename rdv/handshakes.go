package rdv

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"time"

	"campagnol/pki"
	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel/handshake"
)

// An attempt is a handshake under way. It has goroutines of its own, which end
// with it.
type attempt struct {
	hs *handshake.Handshake
	spot
	local  netip.Addr
	hello  uint64
	trust  *Trust // under which it began
	taken  int    // bytes that hs was given
	early  [][]byte
	cancel context.CancelFunc
	peer   *pki.Peer // written before run returns
}

// An attemptEnd is how a handshake ended.
type attemptEnd struct {
	attempt *attempt
	result  *handshake.Result
	err     error
}

// errProtocol says that ALPN did not agree on our protocol.
var errProtocol = errors.New("the client does not ask for the protocol " + channel.Protocol + " (ALPN)")

// receiveAdmit takes a datagram with a good cookie: one of a handshake, or of a
// client that does not know yet that it is over.
func (s *Server) receiveAdmit(ctx context.Context, now time.Time, a *arrival) {
	b := a.data[wire.AdmitHead:]
	running, m := s.attempts[a.spot()], s.registry.member(a.spot())
	random, hello := handshake.ClientHello(b)
	id := helloID(random)
	switch {
	case running != nil && (!hello || running.hello == id):
		running.handle(b)
	case m != nil && (!hello || m.channel.hello == id):
		s.receiveRecords(now, m, b)
	case !hello:
		s.stats.stray.Add(1)
	default:
		if running != nil {
			s.abandon(now, running) // it begins anew
		}
		s.beginHandshake(ctx, now, a, id)
	}
}

// beginHandshake begins a handshake with the first datagram in a, or puts the
// client off.
func (s *Server) beginHandshake(ctx context.Context, now time.Time, a *arrival, hello uint64) {
	trust := s.trust.Load()
	if trust == nil {
		return
	}
	wait, ok := s.admission.admit(now, a.From.Addr())
	if !ok {
		s.stats.putOff.Add(1)
		m, _ := wire.ParseGate(a.data) // the cookie of the ADMIT
		s.queue(a.From, a.Local, a.Socket, wire.GateMessage{Type: wire.Wait, Cookie: m.Cookie, Millis: uint16(wait.Milliseconds())}.Append(nil))
		return
	}
	at := &attempt{spot: a.spot(), local: a.Local, hello: hello, trust: trust}
	conn := s.conns[a.Socket]
	hs, err := handshake.New(handshake.Config{
		Server:      true,
		Certificate: trust.certificate,
		Verify: func(chain [][]byte) (err error) {
			trust.inquire(ctx, chain)
			at.peer, err = trust.verify(time.Now(), chain)
			return err
		},
		Protocols: []string{channel.Protocol},
		Timeout:   handshakeTime,
	}, func(b []byte) {
		// Straight to the socket: control need not wait for the arithmetic.
		s.stats.sent.Add(1)
		if err := conn.Send([]punch.Datagram{{Addr: at.AddrPort, Local: at.local, Data: b}}); err != nil {
			s.stats.sendFailed.Add(1)
		}
	})
	if err != nil {
		s.admission.release(now, a.From.Addr())
		s.log.ErrorContext(ctx, "Cannot begin a DTLS handshake", "addr", a.From, "err", err)
		return
	}
	at.hs = hs
	s.attempts[at.spot] = at
	s.stats.handshakes.Add(1)
	at.handle(a.data[wire.AdmitHead:])
	running, cancel := context.WithCancel(ctx)
	at.cancel = cancel
	s.helpers.Go(func() {
		result, err := hs.Run(running)
		select {
		case s.ended <- attemptEnd{at, result, err}:
		case <-s.stopped:
		}
	})
}

// maxTaken bounds what a client can say in a handshake, and so what it can make us
// keep, in bytes. The longest certificates that are accepted fit, with a few
// repetitions.
const maxTaken = 96 << 10

// handle hands a datagram to the handshake.
func (at *attempt) handle(b []byte) {
	if at.taken += len(b); at.taken <= maxTaken {
		at.hs.Handle(b)
	}
}

// maxEarly bounds the datagrams that are kept until the handshake is over.
const maxEarly = 8

// keep keeps a datagram that has come without ADMIT: the client may have completed
// the handshake, and say something already, before we know. It may be forged, and
// does not get into the handshake.
func (at *attempt) keep(b []byte) {
	if len(at.early) < maxEarly && len(b) <= maxRecordLen {
		at.early = append(at.early, bytes.Clone(b))
	}
}

// abandon ends a handshake whose result nobody wants any more.
func (s *Server) abandon(now time.Time, at *attempt) {
	at.cancel()
	delete(s.attempts, at.spot)
	s.admission.release(now, at.Addr())
}

// handleEnd takes the end of a handshake.
func (s *Server) handleEnd(ctx context.Context, now time.Time, e attemptEnd) {
	at := e.attempt
	if s.attempts[at.spot] != at {
		return // abandoned
	}
	s.abandon(now, at)
	if e.err == nil && e.result.Protocol != channel.Protocol {
		e.err = errProtocol
	}
	trust := s.trust.Load()
	if e.err == nil && trust != at.trust { // it was accepted under other settings
		at.peer, e.err = trust.verify(now, e.result.Certificates)
	}
	if e.err != nil {
		s.stats.failed.Add(1)
		s.logFailure(ctx, now, at.AddrPort, e.err)
		return
	}
	m := s.establish(now, at, e.result)
	for _, b := range append(at.hs.Early(), at.early...) {
		if s.registry.member(m.spot()) == m {
			s.receiveRecords(now, m, b)
		}
	}
}

// establish makes a channel of a handshake's result.
func (s *Server) establish(now time.Time, at *attempt, result *handshake.Result) *Member {
	s.stats.established.Add(1)
	id := Identity{Key: at.peer.Key, Name: at.peer.Name, Addrs: at.peer.Addrs, Leaf: result.Certificates[0]}
	if leaf := at.peer.Leaf; leaf != nil {
		id.Authority, id.Expires, id.Serial = pki.IsAuthority(leaf), leaf.NotAfter.Unix(), pki.SerialOf(leaf)
	}
	m := s.registry.Join(now, at.spot, at.local, id)
	after := handshake.NewAftermath(now, result)
	m.channel = &sealed{
		seal:  result.Seal,
		open:  result.Open,
		after: &after,
		hello: at.hello,
		chain: result.Certificates,
	}
	return m
}
