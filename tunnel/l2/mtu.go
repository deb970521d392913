package l2

import (
	"encoding/binary"
	"net/netip"

	"campagnol/tunnel/l2/ether"
	"campagnol/tunnel/segment"
)

// FrameLimit returns the length of the largest frame that fits a path, in bytes:
// path is the MTU of the path, and overhead what surrounds a frame on it, from the IP
// header to the end of the record.
func FrameLimit(path, overhead int) int { return max(0, path-overhead) }

// TAPMTU returns the MTU of a TAP device whose frames with so many VLAN tags fit a
// path as a whole. It is 0 if not even the header of a frame does.
func TAPMTU(path, overhead, tags int) int {
	return max(0, FrameLimit(path, overhead)-ether.HeaderLen-tags*ether.TagLen)
}

const (
	tcpLen     = 20 // of a header without options
	tcpFlags   = 13 // offset
	tcpSum     = 16 // offset
	tcpSYN     = 2
	optionEnd  = 0
	optionNop  = 1
	optionMSS  = 2
	mssLen     = 4
	minSegment = 536 // what every IPv4 host takes (RFC 9293 section 3.7.1)
)

// ClampMSS lowers what a packet that opens a TCP connection says about the largest
// segment that its sender takes, so that frames of limit bytes are enough. frame has
// the header f. It reports whether it has changed the frame. A way that has no room
// for 536 bytes is not made up for in this manner.
func ClampMSS(frame []byte, f *ether.Frame, limit int) bool {
	ip, ok := ether.ParseIP(frame, f)
	if !ok || !ip.TCP() {
		return false
	}
	t := frame[ip.Body:ip.End]
	if len(t) < tcpLen || t[tcpFlags]&tcpSYN == 0 {
		return false
	}
	mss := max(minSegment, limit-ip.Body-tcpLen)
	at := findMSS(t)
	if at == 0 || int(binary.BigEndian.Uint16(t[at:])) <= mss {
		return false
	}
	old := binary.BigEndian.Uint16(t[at:])
	binary.BigEndian.PutUint16(t[at:], uint16(mss))
	sum := t[tcpSum:]
	if at%2 == 0 {
		binary.BigEndian.PutUint16(sum, adjusted(binary.BigEndian.Uint16(sum), old, uint16(mss)))
	} else { // it lies across two words
		binary.BigEndian.PutUint16(sum, adjusted(binary.BigEndian.Uint16(sum), swap(old), swap(uint16(mss))))
	}
	return true
}

// findMSS returns the offset of the value in the option of a TCP header, or 0.
func findMSS(t []byte) int {
	end := int(t[12]>>4) * 4
	if end < tcpLen || end > len(t) {
		return 0
	}
	for i := tcpLen; i < end; {
		switch {
		case t[i] == optionEnd:
			return 0
		case t[i] == optionNop:
			i++
			continue
		case i+2 > end || t[i+1] < 2 || i+int(t[i+1]) > end:
			return 0
		case t[i] == optionMSS:
			if t[i+1] != mssLen {
				return 0
			}
			return i + 2
		}
		i += int(t[i+1])
	}
	return 0
}

// adjusted returns the checksum after a word has changed (RFC 1624).
func adjusted(sum, from, to uint16) uint16 {
	acc := uint32(^sum) + uint32(^from) + uint32(to)
	acc = acc&0xffff + acc>>16
	acc = acc&0xffff + acc>>16
	return ^uint16(acc)
}

func swap(w uint16) uint16 { return w<<8 | w>>8 }

// AppendTooBig appends to b the frame that tells the sender of an IP packet that it
// does not fit, and what does: frames of limit bytes. It comes from whom the packet
// was for, as a switch has no address. frame has the header f. It appends nothing
// about packets that may be fragmented, or about which nothing may be said.
func AppendTooBig(b, frame []byte, f *ether.Frame, limit int) []byte {
	ip, ok := ether.ParseIP(frame, f)
	mtu := limit - f.Net
	if !ok || f.Dst.IsGroup() || !oneHost(ip.Src) || !oneHost(ip.Dst) || mtu <= 0 {
		return b
	}
	start := len(b)
	b = f.AppendReply(b, frame, f.Src, f.Dst, f.Type)
	head := len(b)
	pkt := frame[f.Net:ip.End]
	if !segment.MayFragment(pkt) {
		b = segment.AppendTooBig(b, pkt, min(mtu, 0xffff))
	}
	if len(b) == head {
		return b[:start]
	}
	return b
}

// oneHost reports whether an address may be at either end of a message about a
// packet (RFC 1122 section 3.2.2, RFC 4443 section 2.4 e).
func oneHost(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && a != limitedBroadcast
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
