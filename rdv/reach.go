package rdv

import (
	"net/netip"
	"slices"

	"campagnol/punch"
	"campagnol/punch/stream"
	"campagnol/rdv/channel"
)

// Where members say that they can be reached, beside the endpoint that we see
// (RFC 8445 calls it candidates). It is kept as it came, and goes to those whom they
// are introduced to. Nothing of it is checked: whoever answers somewhere has to prove
// who it is to the peer, and the peer bounds what it tries.

// keep notes what a REGISTER says about reaching m, in place of what the last one
// said. It is kept in its wire form, which is a tenth of the size.
func (m *Member) keep(req *channel.Message) {
	told := channel.Message{Type: channel.Register, NAT: req.NAT, Scopes: req.Scopes}
	for _, c := range req.Candidates {
		if mayBeHost(c.Addr) {
			told.Candidates = append(told.Candidates, c)
		}
	}
	if !told.NAT.Known && len(told.Candidates) == 0 && len(told.Scopes) == 0 {
		m.told = nil
		return
	}
	told.Fit()
	m.told = slices.Clip(told.Append(nil))
}

// mayBeHost reports whether another host can be at an address.
func mayBeHost(a netip.AddrPort) bool {
	ip := a.Addr()
	return ip.IsValid() && !ip.IsUnspecified() && !ip.IsMulticast() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() &&
		ip != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// said returns what keep has noted.
func (m *Member) said() channel.Message {
	if m == nil || m.told == nil {
		return channel.Message{}
	}
	msg, err := channel.Parse(m.told)
	if err != nil {
		return channel.Message{} // it is of our making
	}
	return msg
}

// describe adds to msg, which tells other of c, how c can be reached beside the
// endpoints in msg. Other gets what it may be able to use:
//
//   - of what has a scope, what is in one of its own
//   - private addresses if it has the same public address as c, or a scope in common
//     with it: elsewhere they are of no use, and they are nobody's business
//   - what c's owner has configured, and all else
func (c *client) describe(other *client, msg *channel.Message) {
	ours := c.member.said()
	msg.NAT = ours.NAT
	scopes := other.member.said().Scopes
	inside := near(c, other) || slices.ContainsFunc(ours.Scopes, func(s string) bool { return slices.Contains(scopes, s) })
	for _, n := range ours.Candidates {
		switch {
		case n.Scope != "":
			if !slices.Contains(scopes, n.Scope) {
				continue
			}
		case n.Kind != punch.Configured && punch.IsPrivate(n.Addr.Addr()) && !inside, n.Kind != punch.Stream && slices.Contains(msg.Endpoints, n.Addr):
			continue
		}
		msg.Candidates = append(msg.Candidates, n)
	}
	punch.Sort(msg.Candidates)
	msg.Fit()
}

// near reports whether two clients seem to be in one private network: they come from
// the same IPv4 address, or from the same IPv6 network. Where somebody's connection comes
// from says nothing: a proxy may have made it.
func near(a, b *client) bool {
	if stream.IsStream(a.addrPort()) || stream.IsStream(b.addrPort()) {
		return false
	}
	x, y := a.addrPort().Addr(), b.addrPort().Addr()
	if x.Is4() || y.Is4() {
		return x == y
	}
	const link = 64 // bits; RFC 4291 section 2.5.4
	p, err := x.Prefix(link)
	return err == nil && p.Contains(y)
}
