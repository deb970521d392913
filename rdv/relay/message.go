package relay

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"
)

// Types of messages (RFC 8656 section 17, RFC 8489 section 5).
const (
	typeAllocate         = 0x0003
	typeRefresh          = 0x0004
	typeCreatePermission = 0x0008
	typeChannelBind      = 0x0009
	typeSend             = 0x0016

	typeAllocated = 0x0103
	typeRefreshed = 0x0104
	typeNotBound  = 0x0119 // the error of ChannelBind
	bitResponse   = 0x0100 // of success and error
)

// Attributes that we look at (RFC 8656 section 18).
const (
	attrErrorCode     = 0x0009
	attrChannelNumber = 0x000C
	attrLifetime      = 0x000D
	attrXORPeer       = 0x0012
	attrNonce         = 0x0015
)

const (
	stunHeader = 20
	stunCookie = 0x2112A442
)

// IsTURN reports whether a message of STUN is one that a relay understands. All others
// are for whoever answers STUN.
func IsTURN(b []byte) bool {
	switch typeOf(b) {
	case typeAllocate, typeRefresh, typeCreatePermission, typeChannelBind, typeSend:
		return true
	}
	return false
}

// typeOf returns the type of a message; 0 if b is none.
func typeOf(b []byte) uint16 {
	if len(b) < stunHeader || binary.BigEndian.Uint32(b[4:]) != stunCookie {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// attribute returns the value of the first attribute of a type.
func attribute(b []byte, wanted uint16) ([]byte, bool) {
	if len(b) < stunHeader {
		return nil, false
	}
	for b = b[stunHeader:]; len(b) >= 4; {
		t, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if 4+n > len(b) {
			return nil, false
		}
		if t == wanted {
			return b[4 : 4+n], true
		}
		b = b[min(4+(n+3)&^3, len(b)):]
	}
	return nil, false
}

// lifetimeOf returns what a LIFETIME says.
func lifetimeOf(b []byte) (time.Duration, bool) {
	v, ok := attribute(b, attrLifetime)
	if !ok || len(v) != 4 {
		return 0, false
	}
	return time.Duration(binary.BigEndian.Uint32(v)) * time.Second, true
}

// channelOf returns the number of a CHANNEL-NUMBER, or 0.
func channelOf(b []byte) uint16 {
	if v, ok := attribute(b, attrChannelNumber); ok && len(v) == 4 {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

// peerPort returns the port of the first XOR-PEER-ADDRESS, or 0.
func peerPort(b []byte) uint16 {
	v, ok := attribute(b, attrXORPeer)
	if !ok || len(v) < 4 {
		return 0
	}
	return binary.BigEndian.Uint16(v[2:]) ^ stunCookie>>16
}

// clientOf returns the address of a client as its datagrams have it, from the one that
// pion/turn has been given. With a zone it may be mapped: that of package punch/stream
// is. pion/turn hands back what it was given, and tells no two zones apart; but it knows
// the clients of one door only, and connections have a door of their own.
func clientOf(u *net.UDPAddr) netip.AddrPort {
	a := u.AddrPort()
	if a.Addr().Zone() != "" {
		return a
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// addrPortOf returns an address in the form of netip; the zero AddrPort for none.
func addrPortOf(ip []byte, port int) netip.AddrPort {
	a, ok := netip.AddrFromSlice(ip)
	if !ok || port < 0 || port > 0xffff {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(port))
}
