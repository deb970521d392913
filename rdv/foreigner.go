package rdv

import (
	"campagnol/punch/stream"
	"campagnol/rdv/wire"
)

// foreigner answers what has come in clear from an endpoint that no message in clear
// can name: an IPv6 one. Nobody is registered there, but for members, whose
// datagrams do not come here; and so
//
//   - a HELLO is refused: whoever asked for this client could not be told where it
//     is. Clients register from IPv6 over a channel.
//   - RECONNECT makes a client that had a channel, before the server was restarted,
//     knock again. It is as good as lost otherwise until it gives the server up.
//
// The sender may be forged. What goes to one network is limited as for strangers
// with IPv4.
func (r *Registry) foreigner(in In, out []Out) []Out {
	if stream.IsStream(in.From) {
		return r.unknownStream(in, out)
	}
	a := in.From.Addr()
	if !a.Is6() || a.Is4In6() || a.IsUnspecified() || in.From.Port() == 0 {
		r.counters.Address++
		return out
	}
	answer := wire.Reconnect
	switch in.Msg.Type {
	case wire.Hello:
		answer = wire.NOK
	case wire.Ping, wire.Ask, wire.Close, wire.Bye:
	default:
		r.counters.Unexpected++
		return out
	}
	if n := networkOf(a); !r.strangers.allowNetwork(r.now, n.fold()) {
		r.counters.Limited++
		return out
	}
	return append(out, reply(in, answer))
}
