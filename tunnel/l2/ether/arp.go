package ether

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Operations of ARP (RFC 826).
const (
	ARPRequest uint16 = 1
	ARPReply   uint16 = 2
)

// arpLen is the length of a packet of ARP for Ethernet and IPv4.
const arpLen = 28

// ErrARP is returned for what is no ARP for Ethernet and IPv4.
var ErrARP = errors.New("ether: not ARP for IPv4")

// An ARPPacket is a packet of ARP for Ethernet and IPv4.
type ARPPacket struct {
	Op                 uint16
	Sender, Target     MAC
	SenderIP, TargetIP netip.Addr
}

// ParseARP reads the packet at the start of b, a frame's payload; there may be
// padding behind it.
func ParseARP(b []byte) (ARPPacket, error) {
	// Hardware type 1 and addresses of 6 bytes; protocol 0x0800 and 4 bytes.
	if len(b) < arpLen || binary.BigEndian.Uint64(b)>>16 != 0x0001_0800_0604 {
		return ARPPacket{}, ErrARP
	}
	return ARPPacket{
		Op:       binary.BigEndian.Uint16(b[6:]),
		Sender:   macAt(b[8:]),
		SenderIP: netip.AddrFrom4([4]byte(b[14:18])),
		Target:   macAt(b[18:]),
		TargetIP: netip.AddrFrom4([4]byte(b[24:28])),
	}, nil
}

// Append appends the packet to b. An address that is not one of IPv4 is 0.0.0.0.
func (p ARPPacket) Append(b []byte) []byte {
	b = append(b, 0, 1, 0x08, 0, 6, 4)
	b = binary.BigEndian.AppendUint16(b, p.Op)
	b = appendIPv4(p.Sender.Append(b), p.SenderIP)
	return appendIPv4(p.Target.Append(b), p.TargetIP)
}

func appendIPv4(b []byte, a netip.Addr) []byte {
	if !a.Is4() {
		return append(b, 0, 0, 0, 0)
	}
	v := a.As4()
	return append(b, v[:]...)
}

// IsProbe reports whether the packet asks whether an address is free (RFC 5227
// section 1.1): its sender has none yet.
func (p *ARPPacket) IsProbe() bool { return p.SenderIP.IsUnspecified() }

// IsGratuitous reports whether the sender says, unasked, what its address is (RFC
// 5227 section 3).
func (p *ARPPacket) IsGratuitous() bool { return p.SenderIP == p.TargetIP && !p.IsProbe() }
