package segment

import "encoding/binary"

// A Link says what stands before the IP header of a packet.
type Link uint8

// The links.
const (
	IP       Link = iota // nothing: packets of a TUN device
	Ethernet             // a header of Ethernet II: frames of a TAP device
)

// String returns the name of the link.
func (k Link) String() string {
	if k == Ethernet {
		return "Ethernet"
	}
	return "IP"
}

// Lengths and values in the header of a frame (IEEE 802.3 section 3.1.1, IEEE
// 802.1Q section 9).
const (
	addressesLen = 12 // destination and source
	typeLen      = 2
	tagLen       = 4 // a VLAN tag: its type, priority and number

	typeIPv4       = 0x0800
	typeIPv6       = 0x86dd
	typeTag        = 0x8100 // of a customer (802.1Q)
	typeServiceTag = 0x88a8 // of a provider (802.1ad)
)

// maxTags is how many VLAN tags there may be. Providers use two. A TAP device of
// Linux hands out large frames with as many as there are VLAN interfaces on top of
// each other; Linux itself does not look behind more than this (VLAN_MAX_DEPTH).
const maxTags = 8

// maxLink is the length of the longest link header.
const maxLink = addressesLen + maxTags*tagLen + typeLen

// minPayload is what a frame has at least behind its link header on a cable, which
// no longer knows where a shorter packet ends.
const minPayload = 46

// Packet returns the IP packet in b, without the link header and without what
// follows its end, such as the padding of a short frame. It returns false for a
// frame that has none, or not all of it: ARP, say, or one of a kind that is not
// known here. The rest of the packet is not looked at; nothing at all is, if there
// is no link header.
func (k Link) Packet(b []byte) ([]byte, bool) {
	if k != Ethernet {
		return b, true
	}
	start, end := inFrame(b)
	return b[start:end], end > 0
}

// inFrame returns where the IP packet of a frame is, or 0 twice.
func inFrame(b []byte) (start, end int) {
	for n := addressesLen; n <= maxLink-typeLen && n+typeLen <= len(b); n += tagLen {
		start = n + typeLen
		switch binary.BigEndian.Uint16(b[n:]) {
		case typeIPv4:
			end = start + lengthIPv4(b[start:])
		case typeIPv6:
			end = start + lengthIPv6(b[start:])
		case typeTag, typeServiceTag:
			continue
		}
		break
	}
	if end <= start || end > len(b) {
		return 0, 0
	}
	return start, end
}

// lengthIPv4 returns the length of the IPv4 packet that b begins with, as its
// header says, or 0.
func lengthIPv4(b []byte) int {
	if len(b) < ipv4Len || b[0]>>4 != 4 {
		return 0
	}
	return int(binary.BigEndian.Uint16(b[2:]))
}

// lengthIPv6 returns the length of the IPv6 packet that b begins with, likewise.
func lengthIPv6(b []byte) int {
	if len(b) < ipv6Len || b[0]>>4 != 6 {
		return 0
	}
	return ipv6Len + int(binary.BigEndian.Uint16(b[4:]))
}
