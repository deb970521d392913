package segment

import "encoding/binary"

const (
	ipv4Header   = 20 // bytes, without options
	moreFollow   = 0x2000
	offsetMask   = 0x1fff
	dontFragment = 0x40 // in byte 6
)

// MayFragment reports whether an IP packet with a whole header may be cut on its
// way (RFC 791 section 3.1; IPv6 packets never may).
func MayFragment(pkt []byte) bool { return pkt[0]>>4 == 4 && pkt[6]&dontFragment == 0 }

// Fragment cuts an IPv4 packet into pieces of at most size bytes and calls emit
// with each, in order (RFC 791 section 3.2). emit must not keep them. It reports
// false if size has no room for a header and eight bytes.
func Fragment(pkt []byte, size int, emit func(piece []byte)) bool {
	head := pkt[:int(pkt[0]&0xf)*4]
	later := laterHeader(head)
	if size < len(head)+8 {
		return false
	}
	flags := binary.BigEndian.Uint16(pkt[6:])
	offset, more := flags&offsetMask, flags&moreFollow
	buf := make([]byte, 0, size)
	for body := pkt[len(head):]; len(body) > 0; head = later {
		n, follow := len(body), more
		if n > size-len(head) {
			n, follow = (size-len(head))&^7, moreFollow
		}
		buf = append(append(buf[:0], head...), body[:n]...)
		binary.BigEndian.PutUint16(buf[2:], uint16(len(buf)))
		binary.BigEndian.PutUint16(buf[6:], offset|follow)
		setHeaderSum(buf[:len(head)])
		emit(buf)
		body, offset = body[n:], offset+uint16(n/8)
	}
	return true
}

// laterHeader returns the header of the fragments behind the first: of the
// options, those that are to be copied.
func laterHeader(head []byte) []byte {
	const endOfOptions, noOperation, copied = 0, 1, 0x80
	h := append([]byte(nil), head[:ipv4Header]...)
	for o := head[ipv4Header:]; len(o) > 0; {
		switch {
		case o[0] == endOfOptions:
			o = nil
		case o[0] == noOperation:
			o = o[1:]
		case len(o) < 2 || int(o[1]) < 2 || int(o[1]) > len(o):
			o = nil // malformed: the receiver decides
		default:
			if o[0]&copied != 0 {
				h = append(h, o[:o[1]]...)
			}
			o = o[o[1]:]
		}
	}
	for len(h)%4 != 0 {
		h = append(h, endOfOptions)
	}
	h[0] = h[0]&0xf0 | byte(len(h)/4)
	return h
}

func setHeaderSum(head []byte) {
	binary.BigEndian.PutUint16(head[10:], 0)
	binary.BigEndian.PutUint16(head[10:], Checksum(head))
}

// maxQuote is how much of a packet an ICMP message about it repeats, so that it
// does not exceed 576 bytes (RFC 1812 section 4.3.2.3).
const maxQuote = 576 - ipv4Header - 8

// AppendTooBig appends to b the ICMP message which tells the sender of an IPv4
// packet that it does not fit the way, and what does, in bytes (RFC 1191 section
// 4). It comes from whom the packet was for. About some packets nothing is said:
// errors, and fragments behind the first (RFC 1122 section 3.2.2).
func AppendTooBig(b, pkt []byte, mtu int) []byte {
	const icmp, unreachable, tooBig = 1, 3, 4
	const internetworkControl = 0xc0 // RFC 1812 section 4.3.2.5
	head := int(pkt[0]&0xf) * 4
	if pkt[0]>>4 != 4 || binary.BigEndian.Uint16(pkt[6:])&offsetMask != 0 || pkt[9] == icmp && isICMPError(pkt[head:]) {
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
