package packet

import "encoding/binary"

// An ECN is the field of that name in the IP header (RFC 3168 section 5).
type ECN uint8

// Its values.
const (
	NotECT ECN = 0 // the transport does not do ECN
	ECT1   ECN = 1 // it does
	ECT0   ECN = 2 // it does
	CE     ECN = 3 // congestion was experienced on the way
)

const ecnMask = 3

// ECNOf returns the field of pkt, an IP packet with a whole header.
func ECNOf(pkt []byte) ECN {
	if pkt[0]>>4 == 6 { // the traffic class lies across two bytes
		return ECN(pkt[1]>>4) & ecnMask
	}
	return ECN(pkt[1]) & ecnMask
}

// SetECN sets the field of pkt, an IP packet with a whole header, and keeps its
// header checksum right (RFC 1624).
func SetECN(pkt []byte, e ECN) {
	if pkt[0]>>4 == 6 {
		pkt[1] = pkt[1]&^(ecnMask<<4) | byte(e&ecnMask)<<4
		return
	}
	old := binary.BigEndian.Uint16(pkt)
	pkt[1] = pkt[1]&^ecnMask | byte(e&ecnMask)
	sum := uint32(^binary.BigEndian.Uint16(pkt[10:])) + uint32(^old) + uint32(binary.BigEndian.Uint16(pkt))
	sum = sum&0xffff + sum>>16
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(pkt[10:], ^uint16(sum))
}

// Decapsulate gives pkt, which has arrived in a datagram with the field outer, the
// field that it is to be delivered with (RFC 6040 section 4.2). It reports false
// if the packet must be dropped: there was congestion, and its transport would not
// understand any other sign of it.
func Decapsulate(outer ECN, pkt []byte) bool {
	if outer == NotECT || outer == ECT0 {
		return true
	}
	switch inner := ECNOf(pkt); {
	case inner == NotECT:
		return outer != CE
	case outer == CE && inner != CE, outer == ECT1 && inner == ECT0:
		SetECN(pkt, outer)
	}
	return true
}
