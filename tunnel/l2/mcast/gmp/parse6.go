package gmp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// hopByHopLen returns the length of a hop-by-hop header, or 0 if b is too short.
func hopByHopLen(b []byte) int {
	if len(b) < 8 {
		return 0
	}
	if n := (int(b[1]) + 1) * 8; n <= len(b) {
		return n
	}
	return 0
}

// parse6 checks the headers of IPv6.
func parse6(pkt []byte) (Message, error) {
	if len(pkt) < headerV6 {
		return Message{}, ErrShort
	}
	n := headerV6 + int(binary.BigEndian.Uint16(pkt[4:]))
	if n > len(pkt) {
		return Message{}, ErrShort
	}
	m := Message{Src: netip.AddrFrom16([16]byte(pkt[8:])), Dst: netip.AddrFrom16([16]byte(pkt[24:]))}
	proto, body, alert := pkt[6], pkt[headerV6:n], false
	if proto == protoHopByHop {
		h := hopByHopLen(body)
		if h == 0 {
			return Message{}, ErrShort
		}
		proto, alert = body[0], routerAlert(body[2:h])
		body = body[h:]
	}
	pseudo := pseudoHeader(pkt[8:headerV6], len(body), proto)
	var err error
	switch proto {
	case protoPIM:
		err = m.hello(body, pseudo)
	case protoICMPv6:
		err = m.mld(body, pseudo, alert)
	default:
		err = ErrOther
	}
	switch {
	case err != nil:
		return m, err
	case pkt[7] != 1: // RFC 3810 section 6.2 and 7.6
		return m, ErrHops
	// Before its address is known to be its own, a host has none to report with
	// (RFC 3590 section 4); all else comes from a link-local one.
	case !m.Src.IsLinkLocalUnicast() && (m.Kind != Report || !m.Src.IsUnspecified()):
		return m, ErrSource
	}
	return m, nil
}

// routerAlert looks for the option of RFC 2711 with the value for MLD.
func routerAlert(options []byte) bool {
	for len(options) > 0 {
		if options[0] == 0 { // Pad1
			options = options[1:]
			continue
		}
		if len(options) < 2 || len(options) < 2+int(options[1]) {
			return false
		}
		if options[0] == 5 && options[1] == 2 && options[2] == 0 && options[3] == 0 {
			return true
		}
		options = options[2+int(options[1]):]
	}
	return false
}

// mld reads a message of MLD, which is one of ICMPv6.
func (m *Message) mld(b []byte, pseudo uint32, alert bool) error {
	if len(b) < 4 {
		return ErrShort
	}
	kind := b[0]
	switch kind {
	case mldQuery, mldV1Report, mldDone:
		if len(b) < 24 {
			return ErrShort
		}
	case mldV2Report, mldAdvertisement:
		if len(b) < 8 {
			return ErrShort
		}
	case mldTermination:
	default:
		return ErrOther
	}
	if checksum(pseudo, b) != 0 {
		return ErrChecksum
	}
	if !alert { // RFC 2710 section 3, RFC 3810 section 5, RFC 4286 section 3
		return ErrRouterAlert
	}
	switch kind {
	case mldQuery:
		return m.mldQuery(b)
	case mldV1Report, mldDone:
		return m.oldReport(1, kind == mldDone, addr(b[8:], 16))
	case mldAdvertisement:
		m.advertised(b)
		return nil
	case mldTermination:
		m.Kind = RouterGone
		return nil
	}
	m.Kind, m.Version = Report, 2
	return m.records(b[8:], int(binary.BigEndian.Uint16(b[6:])), 16)
}

// mldQuery tells the versions apart by their length (RFC 3810 section 8.1).
func (m *Message) mldQuery(b []byte) error {
	m.Kind, m.Version = Query, 1
	code := binary.BigEndian.Uint16(b[4:])
	m.MaxResp = time.Duration(code) * time.Millisecond
	switch {
	case len(b) >= 28:
		m.Version, m.MaxResp = 2, time.Duration(fromFloat16(code))*time.Millisecond
	case len(b) != 24:
		return ErrShort
	}
	if err := m.asked(addr(b[8:], 16)); err != nil {
		return err
	}
	if m.Version == 2 {
		return m.queryTail(b[24:], 16)
	}
	return nil
}

// fromFloat8 is the value of a Max Resp Code or QQIC (RFC 3376 section 4.1.1).
func fromFloat8(code byte) uint32 {
	if code < 128 {
		return uint32(code)
	}
	return (uint32(code&15) | 16) << (code>>4&7 + 3)
}

// toFloat8 is the largest code whose value is at most v.
func toFloat8(v uint32) byte {
	if v < 128 {
		return byte(v)
	}
	for e := range uint32(8) {
		if v>>(e+3) < 32 {
			return byte(128 | e<<4 | v>>(e+3)&15)
		}
	}
	return 255
}

// fromFloat16 is the value of a Maximum Response Code (RFC 3810 section 5.1.3).
func fromFloat16(code uint16) uint32 {
	if code < 32768 {
		return uint32(code)
	}
	return (uint32(code&0xfff) | 0x1000) << (code>>12&7 + 3)
}

// toFloat16 is the largest code whose value is at most v.
func toFloat16(v uint32) uint16 {
	if v < 32768 {
		return uint16(v)
	}
	for e := range uint32(8) {
		if v>>(e+3) < 0x2000 {
			return uint16(0x8000 | e<<12 | v>>(e+3)&0xfff)
		}
	}
	return 0xffff
}

// checksum returns the internet checksum of b (RFC 1071), after a partial sum. Over
// a message with the right checksum it is 0.
func checksum(sum uint32, b []byte) uint16 {
	total := uint64(sum)
	for ; len(b) >= 2; b = b[2:] {
		total += uint64(b[0])<<8 | uint64(b[1])
	}
	if len(b) == 1 {
		total += uint64(b[0]) << 8
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return ^uint16(total)
}

// pseudoHeader sums what RFC 8200 section 8.1 puts before a message. addrs are the
// two addresses.
func pseudoHeader(addrs []byte, n int, proto byte) uint32 {
	sum := uint32(n) + uint32(proto)
	for ; len(addrs) >= 2; addrs = addrs[2:] {
		sum += uint32(addrs[0])<<8 | uint32(addrs[1])
	}
	return sum
}
