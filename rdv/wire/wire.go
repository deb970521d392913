// Package wire is the format of the rendezvous and punch messages: 11-byte
// datagrams between a client and the rendezvous server (RDV), and between two
// clients that open a path to each other.
//
//	offset  size  field
//	0       1     type
//	1       2     port
//	3       4     ip1
//	7       4     ip2
//
// Everything is in network byte order, and a field that a type does not use is
// zero. The format is that of Campagnol 0.3.5 and never changes: programs of
// both generations meet at it. What is new travels elsewhere.
//
// These messages share one UDP port with other protocols; [KindOf] tells them
// apart.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Size is the length of every message, in bytes.
const Size = 11

// A Type says what a message means.
type Type uint8

// The types, and what their fields hold.
const (
	Hello     Type = 0  // client to RDV: register; port and ip2 are the local address (port 0: none), ip1 the client's VPN address
	Ping      Type = 1  // client to RDV: still here
	Ask       Type = 2  // client to RDV: introduce me to VPN address ip1
	Pong      Type = 3  // RDV to client: answer to Ping
	OK        Type = 4  // RDV to client: Hello accepted
	NOK       Type = 5  // RDV to client: Hello refused
	Forward   Type = 6  // RDV to the asked: the asker is at ip1:port, its VPN address is ip2
	Answer    Type = 7  // RDV to the asker: the asked is at ip1:port, its VPN address is ip2
	Reject    Type = 8  // RDV to the asker: VPN address ip1 is not known
	Punch     Type = 9  // client to client: ip1 is the sender's VPN address, ip2 its Mark
	KeepAlive Type = 10 // client to client: refreshes the NAT mappings of an idle path
	Bye       Type = 11 // client to RDV: unregister; ip1 is the client's VPN address
	Reconnect Type = 12 // RDV to client: I do not know you, say Hello
	Close     Type = 13 // client to RDV: the path to VPN address ip1 is closed
	typeCount      = 14
)

var typeNames = [typeCount]string{
	"HELLO", "PING", "ASK_CONNECTION", "PONG", "OK", "NOK", "FWD_CONNECTION",
	"ANS_CONNECTION", "REJ_CONNECTION", "PUNCH", "PUNCH_KEEP_ALIVE", "BYE",
	"RECONNECT", "CLOSE_CONNECTION",
}

// String returns the name that the original's log uses.
func (t Type) String() string {
	if t < typeCount {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Errors of [Parse].
var (
	ErrSize = errors.New("wire: a message has 11 bytes")
	ErrType = errors.New("wire: undefined message type")
)

// A Message is one datagram. Which fields mean something is listed with the
// types; the others are zero.
type Message struct {
	Type Type
	Port uint16
	IP1  netip.Addr // IPv4; the zero Addr is 0.0.0.0 on the wire
	IP2  netip.Addr // IPv4; the zero Addr is 0.0.0.0 on the wire
}

// Append appends the wire form of m to b. An address that is not IPv4 is sent
// as 0.0.0.0.
func (m Message) Append(b []byte) []byte {
	b = append(b, byte(m.Type))
	b = binary.BigEndian.AppendUint16(b, m.Port)
	b = appendAddr(b, m.IP1)
	return appendAddr(b, m.IP2)
}

// Parse reads a message. An address of 0.0.0.0 is returned as the zero Addr,
// so that Parse and Append are each other's inverse.
func Parse(b []byte) (Message, error) {
	if len(b) != Size {
		return Message{}, ErrSize
	}
	if b[0] >= typeCount {
		return Message{}, ErrType
	}
	return Message{
		Type: Type(b[0]),
		Port: binary.BigEndian.Uint16(b[1:]),
		IP1:  addr(b[3:]),
		IP2:  addr(b[7:]),
	}, nil
}

// Endpoint returns the UDP address in port and ip1 of a Forward or an Answer.
func (m Message) Endpoint() netip.AddrPort { return netip.AddrPortFrom(m.IP1, m.Port) }

// Local returns the local address that a Hello publishes, and the zero
// AddrPort if it publishes none.
func (m Message) Local() netip.AddrPort {
	if m.Port == 0 || !m.IP2.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(m.IP2, m.Port)
}

func (m Message) String() string {
	return fmt.Sprintf("%v port=%d ip1=%v ip2=%v", m.Type, m.Port, zeroable(m.IP1), zeroable(m.IP2))
}

// zeroable returns a, or 0.0.0.0 for the zero Addr.
func zeroable(a netip.Addr) netip.Addr {
	if !a.IsValid() {
		return netip.IPv4Unspecified()
	}
	return a
}

func appendAddr(b []byte, a netip.Addr) []byte {
	a = a.Unmap()
	if !a.Is4() {
		return append(b, 0, 0, 0, 0)
	}
	a4 := a.As4()
	return append(b, a4[:]...)
}

func addr(b []byte) netip.Addr {
	a := netip.AddrFrom4([4]byte(b[:4]))
	if a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}
