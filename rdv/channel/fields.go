package channel

import (
	"net/netip"

	"campagnol/punch"

	"golang.org/x/crypto/cryptobyte"
)

func readObject(value cryptobyte.String) (o Object, ok bool) {
	return o, value.ReadUint8((*uint8)(&o.Kind)) && value.ReadUint32(&o.Size) && value.CopyBytes(o.Hash[:])
}

func readEndpoint(value cryptobyte.String) (e netip.AddrPort, ok bool) {
	var ip []byte
	var port uint16
	if len(value) < 2 || !value.ReadBytes(&ip, len(value)-2) || !value.ReadUint16(&port) {
		return e, false
	}
	a, ok := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a.Unmap(), port), ok && port != 0
}

func readCandidate(value cryptobyte.String) (c punch.Candidate, ok bool) {
	var ip cryptobyte.String
	var port uint16
	if !value.ReadUint8((*uint8)(&c.Kind)) || !value.ReadUint8LengthPrefixed(&ip) || !value.ReadUint16(&port) {
		return c, false
	}
	a, ok := netip.AddrFromSlice(ip)
	c.Addr, c.Scope = netip.AddrPortFrom(a.Unmap(), port), clean(string(value))
	return c, ok && port != 0 && len(value) <= punch.MaxScope
}

// flags returns the bits of tagFlags.
func (m *Message) flags() (flags uint32) {
	if m.Relays {
		flags |= flagRelays
	}
	if m.Named {
		flags |= flagNamed
	}
	return flags
}
