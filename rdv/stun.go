package rdv

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"campagnol/punch"
	"campagnol/punch/stream"
	"campagnol/punch/stun"
	"campagnol/rdv/wire"
)

// How fast STUN is answered to one network. A check of a NAT is some twenty requests
// of a host, which it makes when its network changes; after a restart of the server
// all hosts of a network may do so. The answers may go to a victim whose address was
// forged: 1,000 a second are 150 kB/s at most, from requests of two thirds of that.
const (
	stunInterval = time.Millisecond
	stunBurst    = 2 * time.Second
)

// codeUnknownAttribute is what is said about requests that ask for what we cannot do
// (RFC 8489 section 14.8).
const codeUnknownAttribute = 420

// attrChangeRequest is the attribute that an error names for it.
const attrChangeRequest = 0x0003

// A responder answers STUN on one socket. It keeps nothing about anybody and
// allocates nothing. One goroutine owns it.
//
// NAT behaviour discovery (RFC 5780) needs a second port, and a second address tells
// more. Both sockets take all addresses of the host, and Datagram.Local says which of
// them a request came to, and its answer leaves from:
//
//	             the port        the other port
//	any address  Conn            OtherConn
//	OtherAddrs   Conn            OtherConn
//
// With MoreConns there are further ports, whose other port is OtherConn, too.
type responder struct {
	conn, other punch.Conn // other is nil: there is no second port
	addrs       []netip.Addr
	software    string
	stats       *stats
	codec       stun.Codec
	limit       *stunLimiter

	answer  stun.Response // scratch
	unknown [4]uint16     // of answer
	buf     []byte
	out     []punch.Datagram // from conn
	moved   []punch.Datagram // from other
}

func newResponder(cfg *Config, conn, other punch.Conn, limit *stunLimiter, stats *stats) *responder {
	return &responder{conn: conn, other: other, addrs: cfg.OtherAddrs, software: cfg.Software, limit: limit, stats: stats}
}

// A stunLimiter limits how fast a network is answered on all sockets together. It is
// safe for concurrent use.
type stunLimiter struct {
	begin time.Time

	mu sync.Mutex // held for nanoseconds; guards the following
	l  limiter
}

// allow reports whether an answer to a may be sent at now, and counts it if so.
func (l *stunLimiter) allow(now time.Time, a netip.Addr) bool {
	n := networkOf(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.l.allowNetwork(now.Sub(l.begin), n.fold())
}

// receive takes a datagram of STUN and queues the answer.
func (r *responder) receive(now time.Time, d punch.Datagram, payload []byte) {
	q, err := r.codec.ParseRequest(payload)
	switch {
	case errors.Is(err, stun.ErrNotRequest): // an answer, or what asks for none
		r.stats.otherProtocol.Add(1)
		return
	case err != nil:
		r.stats.malformed.Add(1)
		return
	}
	if !r.limit.allow(now, d.Addr.Addr()) {
		r.stats.limitedBindings.Add(1)
		return
	}
	r.stats.bindings.Add(1)
	r.reply(d, q)
}

// reply queues the answer to q.
func (r *responder) reply(d punch.Datagram, q stun.Request) {
	otherAddr := r.otherAddr(d.Local)
	a := &r.answer
	*a = stun.Response{ID: q.ID, Fingerprint: q.Fingerprint}
	if q.Software {
		a.Software = r.software
	}
	from, local, conn := d.Local, d.Local, r.conn
	switch {
	case q.Unknowns > 0:
		r.unknown = q.Unknown
		a.Code, a.Unknown = codeUnknownAttribute, r.unknown[:q.Unknowns]
	case q.ChangePort && r.other == nil, q.ChangeAddr && !otherAddr.IsValid():
		r.unknown[0] = attrChangeRequest
		a.Code, a.Unknown = codeUnknownAttribute, r.unknown[:1]
	default:
		if q.ChangeAddr {
			from, local = otherAddr, otherAddr
		}
		if q.ChangePort {
			conn = r.other
		}
		r.describe(a, d, otherAddr, from, conn)
	}
	to := d.Addr
	if q.ReplyPort != 0 && !stream.IsStream(to) { // RFC 5780 section 7.5: over UDP only
		to = netip.AddrPortFrom(to.Addr(), q.ReplyPort)
	}
	start := len(r.buf)
	r.buf = r.codec.AppendResponse(r.buf, a)
	out := punch.Datagram{Addr: to, Local: local, Data: r.buf[start:]}
	if conn == r.conn {
		r.out = append(r.out, out)
	} else {
		r.moved = append(r.moved, out)
	}
}

// describe fills in what a success response says. RESPONSE-ORIGIN and what comes
// with it go only to where they are known: without a second port, or on a system that
// does not tell at which address a datagram arrived, the answer is as short as can be.
func (r *responder) describe(a *stun.Response, d punch.Datagram, otherAddr, from netip.Addr, conn punch.Conn) {
	a.Mapped = stream.Real(d.Addr)
	if r.other == nil {
		return
	}
	port := r.other.LocalAddr().Port()
	if otherAddr.IsValid() {
		a.Other = netip.AddrPortFrom(otherAddr, port)
	} else {
		a.OtherPort = port
	}
	if from.IsValid() {
		a.Origin = netip.AddrPortFrom(from, conn.LocalAddr().Port())
	}
}

// otherAddr returns the address from which the answer to a request at local may come
// instead; the zero Addr: from none. Whoever asks at the second address has been told
// of it, and knows the first.
func (r *responder) otherAddr(local netip.Addr) netip.Addr {
	local = local.Unmap()
	other := netip.Addr{}
	for _, a := range r.addrs {
		switch {
		case a == local:
			return netip.Addr{}
		case local.IsValid() && a.Is4() == local.Is4():
			other = a
		}
	}
	return other
}

// flush sends what is queued.
func (r *responder) flush() {
	for _, x := range [...]struct {
		conn punch.Conn
		ds   []punch.Datagram
	}{{r.conn, r.out}, {r.other, r.moved}} {
		if len(x.ds) == 0 {
			continue
		}
		r.stats.sent.Add(uint64(len(x.ds)))
		if err := x.conn.Send(x.ds); err != nil {
			r.stats.sendFailed.Add(1)
		}
	}
	r.out, r.moved, r.buf = r.out[:0], r.moved[:0], r.buf[:0]
}

// serveOther answers STUN on the second port, until its socket is closed. That it
// fails harms nobody but those who would know their NAT better.
func (s *Server) serveOther() {
	r := newResponder(&s.cfg, s.cfg.OtherConn, s.cfg.Conn, &s.bindings, &s.stats)
	for {
		ds, err := s.cfg.OtherConn.Receive()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.log.Warn("STUN is not answered any more on the second port", "port", s.cfg.OtherConn.LocalAddr().Port(), "err", err)
			}
			return
		}
		now := time.Now()
		for _, d := range ds {
			d.Segments(func(payload []byte) bool {
				s.stats.received.Add(1)
				if wire.KindOf(payload) == wire.KindSTUN {
					r.receive(now, d, payload)
				} else {
					s.stats.otherProtocol.Add(1)
				}
				return true
			})
		}
		r.flush()
	}
}

// stunStats are the counters of the responders.
type stunStats struct{ bindings, limitedBindings atomic.Uint64 }
