package rdv

import (
	"context"
	"fmt"
	"time"

	"campagnol/punch"
	"campagnol/rdv/relay"
	"campagnol/rdv/wire"
	"campagnol/tunnel/record"
)

// A receiver takes what comes in on one of the server's sockets: it answers KNOCKs
// and STUN itself, by the socket that they came to, and hands to control what that
// has to see. Cookies are good at the socket that gave them and at no other. One
// goroutine owns it.
type receiver struct {
	s      *Server
	socket uint8 // its number among s.conns
	conn   punch.Conn
	stream bool // its clients have connections

	gate    *gate
	gateBuf []byte
	gateOut []punch.Datagram
	stun    *responder

	door     *relay.Door // of the socket, to the relay; nil: there is none
	relaying limiter     // of requests to it
}

// run hands over the messages that come in, until ctx is done or the socket fails.
func (r *receiver) run(ctx context.Context) error {
	for {
		ds, err := r.conn.Receive()
		if err != nil {
			return fmt.Errorf("rdv: receive: %w", err)
		}
		var b *batch
		select {
		case b = <-r.s.empty:
		case <-ctx.Done():
			return ctx.Err()
		}
		b.arrivals, b.data = b.arrivals[:0], b.data[:0]
		now := time.Now()
		for _, d := range ds {
			r.takeDatagram(now, d, b)
		}
		r.flushGate()
		r.stun.flush()
		r.flushRelay()
		select {
		case r.s.full <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sort adds a datagram that control has to see to b. What else makes no sense is
// counted.
func (r *receiver) sort(now time.Time, d punch.Datagram, payload []byte, b *batch) {
	s := r.s
	s.stats.received.Add(1)
	kind := wire.KindOf(payload)
	in := In{From: d.Addr, Local: d.Local, Socket: r.socket}
	switch kind {
	case wire.KindRendezvous:
		m, err := wire.Parse(payload)
		if err != nil {
			s.stats.malformed.Add(1)
			return
		}
		if r.stream && m.Type != wire.Ping {
			s.stats.clearStream.Add(1)
			return
		}
		in.Msg = m
		b.arrivals = append(b.arrivals, arrival{In: in, kind: kind})
	case wire.KindGate:
		if r.receiveGate(now, d, payload) {
			b.add(arrival{In: in, kind: kind}, payload)
		}
	case wire.KindDTLS:
		// Records of a handshake come in an ADMIT, or not at all.
		if h, err := record.ParseHeader(payload); err != nil || h.Epoch == 0 || s.trust.Load() == nil {
			s.stats.otherProtocol.Add(1)
			return
		}
		b.add(arrival{In: in, kind: kind}, payload)
	case wire.KindSTUN:
		if r.door == nil || !r.relayRequest(now, d, payload) {
			r.stun.receive(now, d, payload)
		}
	case wire.KindChannel: // takeDatagram has given it to the relay, if there is one
		s.stats.otherProtocol.Add(1)
	default:
		s.stats.malformed.Add(1)
	}
}
