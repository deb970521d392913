package filter

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"campagnol/pki/policy"
)

// A segment is a packet to build.
type segment struct {
	src, dst     string
	proto        uint8
	sport, dport uint16 // of ICMP: type and code, and the identifier
	flags        uint8
	id           uint32 // of a fragment
	offset       int    // in bytes
	more         bool
	data         []byte // after the header of the transport; of a later fragment all
	extensions   []byte // IPv6: what stands between, whose first type is next
	next         uint8
}

// transport returns the header of the transport and what follows.
func (s segment) transport() []byte {
	if s.offset > 0 {
		return s.data
	}
	var b []byte
	switch s.proto {
	case policy.TCP:
		b = make([]byte, 20)
		binary.BigEndian.PutUint16(b, s.sport)
		binary.BigEndian.PutUint16(b[2:], s.dport)
		b[12], b[13] = 5<<4, s.flags
	case policy.UDP:
		b = make([]byte, 8)
		binary.BigEndian.PutUint16(b, s.sport)
		binary.BigEndian.PutUint16(b[2:], s.dport)
	case policy.ICMP, policy.ICMPv6:
		b = make([]byte, 8)
		binary.BigEndian.PutUint16(b, s.sport)
		binary.BigEndian.PutUint16(b[4:], s.dport)
	}
	return append(b, s.data...)
}

// bytes returns the packet.
func (s segment) bytes() []byte {
	src, dst := netip.MustParseAddr(s.src), netip.MustParseAddr(s.dst)
	body := s.transport()
	if src.Is4() {
		b := make([]byte, 20)
		b[0] = 4<<4 | 5
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(body)))
		binary.BigEndian.PutUint16(b[4:], uint16(s.id))
		field := uint16(s.offset / 8)
		if s.more {
			field |= 0x2000
		}
		binary.BigEndian.PutUint16(b[6:], field)
		b[8], b[9] = 64, s.proto
		copy(b[12:], src.AsSlice())
		copy(b[16:], dst.AsSlice())
		return append(b, body...)
	}
	next := s.proto
	if s.more || s.offset > 0 {
		h := make([]byte, 8)
		h[0] = s.proto
		field := uint16(s.offset)
		if s.more {
			field |= 1
		}
		binary.BigEndian.PutUint16(h[2:], field)
		binary.BigEndian.PutUint32(h[4:], s.id)
		body = append(h, body...)
		next = protoFragment
	}
	if s.extensions != nil {
		body = append(append([]byte{}, s.extensions...), body...)
		next = s.next
	}
	b := make([]byte, 40)
	b[0] = 6 << 4
	binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
	b[6], b[7] = next, 64
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
	return append(b, body...)
}

// Types of ICMP, in the place of a segment's sport.
const (
	echoRequest  = 8 << 8
	echoReply    = 0
	unreachable  = 3<<8 | 3
	timeExceeded = 11 << 8
	redirect     = 5 << 8
	echo6Request = 128 << 8
	echo6Reply   = 129 << 8
	tooBig6      = 2 << 8
)

