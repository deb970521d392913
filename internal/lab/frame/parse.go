package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Frame is what is known about a frame.
type Frame struct {
	Src, Dst  MAC
	Tags      []Tag // the outermost first
	EtherType uint16

	// Of IP. Protocol is that of the content, behind all extension headers,
	// and not known (zero) of a fragment that is not the first.
	SrcIP, DstIP netip.Addr
	Protocol     uint8
	TTL          uint8
	RouterAlert  bool

	SrcPort, DstPort uint16 // of UDP
	Payload          []byte // of UDP; a part of what was parsed
	Message          Message
}

// Errors of Parse.
var (
	ErrShort    = errors.New("frame: too short")
	ErrChecksum = errors.New("frame: wrong checksum")
)

// VID returns the VLAN of the outermost tag, and 0 without one.
func (f Frame) VID() uint16 {
	if len(f.Tags) == 0 {
		return 0
	}
	return f.Tags[0].VID
}

// String describes the frame in a line.
func (f Frame) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v > %v", f.Src, f.Dst)
	for _, t := range f.Tags {
		fmt.Fprintf(&b, " vlan %d", t.VID)
	}
	if !f.DstIP.IsValid() {
		fmt.Fprintf(&b, " type %04x", f.EtherType)
		return b.String()
	}
	fmt.Fprintf(&b, " %v > %v", f.SrcIP, f.DstIP)
	switch {
	case f.Message.Kind != NoMessage:
		fmt.Fprintf(&b, " %v v%d", f.Message.Kind, f.Message.Version)
		if f.Message.Group.IsValid() {
			fmt.Fprintf(&b, " %v", f.Message.Group)
		}
		for _, r := range f.Message.Records {
			fmt.Fprintf(&b, " %v %v %v", r.Type, r.Group, r.Sources)
		}
	case f.Protocol == ProtocolUDP:
		fmt.Fprintf(&b, " udp %d > %d, %d bytes", f.SrcPort, f.DstPort, len(f.Payload))
	default:
		fmt.Fprintf(&b, " protocol %d", f.Protocol)
	}
	return b.String()
}

// Parse reads a frame. With an error, what could be read up to there is
// returned: the addresses of anything that has them. The result refers to b.
func Parse(b []byte) (f Frame, err error) {
	if len(b) < 14 {
		return f, ErrShort
	}
	copy(f.Dst[:], b)
	copy(f.Src[:], b[6:])
	b = b[tagAt:]
	for {
		f.EtherType = binary.BigEndian.Uint16(b)
		b = b[2:]
		if f.EtherType != TPIDCustomer && f.EtherType != TPIDService {
			break
		}
		if len(b) < 4 {
			return f, ErrShort
		}
		f.Tags = append(f.Tags, NewTag(f.EtherType, binary.BigEndian.Uint16(b)))
		b = b[2:]
	}
	switch f.EtherType {
	case EtherTypeIPv4:
		return f, f.parseIPv4(b)
	case EtherTypeIPv6:
		return f, f.parseIPv6(b)
	}
	return f, nil
}

func (f *Frame) parseIPv4(b []byte) error {
	if len(b) < 20 || b[0]>>4 != 4 {
		return ErrShort
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < 20 || total < header || len(b) < total {
		return ErrShort
	}
	f.TTL = b[8]
	f.SrcIP, f.DstIP = addr(b[12:16]), addr(b[16:20])
	if checksum(0, b[:header]) != 0 {
		return ErrChecksum
	}
	for o := b[20:header]; len(o) >= 2 && o[0] != 0; {
		switch {
		case o[0] == 1: // no operation
			o = o[1:]
			continue
		case o[0] == 0x94:
			f.RouterAlert = true
		}
		o = o[min(max(int(o[1]), 2), len(o)):]
	}
	if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
		return nil // a later fragment
	}
	f.Protocol = b[9]
	return f.parseContent(b[header:total], 0)
}

func (f *Frame) parseIPv6(b []byte) error {
	if len(b) < 40 || b[0]>>4 != 6 || len(b) < 40+int(binary.BigEndian.Uint16(b[4:])) {
		return ErrShort
	}
	next := b[6]
	f.TTL = b[7]
	f.SrcIP, f.DstIP = addr(b[8:24]), addr(b[24:40])
	b = b[40 : 40+int(binary.BigEndian.Uint16(b[4:]))]
	// Only the extension header that membership has: others are no part of
	// any experiment.
	if next == ProtocolHopByHop {
		if len(b) < 8 || len(b) < 8+8*int(b[1]) {
			return ErrShort
		}
		options := b[2 : 8+8*int(b[1])]
		f.RouterAlert = slices.Equal(options[:4], []byte{5, 2, 0, 0})
		next, b = b[0], b[2+len(options):]
	}
	f.Protocol = next
	return f.parseContent(b, pseudoHeader(f.SrcIP, f.DstIP, next, len(b)))
}

