package gmp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Parse reads an IP packet. What it returns has copies of everything. A packet of
// another protocol, or of a type that is of no interest here, is [ErrOther].
func Parse(pkt []byte) (Message, error) {
	if len(pkt) < headerV4 {
		return Message{}, ErrShort
	}
	switch pkt[0] >> 4 {
	case 4:
		return parse4(pkt)
	case 6:
		return parse6(pkt)
	}
	return Message{}, ErrOther
}

// parse4 checks the header of IPv4.
func parse4(pkt []byte) (Message, error) {
	n, total := int(pkt[0]&15)*4, int(binary.BigEndian.Uint16(pkt[2:]))
	proto := pkt[9]
	switch {
	case proto != protoIGMP && proto != protoPIM:
		return Message{}, ErrOther
	case n < headerV4 || total < n || total > len(pkt):
		return Message{}, ErrShort
	case checksum(0, pkt[:n]) != 0:
		return Message{}, ErrChecksum
	case binary.BigEndian.Uint16(pkt[6:])&0x3fff != 0: // an offset, or more to come
		return Message{}, ErrFragment
	}
	m := Message{Src: netip.AddrFrom4([4]byte(pkt[12:])), Dst: netip.AddrFrom4([4]byte(pkt[16:]))}
	body := pkt[n:total]
	var err error
	if proto == protoPIM {
		err = m.hello(body, 0)
	} else {
		err = m.igmp(body)
	}
	// What does not come from the link is not about it. IGMP asks senders for a
	// router alert too, but older ones send none (RFC 2236 section 2).
	if err == nil && pkt[8] != 1 {
		err = ErrHops
	}
	return m, err
}

// igmp reads a message of IGMP.
func (m *Message) igmp(b []byte) error {
	if len(b) < 4 {
		return ErrShort
	}
	kind := b[0]
	if kind != igmpDVMRP && kind != igmpTermination && len(b) < 8 {
		return ErrShort
	}
	if checksum(0, b) != 0 {
		return ErrChecksum
	}
	switch kind {
	case igmpQuery:
		return m.igmpQuery(b)
	case igmpV1Report, igmpV2Report, igmpLeave:
		version := uint8(2)
		if kind == igmpV1Report {
			version = 1
		}
		return m.oldReport(version, kind == igmpLeave, netip.AddrFrom4([4]byte(b[4:])))
	case igmpV3Report:
		m.Kind, m.Version = Report, 3
		return m.records(b[8:], int(binary.BigEndian.Uint16(b[6:])), 4)
	case igmpDVMRP:
		if b[1] != dvmrpProbe {
			return ErrOther
		}
		m.Kind = RouterHere
		return nil
	case igmpAdvertisement:
		m.advertised(b)
		return nil
	case igmpTermination:
		m.Kind = RouterGone
		return nil
	}
	return ErrOther
}

// igmpQuery tells the versions apart by their length (RFC 3376 section 7.1).
func (m *Message) igmpQuery(b []byte) error {
	m.Kind, m.Version = Query, 2
	m.MaxResp = time.Duration(b[1]) * 100 * time.Millisecond
	switch {
	case len(b) >= 12:
		m.Version = 3
		m.MaxResp = time.Duration(fromFloat8(b[1])) * 100 * time.Millisecond
	case len(b) != 8:
		return ErrShort
	case b[1] == 0:
		m.Version = 1
	}
	if err := m.asked(netip.AddrFrom4([4]byte(b[4:]))); err != nil {
		return err
	}
	if m.Version == 3 {
		return m.queryTail(b[8:], 4)
	}
	return nil
}

// asked takes the group of a query.
func (m *Message) asked(group netip.Addr) error {
	if group.IsUnspecified() {
		return nil
	}
	if !group.IsMulticast() {
		return ErrGroup
	}
	m.Group = group
	return nil
}

// queryTail reads what only the newest versions have: flags, QRV, QQIC and
// sources (RFC 3376 section 4.1, RFC 3810 section 5.1).
func (m *Message) queryTail(b []byte, size int) error {
	m.Suppress, m.Robustness = b[0]&8 != 0, b[0]&7
	m.Interval = time.Duration(fromFloat8(b[1])) * time.Second
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n > maxSources {
		return ErrMany
	}
	if n > 0 && !m.Group.IsValid() {
		return ErrGroup // sources of no group
	}
	var err error
	m.Sources, _, err = addrs(b[4:], n, size)
	return err
}

// oldReport takes the only group of a report that knows no sources.
func (m *Message) oldReport(version uint8, leave bool, group netip.Addr) error {
	if !group.IsMulticast() {
		return ErrGroup
	}
	kind := IsEx
	if leave {
		kind = ToIn
	}
	m.Kind, m.Version = Report, version
	m.Records = []Record{{Type: kind, Group: group}}
	return nil
}

// records reads n records with addresses of size bytes. Those of types that we do
// not know are skipped (RFC 3376 section 4.2.12).
func (m *Message) records(b []byte, n, size int) error {
	if n > maxRecords {
		return ErrMany
	}
	total := 0
	for range n {
		if len(b) < 4+size {
			return ErrShort
		}
		r := Record{Type: RecordType(b[0]), Group: addr(b[4:], size)}
		aux, count := int(b[1])*4, int(binary.BigEndian.Uint16(b[2:]))
		if total += count; total > maxSources {
			return ErrMany
		}
		var err error
		if r.Sources, b, err = addrs(b[4+size:], count, size); err != nil {
			return err
		}
		if len(b) < aux {
			return ErrShort
		}
		b = b[aux:]
		if r.Type < IsIn || r.Type > Block {
			continue
		}
		if !r.Group.IsMulticast() {
			return ErrGroup
		}
		m.Records = append(m.Records, r)
	}
	return nil
}

// addrs reads n addresses. Those that no sender has are skipped.
func addrs(b []byte, n, size int) (list []netip.Addr, rest []byte, err error) {
	if len(b) < n*size {
		return nil, nil, ErrShort
	}
	for i := range n {
		if a := addr(b[i*size:], size); !a.IsMulticast() && !a.IsUnspecified() {
			list = append(list, a)
		}
	}
	return list, b[n*size:], nil
}

func addr(b []byte, size int) netip.Addr {
	if size == 4 {
		return netip.AddrFrom4([4]byte(b))
	}
	return netip.AddrFrom16([16]byte(b))
}

// advertised reads an advertisement of RFC 4286 section 3.2: a router is gone when
// three intervals pass without another (section 2.1).
func (m *Message) advertised(b []byte) {
	m.Kind = RouterHere
	m.Lifetime = 3 * time.Duration(b[1]) * time.Second
}

// hello reads a hello of PIM version 2. Its checksum has a pseudo header in IPv6.
func (m *Message) hello(b []byte, pseudo uint32) error {
	if len(b) < 4 {
		return ErrShort
	}
	if b[0] != pimHello {
		return ErrOther
	}
	if checksum(pseudo, b) != 0 {
		return ErrChecksum
	}
	m.Kind, m.Lifetime = RouterHere, 105*time.Second // RFC 7761 section 4.11
	for b = b[4:]; len(b) >= 4; {
		option, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; len(b) < n {
			return ErrShort
		}
		if option == 1 && n == 2 { // the holdtime; 0 is a good-bye
			m.Lifetime = time.Duration(binary.BigEndian.Uint16(b)) * time.Second
			if m.Lifetime == 0 {
				m.Kind = RouterGone
			}
		}
		b = b[n:]
	}
	return nil
}
