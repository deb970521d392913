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
