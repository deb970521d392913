package ether

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Types of neighbour discovery (RFC 4861 section 4).
const (
	ndSolicitation  = 135
	ndAdvertisement = 136

	optSource = 1
	optTarget = 2

	flagRouter    = 0x80
	flagSolicited = 0x40
	flagOverride  = 0x20

	ndLen       = 24 // without options
	ndOptionLen = 8  // of one with an address of Ethernet

	// ndHopLimit shows that no router has forwarded a message.
	ndHopLimit = 255
)

// ErrND is returned for what is no valid solicitation or advertisement.
var ErrND = errors.New("ether: not a neighbour solicitation or advertisement")

// A Neighbour is a neighbour solicitation or advertisement of IPv6.
type Neighbour struct {
	Advertisement bool
	Src, Dst      netip.Addr
	Target        netip.Addr // whom it is about
	MAC           MAC        // of the sender, or of the target in an advertisement; 0: it does not say

	// Of an advertisement.
	Router, Solicited, Override bool
}

// IsProbe reports whether the message asks whether an address is free (RFC 4862
// section 5.4): its sender has none yet.
func (n *Neighbour) IsProbe() bool { return !n.Advertisement && n.Src.IsUnspecified() }

// IsND reports whether the packet p in the frame b says that it is a solicitation or
// an advertisement.
func IsND(b []byte, p *IP) bool {
	return p.Version == 6 && p.Proto == protoICMPv6 && !p.Later && p.Body < p.End &&
		(b[p.Body] == ndSolicitation || b[p.Body] == ndAdvertisement)
}

// ParseND reads the message in the packet p of the frame b and makes the checks that
// receivers have to make (RFC 4861 sections 7.1.1 and 7.1.2).
func ParseND(b []byte, p *IP) (Neighbour, error) {
	if !IsND(b, p) {
		return Neighbour{}, ErrND
	}
	m := b[p.Body:p.End]
	if p.HopLimit != ndHopLimit || len(m) < ndLen || m[1] != 0 || ChecksumICMPv6(p.Src, p.Dst, m) != 0 {
		return Neighbour{}, ErrND
	}
	n := Neighbour{
		Advertisement: m[0] == ndAdvertisement,
		Src:           p.Src,
		Dst:           p.Dst,
		Target:        netip.AddrFrom16([16]byte(m[8:24])),
	}
	option := byte(optSource)
	if n.Advertisement {
		n.Router, n.Solicited, n.Override = m[4]&flagRouter != 0, m[4]&flagSolicited != 0, m[4]&flagOverride != 0
		option = optTarget
	}
	if !n.options(m[ndLen:], option) || n.Target.IsMulticast() || !n.valid() {
		return Neighbour{}, ErrND
	}
	return n, nil
}

// options reads the options and finds the address in the one of the given type.
func (n *Neighbour) options(o []byte, kind byte) bool {
	for len(o) > 0 {
		if len(o) < 2 || o[1] == 0 || int(o[1])*8 > len(o) {
			return false
		}
		if o[0] == kind && o[1] == 1 {
			n.MAC = macAt(o[2:])
		}
		o = o[int(o[1])*8:]
	}
	return true
}

// valid checks what must not be together.
func (n *Neighbour) valid() bool {
	if n.Advertisement {
		return !n.Solicited || !n.Dst.IsMulticast()
	}
	return !n.IsProbe() || n.MAC == 0 && n.Dst == SolicitedNode(n.Target)
}

// SolicitedNode returns the group in which the holder of an IPv6 address listens for
// solicitations (RFC 4291 section 2.7.1).
func SolicitedNode(a netip.Addr) netip.Addr {
	v := a.As16()
	g := [16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: v[13], 14: v[14], 15: v[15]}
	return netip.AddrFrom16(g)
}

// Append appends the IPv6 packet with the message to b.
func (n *Neighbour) Append(b []byte) []byte {
	kind, option, flags := byte(ndSolicitation), byte(optSource), byte(0)
	if n.Advertisement {
		kind, option = ndAdvertisement, optTarget
		flags = bit(n.Router, flagRouter) | bit(n.Solicited, flagSolicited) | bit(n.Override, flagOverride)
	}
	size := ndLen
	if n.MAC != 0 {
		size += ndOptionLen
	}
	src, dst, target := n.Src.As16(), n.Dst.As16(), n.Target.As16()
	b = append(b, 0x60, 0, 0, 0, 0, byte(size), protoICMPv6, ndHopLimit)
	b = append(append(b, src[:]...), dst[:]...)
	start := len(b)
	b = append(b, kind, 0, 0, 0, flags, 0, 0, 0)
	b = append(b, target[:]...)
	if n.MAC != 0 {
		b = n.MAC.Append(append(b, option, 1))
	}
	m := b[start:]
	binary.BigEndian.PutUint16(m[2:], ChecksumICMPv6(n.Src, n.Dst, m))
	return b
}

func bit(set bool, b byte) byte {
	if set {
		return b
	}
	return 0
}

// MayBeND reports whether a frame may carry a solicitation or an advertisement. It
// looks at two bytes: a message that hides behind extension headers, which no host
// sends, is not found.
func MayBeND(b []byte, f *Frame) bool {
	if f.Type != IPv6 || len(b) <= f.Net+ipv6Len || b[f.Net+6] != protoICMPv6 {
		return false
	}
	kind := b[f.Net+ipv6Len]
	return kind == ndSolicitation || kind == ndAdvertisement
}
