package frame

import (
	"encoding/binary"
	"net/netip"
)

// A Header is what is before the content of a frame.
type Header struct {
	Src  MAC
	Dst  MAC // zero is the address of the group in DstIP
	Tags []Tag

	SrcIP netip.Addr
	DstIP netip.Addr // zero is where a message about membership goes by itself
	TTL   uint8      // zero is 1
}

// Numbers of protocols.
const (
	EtherTypeIPv4 = 0x0800
	EtherTypeARP  = 0x0806
	EtherTypeIPv6 = 0x86dd

	ProtocolHopByHop = 0
	ProtocolIGMP     = 2
	ProtocolUDP      = 17
	ProtocolICMPv6   = 58
)

// ethernet returns the part of the frame before the network header.
func (h Header) ethernet(etherType uint16) []byte {
	dst := h.Dst
	if dst == (MAC{}) {
		dst = GroupMAC(h.DstIP)
	}
	b := append(dst[:], h.Src[:]...)
	for _, t := range h.Tags {
		b = t.append(b)
	}
	return binary.BigEndian.AppendUint16(b, etherType)
}

// ttl returns the TTL, or hop limit.
func (h Header) ttl() uint8 { return max(h.TTL, 1) }

// Raw returns a frame with any content.
func Raw(h Header, etherType uint16, content []byte) []byte {
	return append(h.ethernet(etherType), content...)
}

// UDP returns a frame with a datagram. The family is that of the addresses.
func UDP(h Header, srcPort, dstPort uint16, payload []byte) []byte {
	d := binary.BigEndian.AppendUint16(nil, srcPort)
	d = binary.BigEndian.AppendUint16(d, dstPort)
	d = binary.BigEndian.AppendUint16(d, uint16(8+len(payload)))
	d = append(append(d, 0, 0), payload...)
	sum := checksum(pseudoHeader(h.SrcIP, h.DstIP, ProtocolUDP, len(d)), d)
	if sum == 0 {
		sum = 0xffff // zero means no checksum (RFC 768)
	}
	binary.BigEndian.PutUint16(d[6:], sum)
	return h.ip(ProtocolUDP, nil, d)
}

// Membership returns a frame with a message about membership, with the Router
// Alert option that it has to have (RFC 2236 section 2, RFC 3810 section 5).
func Membership(h Header, m Message) []byte {
	if !h.DstIP.IsValid() {
		h.DstIP = m.destination()
	}
	b := m.append(nil)
	if m.is6() {
		binary.BigEndian.PutUint16(b[2:], checksum(pseudoHeader(h.SrcIP, h.DstIP, ProtocolICMPv6, len(b)), b))
		// Hop-by-hop options: Router Alert for MLD (RFC 2711), and padding.
		return h.ip(ProtocolHopByHop, []byte{ProtocolICMPv6, 0, 5, 2, 0, 0, 1, 0}, b)
	}
	binary.BigEndian.PutUint16(b[2:], checksum(0, b))
	return h.ip(ProtocolIGMP, []byte{0x94, 4, 0, 0}, b) // Router Alert (RFC 2113)
}

// ip returns the frame of a packet. options is what follows the fixed header:
// options in IPv4, an extension header in IPv6.
func (h Header) ip(protocol uint8, options, payload []byte) []byte {
	if h.DstIP.Is6() {
		b := h.ethernet(EtherTypeIPv6)
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(len(options)+len(payload)))
		b = append(b, protocol, h.ttl())
		b = appendAddrs(b, []netip.Addr{h.SrcIP, h.DstIP})
		return append(append(b, options...), payload...)
	}
	b := h.ethernet(EtherTypeIPv4)
	at := len(b)
	b = append(b, 0x45+byte(len(options)/4), 0xc0) // the precedence of control traffic
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(options)+len(payload)))
	b = append(b, 0, 0, 0x40, 0, h.ttl(), protocol, 0, 0)
	b = appendAddrs(b, []netip.Addr{h.SrcIP, h.DstIP})
	b = append(b, options...)
	binary.BigEndian.PutUint16(b[at+10:], checksum(0, b[at:]))
	return append(b, payload...)
}

// pseudoHeader returns the sum of what UDP and ICMPv6 count besides their own
// bytes (RFC 768, RFC 8200 section 8.1).
func pseudoHeader(src, dst netip.Addr, protocol uint8, n int) uint32 {
	return sum(uint32(protocol)+uint32(n), appendAddrs(nil, []netip.Addr{src, dst}))
}

// sum adds the 16-bit numbers of b to s. What it adds does not overflow with
// the largest packet.
func sum(s uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

// checksum returns the Internet checksum (RFC 1071) of b, on top of s.
func checksum(s uint32, b []byte) uint16 {
	s = sum(s, b)
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}
