package gmp

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

// Append appends m as an IP packet, with everything that RFC 3376 section 4 and RFC
// 3810 section 5 ask of senders. m.Dst may be invalid: it goes where its kind and
// version go, see [Message.To]. Only queries and reports can be sent; a report of
// an older version has one record.
func (m *Message) Append(b []byte) []byte {
	dst := m.Dst
	if !dst.IsValid() {
		dst = m.To()
	}
	start := len(b)
	if !m.Src.Is4() {
		b = append(b, 0x60, 0, 0, 0, 0, 0, protoHopByHop, 1)
		b = append(append(b, m.Src.AsSlice()...), dst.AsSlice()...)
		b = append(b, protoICMPv6, 0, 5, 2, 0, 0, 1, 0) // router alert, PadN
		body := len(b)
		b = m.appendMLD(b)
		binary.BigEndian.PutUint16(b[start+4:], uint16(len(b)-start-headerV6))
		pseudo := pseudoHeader(b[start+8:start+headerV6], len(b)-body, protoICMPv6)
		binary.BigEndian.PutUint16(b[body+2:], checksum(pseudo, b[body:]))
		return b
	}
	// TOS is that of Internetwork Control.
	b = append(b, 0x46, 0xc0, 0, 0, 0, 0, 0, 0, 1, protoIGMP, 0, 0)
	b = append(append(b, m.Src.AsSlice()...), dst.AsSlice()...)
	b = append(b, 0x94, 4, 0, 0) // router alert
	body := len(b)
	b = m.appendIGMP(b)
	binary.BigEndian.PutUint16(b[body+2:], checksum(0, b[body:]))
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	binary.BigEndian.PutUint16(b[start+10:], checksum(0, b[start:body]))
	return b
}

// To returns where a message of this kind and version goes.
func (m *Message) To() netip.Addr {
	v4 := m.Src.Is4()
	pick := func(a, b netip.Addr) netip.Addr {
		if v4 {
			return a
		}
		return b
	}
	switch {
	case m.Kind == Query && m.Group.IsValid():
		return m.Group
	case m.Kind == Query:
		return pick(AllHosts, AllNodes6)
	case m.Newest():
		return pick(AllIGMPv3, AllMLDv2)
	case m.leaves():
		return pick(AllRouters, AllRouters6)
	case len(m.Records) > 0:
		return m.Records[0].Group
	}
	return pick(unspecified4, unspecified6)
}

// leaves reports whether an older report is a leave.
func (m *Message) leaves() bool { return len(m.Records) > 0 && m.Records[0].Type == ToIn }

// first returns the group of the only record of an older report.
func (m *Message) first() []byte {
	if len(m.Records) > 0 {
		return m.Records[0].Group.AsSlice()
	}
	return m.unspecified()
}

func (m *Message) unspecified() []byte {
	if m.Src.Is4() {
		return unspecified4.AsSlice()
	}
	return unspecified6.AsSlice()
}

func (m *Message) appendIGMP(b []byte) []byte {
	tenths := uint32(m.MaxResp / (100 * time.Millisecond))
	switch {
	case m.Kind == Query && m.Version == 1:
		return m.appendGroup(append(b, igmpQuery, 0, 0, 0))
	case m.Kind == Query && m.Version == 2:
		return m.appendGroup(append(b, igmpQuery, byte(min(tenths, 255)), 0, 0))
	case m.Kind == Query:
		return m.appendTail(m.appendGroup(append(b, igmpQuery, toFloat8(tenths), 0, 0)))
	case m.Newest():
		return m.appendRecords(append(b, igmpV3Report, 0, 0, 0))
	case m.leaves():
		b = append(b, igmpLeave, 0, 0, 0)
	case m.Version == 1:
		b = append(b, igmpV1Report, 0, 0, 0)
	default:
		b = append(b, igmpV2Report, 0, 0, 0)
	}
	return append(b, m.first()...)
}

func (m *Message) appendMLD(b []byte) []byte {
	ms := uint32(m.MaxResp / time.Millisecond)
	switch {
	case m.Kind == Query:
		code := uint16(min(ms, 0xffff))
		if m.Newest() {
			code = toFloat16(ms)
		}
		b = binary.BigEndian.AppendUint16(append(b, mldQuery, 0, 0, 0), code)
		if b = m.appendGroup(append(b, 0, 0)); m.Newest() {
			b = m.appendTail(b)
		}
		return b
	case m.Newest():
		return m.appendRecords(append(b, mldV2Report, 0, 0, 0))
	case m.leaves():
		b = append(b, mldDone, 0, 0, 0, 0, 0, 0, 0)
	default:
		b = append(b, mldV1Report, 0, 0, 0, 0, 0, 0, 0)
	}
	return append(b, m.first()...)
}

// appendGroup appends the group of a query, unspecified in a general one.
func (m *Message) appendGroup(b []byte) []byte {
	if m.Group.IsValid() {
		return append(b, m.Group.AsSlice()...)
	}
	return append(b, m.unspecified()...)
}

func (m *Message) appendTail(b []byte) []byte {
	flags := m.Robustness & 7
	if m.Robustness > 7 { // RFC 3376 section 4.1.6
		flags = 0
	}
	if m.Suppress {
		flags |= 8
	}
	b = append(b, flags, toFloat8(uint32(m.Interval/time.Second)))
	return appendAddrs(binary.BigEndian.AppendUint16(b, uint16(len(m.Sources))), m.Sources)
}

func (m *Message) appendRecords(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(append(b, 0, 0), uint16(len(m.Records)))
	for _, r := range m.Records {
		b = append(b, byte(r.Type), 0)
		b = binary.BigEndian.AppendUint16(b, uint16(len(r.Sources)))
		b = appendAddrs(append(b, r.Group.AsSlice()...), r.Sources)
	}
	return b
}

func appendAddrs(b []byte, list []netip.Addr) []byte {
	for _, a := range list {
		b = append(b, a.AsSlice()...)
	}
	return b
}

// MaxPacket is the length of the longest packet of [Split], in bytes: it fits the
// smallest link that IPv6 allows.
const MaxPacket = 1280

// Split distributes the records of a report of the newest version over as many
// messages as they need (RFC 3376 section 4.2.16, RFC 3810 section 5.2.15). The
// sources of one record are cut too: those of modes that exclude only once, as what
// is left out of the list is wanted.
func Split(m Message) []Message {
	room, size := MaxPacket-headerV4-4-8, 4
	if !m.Src.Is4() {
		room, size = MaxPacket-headerV6-8-8, 16
	}
	var out []Message
	var now []Record
	used := 0
	flush := func() {
		if len(now) > 0 {
			part := m
			part.Records = now
			out = append(out, part)
		}
		now, used = nil, 0
	}
	most := (room - 4 - size) / size // sources in one record
	for _, r := range m.Records {
		for {
			n := min(len(r.Sources), most)
			if need := 4 + size + n*size; used+need > room {
				flush()
			}
			part := Record{Type: r.Type, Group: r.Group, Sources: slices.Clone(r.Sources[:n])}
			now, used = append(now, part), used+4+size+n*size
			r.Sources = r.Sources[n:]
			if len(r.Sources) == 0 || r.Type == IsEx || r.Type == ToEx {
				break
			}
			if r.Type == ToIn { // the rest comes on top of it
				r.Type = Allow
			}
		}
	}
	flush()
	return out
}
