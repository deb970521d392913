package ether

// A Membership says what a packet means to those who follow which hosts are in which
// multicast groups.
type Membership uint8

// What it means.
const (
	NoMembership Membership = iota
	// Talk is a query, a report or a leave of IGMP or MLD.
	Talk
	// RouterSign shows that there is a router for multicast: Multicast Router
	// Discovery (RFC 4286) or PIM (RFC 7761).
	RouterSign
)

// MembershipOf returns what the packet p in the frame b means. That it is what it
// seems, with the right checksum, hop limit and options, the reader has to check.
func MembershipOf(b []byte, p *IP) Membership {
	switch {
	case p.Later || p.Body >= p.End:
		return NoMembership
	case p.Proto == protoIGMP && p.Version == 4:
		return igmp(b[p.Body])
	case p.Proto == protoICMPv6 && p.Version == 6:
		return mld(b[p.Body])
	case p.Proto == protoPIM:
		return RouterSign
	}
	return NoMembership
}

// igmp sorts by the types of RFC 3376 section 4 and RFC 4286 section 8. Others, such
// as those of DVMRP and of trace routes, are not about members.
func igmp(kind byte) Membership {
	switch kind {
	case 0x11, 0x12, 0x16, 0x17, 0x22:
		return Talk
	case 0x30, 0x31, 0x32:
		return RouterSign
	}
	return NoMembership
}

// mld sorts by the types of RFC 3810 section 5 and RFC 4286 section 8.
func mld(kind byte) Membership {
	switch kind {
	case 130, 131, 132, 143:
		return Talk
	case 151, 152, 153:
		return RouterSign
	}
	return NoMembership
}
