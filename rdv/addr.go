package rdv

import (
	"encoding/binary"
	"net/netip"
)

// An ip4 is an IPv4 address in host byte order. 0 is the zero Addr, which is
// 0.0.0.0 on the wire.
type ip4 uint32

// ip4Of returns a as messages carry it: 0 if it is not IPv4.
func ip4Of(a netip.Addr) ip4 {
	a = a.Unmap()
	if !a.Is4() {
		return 0
	}
	b := a.As4()
	return ip4(binary.BigEndian.Uint32(b[:]))
}

func (i ip4) addr() netip.Addr {
	if i == 0 {
		return netip.Addr{}
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(i))
	return netip.AddrFrom4(b)
}

// vpnOf returns the VPN address in a message in clear as the registry knows it: the
// zero Addr for 0.0.0.0 and what is not IPv4.
func vpnOf(a netip.Addr) netip.Addr { return ip4Of(a).addr() }

// An endpoint is an IPv4 address and a UDP port, in the 8 bytes that a key of
// the registry's table needs. Neither is 0, but in the endpoint 0, which is
// none. The endpoint of a client also has the number of the socket that the client
// uses, see [spot]:
//
//	bits 48 to 55   the socket
//	bits 16 to 47   the address
//	bits 0 to 15    the port
type endpoint uint64

// endpointOf returns a as an endpoint. It refuses what nothing can be sent to,
// and IPv6: the messages in clear have room for IPv4 addresses only.
func endpointOf(a netip.AddrPort) (endpoint, bool) {
	ip := a.Addr()
	if !ip.Is4() || ip.IsUnspecified() || a.Port() == 0 {
		return 0, false
	}
	return endpoint(ip4Of(ip))<<16 | endpoint(a.Port()), true
}

// on returns e as the endpoint of a client that uses a socket.
func (e endpoint) on(socket uint8) endpoint {
	if e == 0 {
		return 0
	}
	return e&(1<<48-1) | endpoint(socket)<<48
}

func (e endpoint) socket() uint8 { return uint8(e >> 48) }

func (e endpoint) ip() ip4 { return ip4(e >> 16) }

func (e endpoint) addrPort() netip.AddrPort {
	return netip.AddrPortFrom(e.ip().addr(), uint16(e))
}

// A spot is where a client is: at its endpoint, as one of our sockets sees it. Two
// clients behind one NAT may come from the same endpoint if they use different sockets:
// NATs, Linux among them, need but tell flows apart by both of their ends.
type spot struct {
	netip.AddrPort
	socket uint8
}
