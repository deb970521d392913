package rdv

import (
	"net/netip"

	"campagnol/punch/stream"
	"campagnol/rdv/wire"
)

// Clients whose UDP does not get through come by TCP, or TLS (package punch/stream). All
// that needs a certificate works there; registration in clear does not: it is for where
// datagrams can be sent to. Whom the server introduces to whom it names no such address,
// since nobody else can send anything there: two clients meet then where their candidates
// say, or at a relay. It is told by the address, since that is what all of the server
// knows a client by.

// unknownStream answers a PING over a connection whose client has no channel, or none any
// more: it knocks again then. Nobody can forge where a connection comes from, but one
// network gets no more of it than any stranger.
func (r *Registry) unknownStream(in In, out []Out) []Out {
	switch n := networkOf(in.From.Addr()); {
	case in.Msg.Type != wire.Ping:
		r.counters.Unexpected++
	case !r.strangers.allowNetwork(r.now, n.fold()):
		r.counters.Limited++
	default:
		out = append(out, reply(in, wire.Reconnect))
	}
	return out
}

// untold returns why a client in clear cannot be told of m.
func (m *Member) untold() string {
	if stream.IsStream(m.at) {
		return "this client has no channel, and can be told of nobody who comes by TCP"
	}
	return "this client has no channel, and cannot be told where you are without IPv4"
}

// shown returns an endpoint for people.
func shown(a netip.AddrPort) any {
	if !stream.IsStream(a) {
		return a
	}
	return stream.Real(a).String() + " (TCP)"
}
