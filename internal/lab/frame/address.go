package frame

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// A MAC is the address of a network card, or of a group of them.
type MAC [6]byte

// Broadcast is the address of all.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// String returns the usual form, with colons.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// IsGroup reports whether frames to m are for more than one card.
func (m MAC) IsGroup() bool { return m[0]&1 != 0 }

// GroupMAC returns the address that frames to an IP group have: the last 23
// bits of an IPv4 group (RFC 1112 section 6.4), the last 32 of an IPv6 one
// (RFC 2464 section 7). The limited broadcast address of IPv4 has the address
// of all. For what is no group it returns the zero MAC.
func GroupMAC(group netip.Addr) MAC {
	switch a := group.As16(); {
	case group == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return Broadcast
	case !group.IsMulticast():
		return MAC{}
	case group.Is4():
		return MAC{0x01, 0x00, 0x5e, a[13] & 0x7f, a[14], a[15]}
	default:
		return MAC{0x33, 0x33, a[12], a[13], a[14], a[15]}
	}
}

// A Tag is a VLAN tag (IEEE 802.1Q).
type Tag struct {
	TPID     uint16 // TPIDCustomer or TPIDService; zero builds the former
	Priority uint8  // 0 to 7
	VID      uint16 // 1 to 4094; 0 is a priority without a VLAN
}

// The protocol identifiers of tags.
const (
	TPIDCustomer = 0x8100
	TPIDService  = 0x88a8
)

// tci returns the part after the protocol identifier.
func (t Tag) tci() uint16 { return uint16(t.Priority)<<13 | t.VID&maxVID }

const maxVID = 0xfff

// NewTag returns the tag with the given parts, as a kernel has them.
func NewTag(tpid, tci uint16) Tag {
	return Tag{TPID: tpid, Priority: uint8(tci >> 13), VID: tci & maxVID}
}

// tagAt is where the first tag of a frame is: after the two addresses.
const tagAt = 12

// InsertTag returns a copy of a frame with one more tag, the outermost. A
// frame without two addresses gets none.
func InsertTag(b []byte, t Tag) []byte {
	if len(b) < tagAt {
		return append([]byte(nil), b...)
	}
	out := append(make([]byte, 0, len(b)+4), b[:tagAt]...)
	return append(t.append(out), b[tagAt:]...)
}

// append adds the tag to a frame that is complete up to it.
func (t Tag) append(b []byte) []byte {
	tpid := t.TPID
	if tpid == 0 {
		tpid = TPIDCustomer
	}
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, tpid), t.tci())
}