func TestParse(t *testing.T) {
	const a, b, a6, b6 = "10.9.0.1", "10.9.0.2", "fd00::1", "fd00::2"
	tcp := segment{src: a, dst: b, proto: policy.TCP, sport: 1000, dport: 22, flags: flagSYN}
	tcp6 := tcp
	tcp6.src, tcp6.dst = a6, b6
	with := func(s segment, change func(*segment)) []byte { change(&s); return s.bytes() }
	patch := func(s segment, at int, v ...byte) []byte { b := s.bytes(); copy(b[at:], v); return b }
	options := []byte{policy.TCP, 0, 1, 4, 0, 0, 0, 0}
	chain := func(n int) (h []byte) {
		for range n - 1 {
			h = append(h, protoDestination, 0, 1, 4, 0, 0, 0, 0)
		}
		return append(h, options...)
	}
	for _, c := range []struct {
		name   string
		packet []byte
		ok     bool
		dport  uint16
	}{
		{"TCP", tcp.bytes(), true, 22},
		{"TCP over IPv6", tcp6.bytes(), true, 22},
		{"padding", append(tcp.bytes(), 0, 0, 0), true, 22},
		{"IPv4 options", append(append([]byte{0x46, 0, 0, 44, 0, 0, 0, 0, 64, 6, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2}, 1, 1, 1, 0), tcp.transport()...), true, 22},
		{"nothing", nil, false, 0},
		{"version 5", patch(tcp, 0, 0x55), false, 0},
		{"short header", tcp.bytes()[:19], false, 0},
		{"header length 16", patch(tcp, 0, 0x44), false, 0},
		{"header longer than packet", patch(tcp, 0, 0x4f), false, 0},
		{"total longer than packet", patch(tcp, 2, 0, 41), false, 0},
		{"total shorter than header", patch(tcp, 2, 0, 19), false, 0},
		{"TCP cut short", patch(tcp, 2, 0, 39), false, 0},
		{"UDP cut short", segment{src: a, dst: b, proto: 99, data: make([]byte, 7)}.as(policy.UDP), false, 0},
		{"ICMP cut short", segment{src: a, dst: b, proto: 99, data: []byte{8, 0, 0, 0}}.as(policy.ICMP), false, 0},
		{"short ICMP of another type", segment{src: a, dst: b, proto: 99, data: []byte{77, 0, 0, 0}}.as(policy.ICMP), true, 0},
		{"GRE without anything", segment{src: a, dst: b, proto: 47}.bytes(), true, 0},
		{"fragment at 8 bytes", with(tcp, func(s *segment) { s.offset = 8 }), false, 0},
		{"later fragment", with(tcp, func(s *segment) { s.offset = 16 }), true, 0},
		{"first fragment without all of TCP", patch(segment{src: a, dst: b, proto: policy.UDP, more: true}, 9, policy.TCP), false, 0},
		{"IPv6 short", tcp6.bytes()[:39], false, 0},
		{"IPv6 longer than packet", patch(tcp6, 4, 0, 21), false, 0},
		{"IPv6 mapped", with(tcp6, func(s *segment) { s.src = "::ffff:10.9.0.1" }), false, 0},
		{"extension", with(tcp6, func(s *segment) { s.extensions, s.next = options, protoHopByHop }), true, 22},
		{"8 headers", with(tcp6, func(s *segment) { s.extensions, s.next = chain(7), protoDestination }), true, 22},
		{"9 headers", with(tcp6, func(s *segment) { s.extensions, s.next = chain(8), protoDestination }), false, 0},
		{"extension cut short", patch(tcp6, 6, protoDestination, 64, 0), false, 0},
		{"extension longer than packet", with(tcp6, func(s *segment) { s.extensions, s.next = []byte{6, 200, 0, 0, 0, 0, 0, 0}, protoRouting }), false, 0},
		{"routing header 0", with(tcp6, func(s *segment) { s.extensions, s.next = options[:8], protoRouting; s.extensions[2] = 0 }), false, 0},
		{"routing header 4", with(tcp6, func(s *segment) { s.extensions, s.next = []byte{6, 0, 4, 0, 0, 0, 0, 0}, protoRouting }), true, 22},
		{"authentication header", with(tcp6, func(s *segment) {
			s.extensions, s.next = make([]byte, 12), protoAuth
			s.extensions[0], s.extensions[1] = 6, 1
		}), true, 22},
		{"two fragment headers", with(tcp6, func(s *segment) { s.more = true; s.extensions, s.next = []byte{44, 0, 0, 1, 0, 0, 0, 0}, 44 }), false, 0},
		{"first fragment", with(tcp6, func(s *segment) { s.more = true }), true, 22},
		{"nothing follows", with(segment{src: a6, dst: b6, proto: 59}, func(*segment) {}), true, 0},
	} {
		var m meta
		got := m.parse(c.packet, false)
		if got != c.ok || got && m.dport != c.dport {
			t.Errorf("%s: %t, port %d, want %t, port %d", c.name, got, m.dport, c.ok, c.dport)
		}
	}
}

// as returns the bytes of s with the number of another protocol.
func (s segment) as(proto uint8) []byte {
	b := s.bytes()
	b[9] = proto
	return b
}