// parseContent reads what is in the packet. pseudo is the sum of the pseudo
// header, where messages about membership count that.
func (f *Frame) parseContent(b []byte, pseudo uint32) error {
	switch {
	case f.Protocol == ProtocolUDP:
		if len(b) < 8 {
			return ErrShort
		}
		// Its checksum is left alone: a kernel sends to the card next to it
		// without computing one.
		f.SrcPort, f.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		f.Payload = b[8:]
	case f.Protocol == ProtocolIGMP && f.DstIP.Is4(), f.Protocol == ProtocolICMPv6 && f.DstIP.Is6():
		m, err := parseMessage(b, f.DstIP.Is6())
		if err == nil && m.Kind != NoMessage && checksum(pseudo, b) != 0 {
			err = ErrChecksum
		}
		if err != nil {
			return err
		}
		f.Message = m
	}
	return nil
}

// parseMessage reads a message of IGMP or ICMPv6. Of what is not about
// membership it returns the zero Message.
func parseMessage(b []byte, is6 bool) (m Message, err error) {
	fixed, size := 4, 4 // up to the group; of an address
	if is6 {
		fixed, size = 8, 16
	}
	if len(b) < 4 {
		return m, ErrShort
	}
	switch t := b[0]; {
	case !is6 && t == igmpReportV3, is6 && t == mldReportV2:
		m = Message{Kind: Report, Version: 3}
		m.Records, err = parseRecords(b, size)
		return m, err
	case !is6 && t == igmpQuery, is6 && t == mldQuery:
		m = Message{Kind: Query, Version: 2}
	case !is6 && t == igmpReportV1:
		m = Message{Kind: Report, Version: 1}
	case !is6 && t == igmpReportV2, is6 && t == mldReportV1:
		m = Message{Kind: Report, Version: 2}
	case !is6 && t == igmpLeave, is6 && t == mldDone:
		m = Message{Kind: Leave, Version: 2}
	default:
		return m, nil
	}
	if len(b) < fixed+size {
		return Message{}, ErrShort
	}
	m.Group = addr(b[fixed : fixed+size])
	if m.Kind != Query {
		return m, nil
	}
	if is6 {
		m.MaxResponse = time.Duration(binary.BigEndian.Uint16(b[4:])) * time.Millisecond
	} else {
		m.MaxResponse = time.Duration(b[1]) * 100 * time.Millisecond
		if b[1] == 0 && len(b) == 8 {
			m.Version = 1
		}
	}
	if b = b[fixed+size:]; len(b) == 0 {
		return m, nil
	}
	return m, m.parseQueryV3(b, size)
}

// parseQueryV3 reads what only queries of version 3 have.
func (m *Message) parseQueryV3(b []byte, size int) error {
	if len(b) < 4 {
		return ErrShort
	}
	m.Version = 3
	m.Robustness, m.Suppress = b[0]&7, b[0]&8 != 0
	m.Interval = time.Duration(b[1]) * time.Second
	var err error
	m.Sources, _, err = parseAddrs(b[4:], int(binary.BigEndian.Uint16(b[2:])), size)
	return err
}

func parseRecords(b []byte, size int) (records []Record, err error) {
	if len(b) < 8 {
		return nil, ErrShort
	}
	n := int(binary.BigEndian.Uint16(b[6:]))
	b = b[8:]
	for range n {
		if len(b) < 4+size {
			return nil, ErrShort
		}
		r := Record{Type: RecordType(b[0]), Group: addr(b[4 : 4+size])}
		auxiliary := int(b[1]) * 4
		if r.Sources, b, err = parseAddrs(b[4+size:], int(binary.BigEndian.Uint16(b[2:])), size); err != nil {
			return nil, err
		}
		if len(b) < auxiliary {
			return nil, ErrShort
		}
		b = b[auxiliary:]
		records = append(records, r)
	}
	return records, nil
}

// parseAddrs reads n addresses and returns what is behind them.
func parseAddrs(b []byte, n, size int) (addrs []netip.Addr, rest []byte, err error) {
	if len(b) < n*size {
		return nil, nil, ErrShort
	}
	for a := range slices.Chunk(b[:n*size], size) {
		addrs = append(addrs, addr(a))
	}
	return addrs, b[n*size:], nil
}

// addr returns an address of 4 or 16 bytes.
func addr(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

// ParseIP reads a packet, which a frame has behind its EtherType.
func ParseIP(b []byte) (f Frame, err error) {
	if len(b) > 0 && b[0]>>4 == 6 {
		f.EtherType = EtherTypeIPv6
		return f, f.parseIPv6(b)
	}
	f.EtherType = EtherTypeIPv4
	return f, f.parseIPv4(b)
}
