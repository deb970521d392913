package rdv

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/rdv/channel"
)

const (
	// rollLife is how old the order may be in which members are listed. With many
	// members it takes a while to make, and who has come since is listed next time.
	rollLife = time.Second

	// maxLooked is how many members are looked at for one piece of a list: a policy
	// may keep all of them from the asker.
	maxLooked = 1024

	// A member gets listBurst pieces at once, and one each listEvery in the long run:
	// a policy makes each cost as much as a thousand introductions.
	listBurst = 128
	listEvery = 50 * time.Millisecond
)

// A roll is the VPN addresses of those with a channel, in order.
type roll struct {
	addrs []netip.Addr
	made  time.Duration
	known bool
}

// listFor tells m whom it may talk with: a piece of the list.
func (r *Registry) listFor(m *Member, req *channel.Message, out []Out) []Out {
	if len(m.held) == 0 {
		return m.refuse(req, channel.Strangers, "", out)
	}
	if m.listed > r.now+listBurst*listEvery {
		return m.refuse(req, channel.Busy, "", out)
	}
	m.listed = max(m.listed, r.now) + listEvery
	var after netip.Addr // before all others
	if len(req.VPN) > 0 {
		after = req.VPN[0]
	}
	list := r.rollAfter(after)
	answer := &channel.Message{Type: channel.Listed, Named: req.Named}
	for i, v := range list {
		var entry []byte
		if c := r.byVPN[v]; c != nil && r.lists(m, c) {
			entry = entryOf(c, req.Named)
		}
		if i == maxLooked || len(answer.Data)+len(entry) > channel.MaxData {
			answer.VPN = []netip.Addr{list[i-1]}
			break
		}
		answer.Data = append(answer.Data, entry...)
	}
	r.counters.Lists++
	return m.answer(req, answer, out)
}

// entryOf returns what a list has of c, a member's registration.
func entryOf(c *client, named bool) []byte {
	if !named {
		return channel.AppendAddrs(nil, c.vpn)
	}
	return channel.AppendMember(nil, channel.Member{Addr: c.vpn, Name: c.member.id.Name, Gateway: len(c.member.attributes().Routes) > 0})
}

// lists reports whether m is told of c.
func (r *Registry) lists(m *Member, c *client) bool {
	if c.member == nil || c.member == m {
		return false
	}
	return r.rules == nil || r.rules.Talk(m.as(c.vpn).party(), c.party()).Allowed
}

// rollAfter returns the addresses behind one, in order. Some may have left.
func (r *Registry) rollAfter(after netip.Addr) []netip.Addr {
	if !r.roll.known || r.now-r.roll.made >= rollLife {
		addrs := r.roll.addrs[:0]
		for _, m := range r.members {
			for _, c := range m.held {
				addrs = append(addrs, c.vpn)
			}
		}
		slices.SortFunc(addrs, netip.Addr.Compare)
		r.roll = roll{addrs: addrs, made: r.now, known: true}
	}
	i, found := slices.BinarySearchFunc(r.roll.addrs, after, netip.Addr.Compare)
	if found {
		i++
	}
	return r.roll.addrs[i:]
}
