package channel

import (
	"net/netip"

	"golang.org/x/crypto/cryptobyte"
)

// MaxName is the length of the longest name of a member in a list, in bytes: a common
// name has up to 64 characters (RFC 5280 appendix A.1).
const MaxName = 64

// A Member is one VPN address of a member, in a list with names.
type Member struct {
	Addr    netip.Addr
	Gateway bool   // its certificate names networks behind it
	Name    string // of its certificate; empty: not known, or too long
}

// memberGateway is the bit of a member's flags that says that it is a gateway.
const memberGateway = 1 << 0

// AppendMember appends a member to b as it is in Listed: the address (16 bytes, IPv4
// mapped), flags (1 byte), and the length of the name (1 byte) before that. A name that
// is too long is left out.
func AppendMember(b []byte, m Member) []byte {
	all := m.Addr.As16()
	b = append(b, all[:]...)
	var flags byte
	if m.Gateway {
		flags |= memberGateway
	}
	name := clean(m.Name)
	if len(name) > MaxName {
		name = ""
	}
	b = append(b, flags, byte(len(name)))
	return append(b, name...)
}

// ParseMembers reads what AppendMember has written, any number of times. It returns false
// if b cannot be that.
func ParseMembers(b []byte) (list []Member, ok bool) {
	if len(b) > MaxData {
		return nil, false
	}
	for s := cryptobyte.String(b); !s.Empty(); {
		var addr [addrLen]byte
		var flags uint8
		var name cryptobyte.String
		if !s.CopyBytes(addr[:]) || !s.ReadUint8(&flags) || !s.ReadUint8LengthPrefixed(&name) || len(name) > MaxName {
			return nil, false
		}
		list = append(list, Member{netip.AddrFrom16(addr).Unmap(), flags&memberGateway != 0, clean(string(name))})
	}
	return list, true
}
