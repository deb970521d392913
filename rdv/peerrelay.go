package rdv

import (
	"cmp"
	"hash/maphash"
	"net/netip"
	"slices"

	"campagnol/pki/policy"
	"campagnol/rdv/channel"
)

// Members that relay for others. They say so when they register; whoever are introduced to
// each other are told of a few of them. Nothing of what is relayed passes here, and
// whether a member does what it says its users find out.

const (
	// maxPeerRelays is how many members are known as relays: who chooses among them
	// looks at all.
	maxPeerRelays = 256

	// maxViaLooks is how many of them the policy is asked about for one pair.
	maxViaLooks = 16
)

// relays are the members that relay for others.
type relays struct {
	members []*Member
	seed    maphash.Seed // so that nobody can choose an address which all use
}

// setRelays notes whether m relays for others.
func (r *Registry) setRelays(m *Member, yes bool) {
	i := slices.Index(r.relays.members, m)
	switch {
	case yes && i < 0 && len(r.relays.members) < maxPeerRelays:
		r.relays.members = append(r.relays.members, m)
	case !yes && i >= 0:
		r.relays.members = slices.Delete(r.relays.members, i, i+1)
	}
}

// relayAddr returns the VPN address by which a relay is reached, and the zero Addr if it
// has none: tunnels are opened by IPv4 addresses.
func (m *Member) relayAddr() netip.Addr {
	for _, c := range m.held {
		if c.vpn.Is4() {
			return c.vpn
		}
	}
	return netip.Addr{}
}

// viaFor returns members that may relay what a, which has asked, and b send each other,
// best first. Each pair has others (rendezvous hashing), so that the load is spread; both
// ends are told the same, and at the next time again.
func (r *Registry) viaFor(a, b *client) []netip.Addr {
	if len(r.relays.members) == 0 || a.member == nil || b.member == nil {
		return nil
	}
	type choice struct {
		m     *Member
		vpn   netip.Addr
		score uint64
	}
	var list []choice
	x, y := a.member.account(), b.member.account()
	if y.Less(x) {
		x, y = y, x
	}
	for _, m := range r.relays.members {
		if v := m.relayAddr(); v.IsValid() && m != a.member && m != b.member {
			list = append(list, choice{m, v, r.relays.score(x, y, v)})
		}
	}
	slices.SortFunc(list, func(i, j choice) int { return cmp.Compare(j.score, i.score) })
	var via []netip.Addr
	pair := parties{p: r.rules}
	for _, n := range list[:min(len(list), maxViaLooks)] {
		if pair.mayUse(a, b, n.m) {
			if via = append(via, n.vpn); len(via) == channel.MaxVia {
				break
			}
		}
	}
	return via
}

// score says how well a relay suits a pair.
func (s *relays) score(x, y, relay netip.Addr) uint64 {
	if s.seed == (maphash.Seed{}) {
		s.seed = maphash.MakeSeed()
	}
	var b []byte
	for _, v := range [...]netip.Addr{x, y, relay} {
		v16 := v.As16()
		b = append(b, v16[:]...)
	}
	return maphash.Bytes(s.seed, b)
}

// parties is what the policy knows of two clients; it is found out when it is asked for.
type parties struct {
	p    *policy.Policy
	a, b *policy.Member
}

// mayUse reports whether the policy lets a relay carry what a and b send each other: both
// have to be let talk with it, too.
func (q *parties) mayUse(a, b *client, relay *Member) bool {
	if q.p == nil {
		return true
	}
	if q.a == nil {
		pa, pb := a.party(), b.party()
		q.a, q.b = &pa, &pb
	}
	via := relay.held[0].party()
	return q.talks(*q.a, via) && q.talks(*q.b, via) && q.p.Relay(*q.a, *q.b, via).Allowed
}

// talks reports whether one of two may open a tunnel to the other.
func (q *parties) talks(a, b policy.Member) bool {
	return q.p.Talk(a, b).Allowed || q.p.Talk(b, a).Allowed
}
