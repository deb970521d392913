package segment

import "encoding/binary"

const (
	ipv6Header = 40 // bytes, without extension headers

	// MinIPv6 is what every link of IPv6 carries, in bytes (RFC 8200 section 5).
	// Senders do not heed messages that say less.
	MinIPv6 = 1280

	// maxQuote is how much of a packet an ICMP message about it repeats, so that
	// it does not exceed 576 bytes (RFC 1812 section 4.3.2.3); maxQuote6 is the
	// same for IPv6, where it is the smallest MTU (RFC 4443 section 3.2).
	maxQuote  = 576 - ipv4Header - 8
	maxQuote6 = MinIPv6 - ipv6Header - 8
)

// AppendTooBig appends to b the ICMP message which tells the sender of an IP packet
// that it does not fit the way, and what does, in bytes (RFC 1191 section 4, RFC 4443
// section 3.2). It comes from whom the packet was for. pkt has a whole header, and
// the addresses of one host each.
//
// About some packets nothing is said: errors, fragments behind the first (RFC 1122
// section 3.2.2), and those of IPv6 on a way that carries less than IPv6 needs.
func AppendTooBig(b, pkt []byte, mtu int) []byte {
	switch {
	case pkt[0]>>4 == 4 && len(pkt) >= ipv4Header:
		return appendTooBig4(b, pkt, mtu)
	case pkt[0]>>4 == 6 && len(pkt) >= ipv6Header && mtu >= MinIPv6 && !silent6(pkt):
		return appendTooBig6(b, pkt, mtu)
	}
	return b
}

func appendTooBig4(b, pkt []byte, mtu int) []byte {
	const icmp, unreachable, tooBig = 1, 3, 4
	const internetworkControl = 0xc0 // RFC 1812 section 4.3.2.5
	head := int(pkt[0]&0xf) * 4
	if binary.BigEndian.Uint16(pkt[6:])&offsetMask != 0 || pkt[9] == icmp && isICMPError(pkt[min(head, len(pkt)):]) {
		return b
	}
	quote := pkt[:min(len(pkt), maxQuote)]
	start := len(b)
	b = append(b, 0x45, internetworkControl, 0, 0, 0, 0, 0, 0, 64, icmp, 0, 0)
	b = append(append(b, pkt[16:20]...), pkt[12:16]...)
	b = append(b, unreachable, tooBig, 0, 0, 0, 0, 0, 0)
	b = append(b, quote...)
	m := b[start:]
	binary.BigEndian.PutUint16(m[2:], uint16(len(m)))
	setHeaderSum(m[:ipv4Header])
	body := m[ipv4Header:]
	binary.BigEndian.PutUint16(body[6:], uint16(mtu))
	binary.BigEndian.PutUint16(body[2:], Checksum(body))
	return b
}

// isICMPError reports whether an ICMP message is about another packet.
func isICMPError(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	switch b[0] {
	case 0, 8, 9, 10, 13, 14, 15, 16, 17, 18: // questions and answers
		return false
	}
	return true
}

func appendTooBig6(b, pkt []byte, mtu int) []byte {
	const icmp, tooBig, hops = 58, 2, 64
	quote := pkt[:min(len(pkt), maxQuote6)]
	start := len(b)
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(quote)))
	b = append(b, icmp, hops)
	b = append(append(b, pkt[24:40]...), pkt[8:24]...)
	b = append(b, tooBig, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(mtu))
	b = append(b, quote...)
	m := b[start:]
	body := m[ipv6Header:]
	pseudo := sum(m[8:ipv6Header], uint64(len(body))+icmp) // RFC 8200 section 8.1
	binary.BigEndian.PutUint16(body[2:], ^fold(sum(body, pseudo)))
	return b
}

// silent6 reports whether nothing may be said about an IPv6 packet: an error of
// ICMPv6, a redirect (RFC 4443 section 2.4 e), and what may be one and is not all
// there. A fragment behind the first is none: its sender has to make smaller ones.
func silent6(pkt []byte) bool {
	const hopByHop, routing, fragment, destination, icmp = 0, 43, 44, 60, 58
	const firstQuery, redirect = 128, 137
	const maxExtensions = 5 // each may occur once, destination options twice
	next, rest := pkt[6], pkt[ipv6Header:]
	for range maxExtensions + 1 {
		size := 8
		switch next {
		case icmp:
			return len(rest) == 0 || rest[0] < firstQuery || rest[0] == redirect
		case hopByHop, routing, destination:
			if len(rest) >= size {
				size = (int(rest[1]) + 1) * 8
			}
		case fragment:
			if len(rest) >= size && binary.BigEndian.Uint16(rest[2:])>>3 != 0 {
				return false
			}
		default:
			return false
		}
		if len(rest) < size {
			return true
		}
		next, rest = rest[0], rest[size:]
	}
	return true
}
