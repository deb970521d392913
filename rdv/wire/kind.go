package wire

import "encoding/binary"

// A Kind names the protocol that a datagram on the shared port belongs to
// (the order of RFC 7983).
type Kind uint8

// The protocols on the port.
const (
	KindInvalid    Kind = iota // none of these; dropped
	KindRendezvous             // a message of this package: first byte 0..13, 11 bytes
	KindGate                   // before the authenticated channel: first byte 15, at least 2 bytes
	KindSTUN                   // RFC 8489: first byte 0..3, at least 20 bytes, magic cookie
	KindDTLS                   // RFC 6347, RFC 9146: first byte 20..25, at least 13 bytes
	KindChannel                // relayed data (TURN ChannelData, RFC 8656): first byte 64..79
)

const (
	stunHeader  = 20
	stunCookie  = 0x2112A442
	dtlsHeader  = 13
	channelHead = 4
)

// KindOf tells the protocol of datagram b from its first bytes and its length.
// It allocates nothing.
func KindOf(b []byte) Kind {
	if len(b) == 0 {
		return KindInvalid
	}
	switch first := b[0]; {
	case first < typeCount && len(b) == Size:
		return KindRendezvous
	case first == GateByte && len(b) >= gateHead:
		return KindGate
	case first <= 3 && len(b) >= stunHeader && binary.BigEndian.Uint32(b[4:]) == stunCookie:
		return KindSTUN
	case first >= 20 && first <= 25 && len(b) >= dtlsHeader:
		return KindDTLS
	case first >= 64 && first <= 79 && len(b) >= channelHead:
		return KindChannel
	}
	return KindInvalid
}
