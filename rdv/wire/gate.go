package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Gate messages stand before the authenticated channel between a client and the
// rendezvous server. A client that wants a DTLS handshake first shows that it
// receives what is sent to its address: until then the server keeps nothing about
// it and computes next to nothing.
//
//	offset  size  field
//	0       1     GateByte
//	1       1     type
//	2       -     depends on the type
//
//	type     from    what follows
//	Knock    client  version (1 byte), zeros up to KnockSize bytes in all
//	Cookie   server  version (1 byte), 0 (1 byte), a cookie (16 bytes)
//	Admit    client  the cookie (16 bytes), one DTLS datagram
//	Wait     server  the cookie (16 bytes), milliseconds (2 bytes)
//	Closed   server  nothing: there is no authenticated channel here
//	Apply    client  the cookie (16 bytes), an id (4 bytes), a request to the VPN's authority
//	Reply    server  the id (4 bytes), the authority's answer; none if it cannot be reached
//
// Apply and Reply are for hosts that have no certificate yet: the server passes
// on what they say to the authority, and understands nothing of it. Wait and Closed
// are answers to an Apply, too.
//
// A Knock is longer than any answer to it, so that forged ones amplify nothing.
// Bytes after those listed are ignored, but those of an Admit.
//
// An original server answers a Knock with RECONNECT if the client is not
// registered, and not at all if it is.
type Gate uint8

// The types of gate messages.
const (
	Knock  Gate = 1
	Cookie Gate = 2
	Admit  Gate = 3
	Wait   Gate = 4
	Closed Gate = 5
	Apply  Gate = 6
	Reply  Gate = 7
)

var gateNames = [...]string{Knock: "KNOCK", Cookie: "COOKIE", Admit: "ADMIT", Wait: "WAIT", Closed: "CLOSED", Apply: "APPLY", Reply: "REPLY"}

// String returns the name of a type.
func (t Gate) String() string {
	if int(t) < len(gateNames) && gateNames[t] != "" {
		return gateNames[t]
	}
	return fmt.Sprintf("gate message %d", uint8(t))
}

const (
	// GateByte is the first byte of a gate message. RFC 7983 leaves it free.
	GateByte = 15

	// GateVersion is the version that this package speaks.
	GateVersion = 1

	// KnockSize is the length of a Knock, in bytes.
	KnockSize = 64

	// CookieSize is the length of a cookie, in bytes.
	CookieSize = 16

	// AdmitHead is what an Admit is longer than the DTLS datagram in it, in bytes.
	AdmitHead = gateHead + CookieSize

	// MaxApply is the length of the longest request to the authority, and of the
	// longest answer, in bytes.
	MaxApply = 1024

	gateHead = 2
	idSize   = 4
)

// ErrGate is returned for what is no gate message.
var ErrGate = errors.New("wire: malformed gate message")

// A GateMessage is a gate message. Which fields mean something depends on Type.
type GateMessage struct {
	Type    Gate
	Version uint8            // of Knock and Cookie
	Cookie  [CookieSize]byte // of Cookie, Admit, Wait and Apply
	Millis  uint16           // of Wait: how long not to knock, in milliseconds
	ID      uint32           // of Apply and Reply
	Data    []byte           // of Admit, Apply and Reply; it aliases what was parsed
}

// Append appends the wire form of m to b.
func (m GateMessage) Append(b []byte) []byte {
	b = append(b, GateByte, byte(m.Type))
	switch m.Type {
	case Knock:
		b = append(b, m.Version)
		b = append(b, make([]byte, KnockSize-gateHead-1)...)
	case Cookie:
		b = append(b, m.Version, 0)
		b = append(b, m.Cookie[:]...)
	case Admit:
		b = append(b, m.Cookie[:]...)
		b = append(b, m.Data...)
	case Wait:
		b = append(b, m.Cookie[:]...)
		b = append(b, byte(m.Millis>>8), byte(m.Millis))
	case Apply:
		b = append(b, m.Cookie[:]...)
		b = binary.BigEndian.AppendUint32(b, m.ID)
		b = append(b, m.Data...)
	case Reply:
		b = binary.BigEndian.AppendUint32(b, m.ID)
		b = append(b, m.Data...)
	}
	return b
}

// ParseGate reads a gate message. It allocates nothing.
func ParseGate(b []byte) (GateMessage, error) {
	if len(b) < gateHead || b[0] != GateByte {
		return GateMessage{}, ErrGate
	}
	m := GateMessage{Type: Gate(b[1])}
	b = b[gateHead:]
	switch m.Type {
	case Knock:
		if len(b) < KnockSize-gateHead {
			return GateMessage{}, ErrGate
		}
		m.Version = b[0]
	case Cookie:
		if len(b) < 2+CookieSize {
			return GateMessage{}, ErrGate
		}
		m.Version, m.Cookie = b[0], [CookieSize]byte(b[2:])
	case Admit:
		if len(b) <= CookieSize {
			return GateMessage{}, ErrGate
		}
		m.Cookie, m.Data = [CookieSize]byte(b), b[CookieSize:]
	case Wait:
		if len(b) < CookieSize+2 {
			return GateMessage{}, ErrGate
		}
		m.Cookie = [CookieSize]byte(b)
		m.Millis = uint16(b[CookieSize])<<8 | uint16(b[CookieSize+1])
	case Closed:
	case Apply:
		if len(b) <= CookieSize+idSize || len(b) > CookieSize+idSize+MaxApply {
			return GateMessage{}, ErrGate
		}
		m.Cookie, m.ID, m.Data = [CookieSize]byte(b), binary.BigEndian.Uint32(b[CookieSize:]), b[CookieSize+idSize:]
	case Reply:
		if len(b) < idSize || len(b) > idSize+MaxApply {
			return GateMessage{}, ErrGate
		}
		m.ID, m.Data = binary.BigEndian.Uint32(b), b[idSize:]
	default:
		return GateMessage{}, ErrGate
	}
	return m, nil
}
