package rdv

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
	"campagnol/punch/stream"
	"campagnol/rdv/channel"
)

// introWaits are how long an INTRODUCE may be without DONE until it is sent again,
// and at last forgotten.
var introWaits = [...]time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 2 * time.Second}

// maxIntros is how many INTRODUCEs of one member wait for DONE. Beyond it the
// oldest is forgotten: its asker asks again.
const maxIntros = 32

// An intro is an INTRODUCE that has not been answered.
type intro struct {
	to    *Member
	asker netip.Addr
	msg   *channel.Message
	sent  int
	due   time.Duration
	age   links[intro]
}

// askOver introduces m and the client that it asks for to each other.
func (r *Registry) askOver(m *Member, req *channel.Message, out []Out) []Out {
	switch {
	case m.id.Authority:
		return m.refuse(req, channel.Denied, "the authority opens no tunnels", out)
	case len(m.held) == 0:
		return m.refuse(req, channel.Strangers, "", out)
	case len(req.VPN) != 1:
		return m.refuse(req, channel.Malformed, "", out)
	}
	asked := r.byVPN[req.VPN[0]]
	if asked == nil || !r.permits(m.as(asked.vpn), asked) {
		return m.refuse(req, channel.Unknown, "", out)
	}
	c := m.as(asked.vpn)
	if asked.member == nil && (c.endpoint == 0 || !c.vpn.Is4()) {
		return m.refuse(req, channel.Denied, m.untold(), out)
	}
	r.openSession(c, asked)
	answer := &channel.Message{
		Type:      channel.Peer,
		VPN:       asked.names(),
		Endpoints: asked.endpointsFor(c),
		Authentic: asked.member != nil,
		Via:       r.viaFor(c, asked),
	}
	asked.describe(c, answer)
	out = m.answer(req, answer, out)
	if asked.member == nil {
		return r.forward(c, asked, out)
	}
	return r.introduce(c, asked, relayed(req.Candidates), out)
}

// maxRelayed is how many addresses at relays one ASK can name.
const maxRelayed = 4

// relayed returns those candidates of an ASK that are for the peer: where it can reach
// the asker through relays.
func relayed(list []punch.Candidate) []punch.Candidate {
	var at []punch.Candidate
	for _, n := range list {
		if n.Kind == punch.Relayed && n.Scope == "" && mayBeHost(n.Addr) && len(at) < maxRelayed {
			at = append(at, n)
		}
	}
	return at
}

// as returns the registration of m with which it talks to v: one of the same
// family if there is one.
func (m *Member) as(v netip.Addr) *client {
	i := slices.IndexFunc(m.held, func(c *client) bool { return c.vpn.Is4() == v.Is4() })
	return m.held[max(i, 0)]
}

// names returns all VPN addresses of the client that c is a registration of, that of
// c first. Tunnels are opened by IPv4 addresses, and so who asks by an IPv6 one has to
// learn the other.
func (c *client) names() []netip.Addr {
	list := []netip.Addr{c.vpn}
	if c.member != nil {
		for _, o := range c.member.held {
			if o != c {
				list = append(list, o.vpn)
			}
		}
	}
	return list
}

// endpointsFor returns where other can reach c, best first. It is nowhere, as far as we
// see, if c comes by a connection: its candidates may say more.
func (c *client) endpointsFor(other *client) []netip.AddrPort {
	var list []netip.AddrPort
	if together(c, other) {
		if c.member != nil {
			list = append(list, c.member.locals...)
		} else {
			list = append(list, c.local.addrPort())
		}
	}
	if at := c.addrPort(); !stream.IsStream(at) {
		list = append(list, at)
	}
	return list
}

// finish forgets that m and the client with address v were introduced, by whichever
// of their addresses.
func (r *Registry) finish(m *Member, v netip.Addr) {
	peer := r.byVPN[v]
	if peer == nil {
		return
	}
	theirs := []*client{peer}
	if peer.member != nil {
		theirs = peer.member.held
	}
	for _, c := range m.held {
		for _, o := range theirs {
			r.closeSession(c, o)
			r.closeSession(o, c)
		}
	}
}

// introduce tells asked, over its channel, where c is that has asked for it: also at
// addresses that are for asked only. It is repeated until the answer comes.
//
// An ASK in clear may be forged, as may be the HELLO before it, and an INTRODUCE is
// larger. So one about a client in clear is sent once, as FWD is, and not again as
// long as it waits for its answer: it is for that client to ask again.
func (r *Registry) introduce(c, asked *client, at []punch.Candidate, out []Out) []Out {
	m := asked.member
	if i := slices.IndexFunc(m.intros, func(i *intro) bool { return slices.Contains(c.names(), i.asker) }); i >= 0 {
		if c.member == nil && !m.intros[i].msg.Authentic {
			return out
		}
		r.dropIntro(m.intros[i]) // it asks again
	} else if len(m.intros) >= maxIntros {
		r.counters.Unheard++
		r.dropIntro(m.intros[0])
	}
	r.introID++
	i := &intro{to: m, asker: c.vpn, msg: &channel.Message{
		Type:      channel.Introduce,
		ID:        r.introID,
		VPN:       c.names(),
		Endpoints: c.endpointsFor(asked),
		Authentic: c.member != nil,
	}}
	i.msg.Candidates, i.msg.Via = at, r.viaFor(c, asked)
	c.describe(asked, i.msg)
	if c.member == nil {
		i.sent = len(introWaits) - 1
	}
	m.intros = append(m.intros, i)
	return r.sendIntro(i, out)
}

// sendIntro sends i, which is in no list.
func (r *Registry) sendIntro(i *intro, out []Out) []Out {
	i.due = r.now + introWaits[i.sent]
	r.intros[i.sent].push(i)
	i.sent++
	return append(out, Out{To: i.to.at, Local: i.to.server, Socket: i.to.socket, Member: i.to, Answer: i.msg})
}

// introduceAgain repeats what was not answered in time.
func (r *Registry) introduceAgain(out []Out) []Out {
	for n := range r.intros {
		waiting := &r.intros[n]
		for i := waiting.first; i != nil && r.now >= i.due; i = waiting.first {
			if i.sent == len(introWaits) {
				r.counters.Unheard++
				r.dropIntro(i)
				continue
			}
			waiting.remove(i)
			out = r.sendIntro(i, out)
		}
	}
	return out
}

// introduced takes the answer of m to an INTRODUCE.
func (r *Registry) introduced(m *Member, id uint32) {
	if i := slices.IndexFunc(m.intros, func(i *intro) bool { return i.msg.ID == id }); i >= 0 {
		r.dropIntro(m.intros[i])
	}
}

func (r *Registry) dropIntro(i *intro) {
	r.intros[i.sent-1].remove(i)
	i.to.intros = slices.DeleteFunc(i.to.intros, func(o *intro) bool { return o == i })
}
