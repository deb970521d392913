// Package segment cuts large packets into those that travel, and joins those that
// have arrived to large ones.
//
// The kernel hands over TCP data in packets of up to 64 KiB, and takes them as
// large (TSO and GRO; in the terms of virtio, which TUN uses, generic segmentation
// offload). On the way between two hosts there are only packets that fit the MTU.
// A [Cutter] makes those of a large one, while each is being sealed; a [Joiner]
// makes a large one of those that were opened. Neither copies payload.
//
// Both work on bare IP packets or on whole Ethernet frames, as their [Link] says.
// In a frame, TCP and UDP are found behind the addresses, VLAN tags (802.1Q and
// 802.1ad) if there are any, and the type. All segments of a large frame have the
// same link header, to the bit.
package segment

import (
	"encoding/binary"
	"errors"
)

// A Kind says what a large packet consists of.
type Kind uint8

// The kinds.
const (
	None Kind = iota // not a large packet
	TCP4             // TCP over IPv4
	TCP6             // TCP over IPv6
	UDP              // UDP datagrams of one size, over IPv4 or IPv6
)

// A GSO describes a large packet. Its zero value says that a packet is none.
type GSO struct {
	Kind Kind
	Size int // payload of each segment but the last, in bytes
}

// A Packet is an IP packet, or a large one, or a frame with one in it, or with
// anything else.
type Packet struct {
	Data []byte // all of it, or what comes before Tail

	// Tail are the payloads that a Joiner has joined to the first packet, in
	// Data, whose headers are those of the large one.
	Tail [][]byte
	GSO  GSO // of a large packet; zero: it is none

	// SumStart and SumOffset say where the transport checksum of a large packet
	// has to be completed, if it has a Tail: see Complete. SumStart counts from
	// the beginning of Data, a link header included.
	SumStart, SumOffset int
}

// ErrMalformed says that a large packet does not hold what its GSO says.
var ErrMalformed = errors.New("segment: malformed packet")

// Offsets and lengths in headers (RFC 791, RFC 8200, RFC 9293, RFC 768).
const (
	ipv4Len  = 20
	ipv6Len  = 40
	tcpLen   = 20
	udpLen   = 8
	protoTCP = 6
	protoUDP = 17

	tcpSeq, tcpAck, tcpOffset, tcpFlags, tcpSum = 4, 8, 12, 13, 16
	udpSize, udpSum                             = 4, 6

	flagFIN, flagSYN, flagRST, flagPSH, flagACK, flagURG, flagECE, flagCWR = 1, 2, 4, 8, 16, 32, 64, 128
)

// maxHeader is the length of the longest headers of a large packet: those of the
// link, IPv4 or IPv6 without extensions, and TCP with options.
const maxHeader = maxLink + 60 + 60

// A layout says where things are in an IP packet.
type layout struct {
	v6    bool
	proto uint8
	l4    int // where the transport header begins
	body  int // where the payload begins
}

// parse returns the layout of an unfragmented TCP or UDP packet without IPv6
// extensions, all of which is in b.
func parse(b []byte) (l layout, ok bool) {
	if len(b) < ipv4Len {
		return l, false
	}
	switch b[0] >> 4 {
	case 4:
		l.l4, l.proto = int(b[0]&15)*4, b[9]
		const moreOrOffset = 0x3fff
		if l.l4 < ipv4Len || binary.BigEndian.Uint16(b[6:])&moreOrOffset != 0 || int(binary.BigEndian.Uint16(b[2:])) != len(b) {
			return l, false
		}
	case 6:
		if len(b) < ipv6Len || ipv6Len+int(binary.BigEndian.Uint16(b[4:])) != len(b) {
			return l, false
		}
		l.v6, l.l4, l.proto = true, ipv6Len, b[6]
	default:
		return l, false
	}
	return l, l.setBody(b)
}

// setBody finds the payload.
func (l *layout) setBody(b []byte) bool {
	switch l.proto {
	case protoTCP:
		if len(b) < l.l4+tcpLen {
			return false
		}
		n := int(b[l.l4+tcpOffset]>>4) * 4
		l.body = l.l4 + n
		return n >= tcpLen && len(b) >= l.body
	case protoUDP:
		l.body = l.l4 + udpLen
		return len(b) >= l.body && int(binary.BigEndian.Uint16(b[l.l4+udpSize:])) == len(b)-l.l4
	}
	return false
}

// pseudo returns the sum of a packet's pseudo-header with a transport length of n
// (RFC 9293 section 3.1, RFC 8200 section 8.1).
func (l *layout) pseudo(b []byte, n int) uint64 {
	from, to := 12, 20
	if l.v6 {
		from, to = 8, 40
	}
	return sum(b[from:to], uint64(l.proto)+uint64(n))
}

// sumAt is where the transport checksum is.
func (l *layout) sumAt() int {
	if l.proto == protoTCP {
		return l.l4 + tcpSum
	}
	return l.l4 + udpSum
}

// intact reports whether both checksums of a packet are right. A UDP datagram
// without checksum is not intact, since joining would give it one.
func (l *layout) intact(b []byte) bool {
	if !l.v6 && fold(sum(b[:l.l4], 0)) != 0xffff {
		return false
	}
	if l.proto == protoUDP && binary.BigEndian.Uint16(b[l.sumAt():]) == 0 {
		return false
	}
	return fold(sum(b[l.l4:], l.pseudo(b, len(b)-l.l4))) == 0xffff
}

// setLength writes the length of the whole packet into its IP header and repairs
// that header's checksum.
func (l *layout) setLength(b []byte, n int) {
	if l.v6 {
		binary.BigEndian.PutUint16(b[4:], uint16(n-ipv6Len))
		return
	}
	binary.BigEndian.PutUint16(b[2:], uint16(n))
	binary.BigEndian.PutUint16(b[10:], 0)
	binary.BigEndian.PutUint16(b[10:], ^fold(sum(b[:l.l4], 0)))
}
