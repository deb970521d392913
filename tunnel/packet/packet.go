// Package packet reads the few fields of IP packets that decisions are made of.
// It copies nothing, allocates nothing and takes any bytes.
package packet

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Lengths of headers without options, in bytes.
const (
	IPv4HeaderLen = 20
	IPv6HeaderLen = 40
)

// Why bytes are not an IP packet.
var (
	ErrNotIP  = errors.New("packet: neither IPv4 nor IPv6")
	ErrLength = errors.New("packet: lengths do not fit")
)

// An Info is what the header of a packet says.
type Info struct {
	Version  uint8 // 4 or 6
	Src, Dst netip.Addr
	Len      int // of the packet, in bytes; there may be padding after it
}

// Parse reads the header of the IP packet at the start of b.
func Parse(b []byte) (Info, error) {
	if len(b) == 0 {
		return Info{}, ErrLength
	}
	switch b[0] >> 4 {
	case 4:
		return parse4(b)
	case 6:
		return parse6(b)
	}
	return Info{}, ErrNotIP
}

// IsIPv6 reports whether a packet, of which Parse has read the header, is one of
// IPv6.
func IsIPv6(b []byte) bool { return len(b) > 0 && b[0]>>4 == 6 }

// parse4 follows RFC 791 section 3.1.
func parse4(b []byte) (Info, error) {
	if len(b) < IPv4HeaderLen {
		return Info{}, ErrLength
	}
	head := int(b[0]&0xf) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if head < IPv4HeaderLen || total < head || total > len(b) {
		return Info{}, ErrLength
	}
	return Info{
		Version: 4,
		Src:     netip.AddrFrom4([4]byte(b[12:16])),
		Dst:     netip.AddrFrom4([4]byte(b[16:20])),
		Len:     total,
	}, nil
}

// parse6 follows RFC 8200 section 3. A jumbogram (RFC 2675) is refused: its
// length of 0 does not fit what is there.
func parse6(b []byte) (Info, error) {
	if len(b) < IPv6HeaderLen {
		return Info{}, ErrLength
	}
	total := IPv6HeaderLen + int(binary.BigEndian.Uint16(b[4:]))
	if total > len(b) {
		return Info{}, ErrLength
	}
	return Info{
		Version: 6,
		Src:     netip.AddrFrom16([16]byte(b[8:24])),
		Dst:     netip.AddrFrom16([16]byte(b[24:40])),
		Len:     total,
	}, nil
}

// Broadcast returns the broadcast address of an IPv4 network: its last address.
// Of a /32 that is the address itself.
func Broadcast(n netip.Prefix) netip.Addr {
	a := n.Masked().Addr().As4()
	host := ^uint32(0) >> n.Bits()
	if n.Bits() == 32 {
		host = 0
	}
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])|host)
	return netip.AddrFrom4(a)
}
