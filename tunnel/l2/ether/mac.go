package ether

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// A MAC is an address of Ethernet: its 48 bits, the first byte uppermost.
type MAC uint64

// Addresses with a meaning.
const (
	Broadcast MAC = 0xffff_ffff_ffff

	groupBit  = 0x0100_0000_0000 // IEEE 802 section 8.2: for more than one station
	macMask   = Broadcast
	ipv4Group = 0x0100_5e00_0000 // RFC 1112 section 6.4: and 23 bits of the group
	ipv6Group = 0x3333_0000_0000 // RFC 2464 section 7: and 32 bits of the group
	reserved  = 0x0180_c200_0000 // IEEE 802.1D table 7-10: and four bits
)

// The reserved addresses that a bridge may have to know (IEEE 802.1D table 7-10,
// 802.1Q table 8-1).
const (
	BridgeGroup   MAC = reserved     // spanning tree
	Pause         MAC = reserved + 1 // flow control of a link (IEEE 802.3 annex 31B)
	ProviderGroup MAC = reserved + 8 // spanning tree among the bridges of a provider
)

// ErrMAC is returned for text that is no MAC.
var ErrMAC = errors.New("ether: not an address like 02:00:5e:10:00:01")

// MACFrom returns the address with the bytes b.
func MACFrom(b [6]byte) MAC { return macAt(b[:]) }

// macAt returns the address at the start of b, which has six bytes.
func macAt(b []byte) MAC {
	return MAC(binary.BigEndian.Uint16(b))<<32 | MAC(binary.BigEndian.Uint32(b[2:]))
}

// Bytes returns the bytes of m in the order that they travel in.
func (m MAC) Bytes() (b [6]byte) {
	binary.BigEndian.PutUint16(b[:], uint16(m>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(m))
	return b
}

// Append appends the bytes of m to b.
func (m MAC) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(m>>32))
	return binary.BigEndian.AppendUint32(b, uint32(m))
}

// IsGroup reports whether m is for any number of stations: multicast or broadcast.
func (m MAC) IsGroup() bool { return m&groupBit != 0 }

// IsReserved reports whether a bridge must not forward frames for m (IEEE 802.1D
// section 7.12.6).
func (m MAC) IsReserved() bool { return m&^0xf == reserved }

// CanSend reports whether a station may have the address m.
func (m MAC) CanSend() bool { return m != 0 && m&(groupBit|^macMask) == 0 }

// GroupMAC returns the address that frames for a multicast group have, or 0 if a is
// none.
func GroupMAC(a netip.Addr) MAC {
	switch {
	case !a.IsMulticast():
		return 0
	case a.Is4():
		b := a.As4()
		return ipv4Group | MAC(binary.BigEndian.Uint32(b[:])&0x7fffff)
	case a.Is6():
		b := a.As16()
		return ipv6Group | MAC(binary.BigEndian.Uint32(b[12:]))
	}
	return 0
}

// String returns m in the usual form, like 02:00:5e:10:00:01.
func (m MAC) String() string {
	b, _ := m.AppendText(make([]byte, 0, 17))
	return string(b)
}

// AppendText implements encoding.TextAppender.
func (m MAC) AppendText(b []byte) ([]byte, error) {
	const digits = "0123456789abcdef"
	for i, v := range m.Bytes() {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digits[v>>4], digits[v&0xf])
	}
	return b, nil
}

// MarshalText implements encoding.TextMarshaler.
func (m MAC) MarshalText() ([]byte, error) { return m.AppendText(nil) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *MAC) UnmarshalText(b []byte) error {
	v, err := ParseMAC(string(b))
	if err == nil {
		*m = v
	}
	return err
}

// ParseMAC returns the address that s means: six times two hexadecimal digits, with
// colons or hyphens between them.
func ParseMAC(s string) (MAC, error) {
	if len(s) != 17 || s[2] != ':' && s[2] != '-' {
		return 0, ErrMAC
	}
	m := MAC(0)
	for i := range len(s) {
		if i%3 == 2 {
			if s[i] != s[2] {
				return 0, ErrMAC
			}
			continue
		}
		d, ok := hexDigit(s[i])
		if !ok {
			return 0, ErrMAC
		}
		m = m<<4 | MAC(d)
	}
	return m, nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
