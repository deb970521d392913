package ether

import (
	"encoding/binary"
	"net/netip"
)

// Protocols and extension headers (IANA's registries of both).
const (
	protoHopByHop    = 0
	protoIGMP        = 2
	protoTCP         = 6
	protoRouting     = 43
	protoFragment    = 44
	protoICMPv6      = 58
	protoDestination = 60
	protoPIM         = 103
)

const (
	ipv4Len = 20
	ipv6Len = 40

	// maxExtensions bounds the extension headers that are skipped. Each may
	// occur once, destination options twice (RFC 8200 section 4.1).
	maxExtensions = 5
)

// An IP is what the headers of an IP packet in a frame say.
type IP struct {
	Version  uint8 // 4 or 6
	HopLimit uint8 // or time to live
	Proto    uint8 // of what Body is the offset
	Alert    bool  // routers are to look at it (RFC 2113, RFC 2711)
	Later    bool  // a fragment behind the first: there is no header at Body
	Src, Dst netip.Addr
	Body     int // offset in the frame
	End      int // offset in the frame of what follows the packet
}

// TCP reports whether there is a header of TCP at Body.
func (p *IP) TCP() bool { return p.Proto == protoTCP && !p.Later }

// Unread reports whether there are more extension headers than were read, so that
// what is behind them is not known.
func (p *IP) Unread() bool {
	switch p.Proto {
	case protoHopByHop, protoRouting, protoFragment, protoDestination:
		return p.Version == 6 && !p.Later
	}
	return false
}

// ParseIP reads the IP packet in the frame b, whose header is f. It returns false
// for a frame that has none, or not all of it.
func ParseIP(b []byte, f *Frame) (p IP, ok bool) {
	switch f.Type {
	case IPv4:
		return parseIPv4(b, f.Net)
	case IPv6:
		return parseIPv6(b, f.Net)
	}
	return IP{}, false
}

// parseIPv4 follows RFC 791 section 3.1.
func parseIPv4(b []byte, start int) (p IP, ok bool) {
	h := b[start:]
	if len(h) < ipv4Len || h[0]>>4 != 4 {
		return IP{}, false
	}
	head := int(h[0]&0xf) * 4
	total := int(binary.BigEndian.Uint16(h[2:]))
	if head < ipv4Len || total < head || total > len(h) {
		return IP{}, false
	}
	return IP{
		Version:  4,
		HopLimit: h[8],
		Proto:    h[9],
		Alert:    alert4(h[ipv4Len:head]),
		Later:    binary.BigEndian.Uint16(h[6:])&0x1fff != 0,
		Src:      netip.AddrFrom4([4]byte(h[12:16])),
		Dst:      netip.AddrFrom4([4]byte(h[16:20])),
		Body:     start + head,
		End:      start + total,
	}, true
}

// alert4 reports whether there is a Router Alert among the options of IPv4.
func alert4(o []byte) bool {
	const end, nop, routerAlert = 0, 1, 148
	for len(o) > 0 && o[0] != end {
		switch {
		case o[0] == nop:
			o = o[1:]
			continue
		case o[0] == routerAlert:
			return true
		case len(o) < 2 || o[1] < 2 || int(o[1]) > len(o):
			return false
		}
		o = o[o[1]:]
	}
	return false
}

// parseIPv6 follows RFC 8200 section 3.
func parseIPv6(b []byte, start int) (p IP, ok bool) {
	h := b[start:]
	if len(h) < ipv6Len || h[0]>>4 != 6 {
		return IP{}, false
	}
	total := ipv6Len + int(binary.BigEndian.Uint16(h[4:]))
	if total > len(h) {
		return IP{}, false
	}
	p = IP{
		Version:  6,
		HopLimit: h[7],
		Proto:    h[6],
		Src:      netip.AddrFrom16([16]byte(h[8:24])),
		Dst:      netip.AddrFrom16([16]byte(h[24:40])),
		Body:     start + ipv6Len,
		End:      start + total,
	}
	p.extensions(b)
	return p, true
}

// extensions skips the extension headers. It stops at one that is not all there:
// nothing that is known here follows then.
func (p *IP) extensions(b []byte) {
	for range maxExtensions {
		h := b[p.Body:p.End]
		if len(h) < 8 {
			return
		}
		size := (int(h[1]) + 1) * 8
		switch p.Proto {
		case protoHopByHop:
			p.Alert = p.Alert || size <= len(h) && alert6(h[2:size])
		case protoRouting, protoDestination:
		case protoFragment:
			size = 8
			p.Later = binary.BigEndian.Uint16(h[2:])>>3 != 0
		default:
			return
		}
		if size > len(h) || p.Later {
			return
		}
		p.Proto, p.Body = h[0], p.Body+size
	}
}

// alert6 reports whether there is a Router Alert among hop-by-hop options.
func alert6(o []byte) bool {
	const pad1, routerAlert = 0, 5
	for len(o) > 0 {
		if o[0] == pad1 {
			o = o[1:]
			continue
		}
		if len(o) < 2 || int(o[1])+2 > len(o) {
			return false
		}
		if o[0] == routerAlert {
			return true
		}
		o = o[int(o[1])+2:]
	}
	return false
}
