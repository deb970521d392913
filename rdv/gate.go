package rdv

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/netip"
	"time"

	"campagnol/punch"
	"campagnol/rdv/wire"
)

// cookieLife is how long a secret makes cookies. It checks them for as long again,
// so that a cookie is good for one to two times this.
const cookieLife = time.Minute

// maxAdmit is the length of the longest ADMIT, in bytes. Handshakes keep what comes
// out of turn.
const maxAdmit = 2048

// A gate answers KNOCKs and checks the cookies of ADMITs. It keeps nothing about
// anybody, and allocates nothing. One goroutine owns it.
type gate struct {
	start   time.Time
	period  int64        // since start, in cookieLifes
	secrets [2]hash.Hash // of this period and the one before, by parity; nil: none
	buf     [16 + 2 + 16]byte
	sum     [sha256.Size]byte
}

func newGate(now time.Time) *gate {
	g := &gate{start: now}
	g.secrets[0] = newSecret()
	return g
}

func newSecret() hash.Hash {
	var key [sha256.Size]byte
	rand.Read(key[:]) // never fails
	return hmac.New(sha256.New, key[:])
}

// advance replaces the secrets that are too old.
func (g *gate) advance(now time.Time) {
	period := max(g.period, int64(now.Sub(g.start)/cookieLife))
	if period > g.period+1 {
		g.secrets[(period-1)&1] = newSecret() // nobody has a cookie of the time between
	}
	if period > g.period {
		g.secrets[period&1] = newSecret()
		g.period = period
	}
}

// cookie returns the cookie for a client at from that has reached us at local. Its
// lowest bit tells which of the two secrets made it, so that checking one takes a
// single HMAC.
func (g *gate) cookie(now time.Time, from netip.AddrPort, local netip.Addr) [wire.CookieSize]byte {
	g.advance(now)
	return g.make(byte(g.period&1), from, local)
}

func (g *gate) make(parity byte, from netip.AddrPort, local netip.Addr) (c [wire.CookieSize]byte) {
	b := g.buf[:0]
	a := from.Addr().As16()
	b = append(b, a[:]...)
	b = binary.BigEndian.AppendUint16(b, from.Port())
	if local.IsValid() {
		a = local.As16()
		b = append(b, a[:]...)
	}
	h := g.secrets[parity]
	h.Reset()
	h.Write(b)
	copy(c[:], h.Sum(g.sum[:0]))
	c[0] = c[0]&^1 | parity
	return c
}

// admits reports whether a cookie is one for a client at from that has reached us
// at local, and not too old.
func (g *gate) admits(now time.Time, c [wire.CookieSize]byte, from netip.AddrPort, local netip.Addr) bool {
	g.advance(now)
	parity := c[0] & 1
	if g.secrets[parity] == nil {
		return false
	}
	want := g.make(parity, from, local)
	return hmac.Equal(c[:], want[:])
}

// receiveGate takes a gate message. It answers a KNOCK, and returns true for an
// ADMIT or APPLY that is to be handed over to control.
func (r *receiver) receiveGate(now time.Time, d punch.Datagram, payload []byte) (admitted bool) {
	s := r.s
	m, err := wire.ParseGate(payload)
	if err != nil {
		s.stats.malformed.Add(1)
		return false
	}
	closed := s.trust.Load() == nil
	switch {
	case (m.Type == wire.Knock || m.Type == wire.Apply) && closed:
		r.knocked(d, wire.GateMessage{Type: wire.Closed})
	case m.Type == wire.Knock:
		s.stats.knocks.Add(1)
		r.knocked(d, wire.GateMessage{Type: wire.Cookie, Version: wire.GateVersion, Cookie: r.gate.cookie(now, d.Addr, d.Local)})
	case m.Type == wire.Admit && len(payload) > maxAdmit:
		s.stats.malformed.Add(1)
	case (m.Type == wire.Admit || m.Type == wire.Apply) && !closed:
		if r.gate.admits(now, m.Cookie, d.Addr, d.Local) {
			return true
		}
		s.stats.badCookie.Add(1)
	default: // what servers say
		s.stats.otherProtocol.Add(1)
	}
	return false
}

// receiveAdmitted takes what has come through the gate.
func (s *Server) receiveAdmitted(ctx context.Context, now time.Time, a *arrival) {
	m, err := wire.ParseGate(a.data)
	if err == nil && m.Type == wire.Apply {
		s.out = s.registry.Apply(now, a.In, m, s.out)
		return
	}
	s.receiveAdmit(ctx, now, a)
}

// knocked queues the answer to a KNOCK, or CLOSED.
func (r *receiver) knocked(d punch.Datagram, answer wire.GateMessage) {
	start := len(r.gateBuf)
	r.gateBuf = answer.Append(r.gateBuf)
	r.gateOut = append(r.gateOut, punch.Datagram{Addr: d.Addr, Local: d.Local, Data: r.gateBuf[start:]})
}

// flushGate sends the answers to KNOCKs.
func (r *receiver) flushGate() {
	if len(r.gateOut) == 0 {
		return
	}
	r.s.stats.sent.Add(uint64(len(r.gateOut)))
	if err := r.conn.Send(r.gateOut); err != nil {
		r.s.stats.sendFailed.Add(1)
	}
	r.gateBuf, r.gateOut = r.gateBuf[:0], r.gateOut[:0]
}
