package rdv

import (
	"net/netip"

	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// An In is a message that has arrived: Msg in clear, or Request over the channel
// of Member.
type In struct {
	From  netip.AddrPort
	Local netip.Addr // address of this host to which it was sent, if known
	Msg   wire.Message

	Socket uint8 // number of the socket that it came to

	Member  *Member // who says Request; nil: Msg has come in clear
	Request *channel.Message
}

// spot returns where in comes from.
func (in *In) spot() spot { return spot{in.From, in.Socket} }

// An Out is a message to send: Msg in clear, or Answer over the channel of Member.
type Out struct {
	To    netip.AddrPort
	Local netip.Addr // address of this host to send it from; zero: any
	Msg   wire.Message

	Socket uint8 // number of the socket to send it by

	Member *Member // to whom Answer is said; nil: Msg goes in clear, or Gate
	Answer *channel.Message
	Gate   *wire.GateMessage // nil: Msg
}

// reply returns a message without fields to the sender of in.
func reply(in In, t wire.Type) Out {
	return Out{To: in.From, Local: in.Local, Socket: in.Socket, Msg: wire.Message{Type: t}}
}

// out returns message m to client c.
func (c *client) out(m wire.Message) Out {
	return Out{To: c.endpoint.addrPort(), Local: c.server.addr(), Socket: c.endpoint.socket(), Msg: m}
}

// introduction returns the message that the client v is at e.
func introduction(t wire.Type, e endpoint, v netip.Addr) wire.Message {
	at := e.addrPort()
	return wire.Message{Type: t, Port: at.Port(), IP1: at.Addr(), IP2: v}
}
