package simnet

import (
	"encoding/binary"
	"fmt"
)

// A Kind is as much of a datagram's content as a trace may depend on: the type
// of a rendezvous message, the content type of the first DTLS record, or the
// name of another protocol of the port. Rendezvous types and DTLS content types
// have the numbers that they have on the wire.
type Kind uint8

// The kinds that are not rendezvous messages (0 to 13).
const (
	KindSTUN    Kind = 14
	KindChannel Kind = 15 // relayed data
	KindOther   Kind = 16

	KindChangeCipherSpec Kind = 20
	KindAlert            Kind = 21
	KindHandshake        Kind = 22
	KindData             Kind = 23
	KindHeartbeat        Kind = 24
	KindConnectionID     Kind = 25 // a record whose type is encrypted

	kinds = 26
)

const (
	rendezvousSize  = 11
	rendezvousTypes = 14
	dtlsHeader      = 13
	stunHeader      = 20
	stunCookie      = 0x2112A442
	channelHeader   = 4
)

var kindNames = [kinds]string{
	"HELLO", "PING", "ASK_CONNECTION", "PONG", "OK", "NOK", "FWD_CONNECTION",
	"ANS_CONNECTION", "REJ_CONNECTION", "PUNCH", "PUNCH_KEEP_ALIVE", "BYE",
	"RECONNECT", "CLOSE_CONNECTION",
	KindSTUN:             "stun",
	KindChannel:          "channel",
	KindOther:            "other",
	KindChangeCipherSpec: "dtls-ccs",
	KindAlert:            "dtls-alert",
	KindHandshake:        "dtls-handshake",
	KindData:             "dtls-data",
	KindHeartbeat:        "dtls-heartbeat",
	KindConnectionID:     "dtls-cid",
}

// KindOf returns the kind of a datagram.
func KindOf(b []byte) Kind {
	if len(b) == 0 {
		return KindOther
	}
	switch first := b[0]; {
	case first < rendezvousTypes && len(b) == rendezvousSize:
		return Kind(first)
	case first <= 3 && len(b) >= stunHeader && binary.BigEndian.Uint32(b[4:]) == stunCookie:
		return KindSTUN
	case first >= 20 && first <= 25 && len(b) >= dtlsHeader:
		return Kind(first)
	case first >= 64 && first <= 79 && len(b) >= channelHeader:
		return KindChannel
	}
	return KindOther
}

// String returns the name that a dump shows.
func (k Kind) String() string {
	if k < kinds && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}
