package simnet

import (
	"fmt"

	"campagnol/rdv/wire"
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
	KindGate    Kind = 17 // before the authenticated channel

	KindChangeCipherSpec Kind = 20
	KindAlert            Kind = 21
	KindHandshake        Kind = 22
	KindData             Kind = 23
	KindHeartbeat        Kind = 24
	KindConnectionID     Kind = 25 // a record whose type is encrypted

	kinds = 26
)

var kindNames = [kinds]string{
	KindSTUN:             "stun",
	KindChannel:          "channel",
	KindOther:            "other",
	KindGate:             "gate",
	KindChangeCipherSpec: "dtls-ccs",
	KindAlert:            "dtls-alert",
	KindHandshake:        "dtls-handshake",
	KindData:             "dtls-data",
	KindHeartbeat:        "dtls-heartbeat",
	KindConnectionID:     "dtls-cid",
}

// KindOf returns the kind of a datagram.
func KindOf(b []byte) Kind {
	switch wire.KindOf(b) {
	case wire.KindRendezvous, wire.KindDTLS:
		return Kind(b[0])
	case wire.KindSTUN:
		return KindSTUN
	case wire.KindChannel:
		return KindChannel
	case wire.KindGate:
		return KindGate
	}
	return KindOther
}

// String returns the name that a dump shows.
func (k Kind) String() string {
	switch {
	case k < KindSTUN:
		return wire.Type(k).String()
	case k < kinds && kindNames[k] != "":
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}
