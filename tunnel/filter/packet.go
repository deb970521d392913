package filter

import (
	"encoding/binary"

	"campagnol/pki/policy"
)

// A meta is what decisions about a packet need of it.
type meta struct {
	src, dst     [16]byte // IPv4 ones in the form ::ffff:a.b.c.d
	proto        uint8
	sport, dport uint16 // for ICMP: identifier of a query, else type and code
	tcp          uint8  // flags
	role         role

	fragID   uint32
	fragment fragment
	quoted   []byte // of an ICMP error: the packet that it quotes
}

// A role is what a packet is to its flow.
type role uint8

const (
	plain  role = iota
	query       // ICMP: asks
	answer      // ICMP: answers a query
	report      // ICMP: an error about another packet
)

// A fragment says which part of a datagram it is.
type fragment uint8

const (
	whole fragment = iota
	firstFragment
	laterFragment
)

// Bits of TCP flags.
const (
	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// Protocols and IPv6 extension headers (IANA's registries of both).
const (
	protoHopByHop    = 0
	protoRouting     = 43
	protoFragment    = 44
	protoAuth        = 51
	protoDestination = 60
	protoMobility    = 135
	protoHIP         = 139
	protoShim6       = 140
)

const (
	ip4Header = 20
	ip6Header = 40

	// maxExtensions bounds the extension headers of a packet. Each may occur
	// once, destination options twice (RFC 8200 section 4.1).
	maxExtensions = 8
)

// parse reads the packet b into m. It reports false for what is no packet, or
// one that is made to be misread. If cut, b may end anywhere behind the ports,
// as a quoted packet does.
func (m *meta) parse(b []byte, cut bool) bool {
	*m = meta{}
	if len(b) == 0 {
		return false
	}
	switch b[0] >> 4 {
	case 4:
		return m.parse4(b, cut)
	case 6:
		return m.parse6(b, cut)
	}
	return false
}

// parse4 follows RFC 791 section 3.1.
func (m *meta) parse4(b []byte, cut bool) bool {
	if len(b) < ip4Header {
		return false
	}
	head, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if head < ip4Header || total < head || head > len(b) || total > len(b) && !cut {
		return false
	}
	m.src, m.dst = mapped(b[12:16]), mapped(b[16:20])
	m.proto = b[9]
	field := binary.BigEndian.Uint16(b[6:])
	offset, more := int(field&0x1fff), field&0x2000 != 0
	if !m.setFragment(offset, more) {
		return false
	}
	m.fragID = uint32(binary.BigEndian.Uint16(b[4:]))
	return m.payload(b[head:min(total, len(b))], cut)
}

// mapped returns the IPv4 address in b in the form ::ffff:a.b.c.d.
func mapped(b []byte) (a [16]byte) {
	a[10], a[11] = 0xff, 0xff
	copy(a[12:], b)
	return a
}

// isMapped reports whether a has the form ::ffff:a.b.c.d.
func isMapped(a *[16]byte) bool {
	return binary.BigEndian.Uint64(a[:]) == 0 && binary.BigEndian.Uint32(a[8:]) == 0xffff
}

// parse6 follows RFC 8200 section 3.
func (m *meta) parse6(b []byte, cut bool) bool {
	if len(b) < ip6Header {
		return false
	}
	total := ip6Header + int(binary.BigEndian.Uint16(b[4:]))
	if total > len(b) && !cut {
		return false
	}
	m.src, m.dst = [16]byte(b[8:24]), [16]byte(b[24:40])
	if isMapped(&m.src) || isMapped(&m.dst) {
		return false // no such packet exists (RFC 6890), and it would pass for one of IPv4
	}
	rest, ok := m.extensions(b[6], b[ip6Header:min(total, len(b))])
	return ok && m.payload(rest, cut)
}

// extensions walks the extension headers of IPv6, the first of which is of the
// type next, and returns what follows them (RFC 8200 section 4).
func (m *meta) extensions(next uint8, b []byte) ([]byte, bool) {
	for range maxExtensions {
		size := 8
		switch next {
		case protoHopByHop, protoRouting, protoDestination, protoMobility, protoHIP, protoShim6:
			if len(b) < 8 {
				return nil, false
			}
			if next == protoRouting && b[2] == 0 {
				return nil, false // type 0 is abolished (RFC 5095)
			}
			size = (int(b[1]) + 1) * 8
		case protoAuth:
			if len(b) < 8 {
				return nil, false
			}
			size = (int(b[1]) + 2) * 4 // RFC 4302 section 2.2
		case protoFragment:
			if len(b) < 8 || m.fragment != whole {
				return nil, false
			}
			field := binary.BigEndian.Uint16(b[2:])
			m.fragID = binary.BigEndian.Uint32(b[4:])
			m.proto = b[0]
			if !m.setFragment(int(field>>3), field&1 != 0) {
				return nil, false
			}
			if m.fragment == laterFragment {
				return b[8:], true // headers that follow are in the first one
			}
		default:
			m.proto = next
			return b, true
		}
		if len(b) < size {
			return nil, false
		}
		next, b = b[0], b[size:]
	}
	return nil, false
}

// setFragment notes where in its datagram the packet is, offset in units of 8
// bytes. A fragment that begins 8 bytes into the datagram is refused: it would
// write over the flags of TCP, and no path is so narrow (RFC 3128).
func (m *meta) setFragment(offset int, more bool) bool {
	switch {
	case offset > 0:
		m.fragment = laterFragment
	case more:
		m.fragment = firstFragment
	}
	return offset != 1
}

// payload reads the start of what an IP packet carries. A first fragment too
// short for it is refused: the rest of the ports would come with the next one
// (RFC 1858).
func (m *meta) payload(b []byte, cut bool) bool {
	if m.fragment == laterFragment {
		return true
	}
	switch m.proto {
	case policy.TCP:
		if len(b) < 20 && !(cut && len(b) >= 8) {
			return false
		}
		if len(b) > 13 {
			m.tcp = b[13]
		}
	case policy.UDP:
		if len(b) < 8 {
			return false
		}
	case policy.ICMP, policy.ICMPv6:
		if len(b) < 8 && !(len(b) >= 4 && !isQuery(m.proto, b[0]) && !isReport(m.proto, b[0])) {
			return false
		}
		m.icmp(b)
		return true
	default:
		return true
	}
	m.sport, m.dport = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	return true
}

// isQuery reports whether an ICMP message asks or answers, and has an identifier.
func isQuery(proto, typ uint8) bool {
	if proto == policy.ICMPv6 {
		return typ == 128 || typ == 129
	}
	return typ == 0 || typ == 8 || typ == 13 || typ == 14
}

// isReport reports whether an ICMP message quotes a packet that went wrong. A
// redirect (type 5) also quotes one, but changes where packets go: for it
// someone has to ask the rules.
func isReport(proto, typ uint8) bool {
	if proto == policy.ICMPv6 {
		return typ < 128 // RFC 4443 section 2.1
	}
	return typ == 3 || typ == 11 || typ == 12
}

// icmp reads a message of ICMP, of 8 bytes at least if it is a query or a
// report (RFC 792, RFC 4443).
func (m *meta) icmp(b []byte) {
	typ := b[0]
	switch {
	case isReport(m.proto, typ):
		m.role = report
		m.quoted = b[8:]
		m.sport = uint16(typ)<<8 | uint16(b[1])
	case isQuery(m.proto, typ):
		m.role = answer
		if typ == 8 || typ == 13 || typ == 128 {
			m.role = query
		}
		m.sport = binary.BigEndian.Uint16(b[4:])
	default:
		m.sport = uint16(typ)<<8 | uint16(b[1])
	}
}
