package rdv

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/pki"
	"campagnol/punch/stream"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// An Identity is who is at the other end of a channel, as its certificate says.
type Identity struct {
	Key   pki.KeyID
	Name  string       // for people
	Addrs []netip.Addr // the VPN addresses that it may register; none: any one
	Leaf  []byte       // its certificate, in DER, for the policy

	Serial string // of its certificate, for people

	Expires int64 // when its certificate ends, in seconds since 1970; 0: not known

	// Authority says that it is the VPN's authority, which is no member of the VPN:
	// it gets no address.
	Authority bool
}

// A Member is a client with a channel. It belongs to the [Registry].
type Member struct {
	at     netip.AddrPort // where it comes from; as package punch/stream has it, if that is a connection
	server netip.Addr     // address of this host that it uses, with socket
	id     Identity
	held   []*client        // its registrations
	locals []netip.AddrPort // where it can be reached in its own network
	told   []byte           // what else it says about reaching it, see keep
	intros []*intro         // those that it has not answered
	heard  time.Duration    // last record or PING
	age    links[Member]

	noticed uint16 // the generation of objects that it knows of; 0: none
	socket  uint8
	fetched uint32 // when it would have used nothing of its share of pieces, see mayFetch

	listed time.Duration // when it would have used nothing of its share of lists, see listFor

	software string // of the client, as it says

	attrs *pki.Attributes // of its certificate; nil: not read yet

	channel *sealed // of the Server; the registry does not look at it
}

// Why a channel is over.
const (
	whySilent   = "it is silent"
	whyBye      = "it leaves"
	whyReplaced = "another client is at its endpoint"
	whyMoved    = "it has registered from elsewhere"
)

// Join makes a member of a client that has authenticated itself. It takes the place of whoever was there. If that was the same client, its
// registrations go on.
func (r *Registry) Join(now time.Time, at spot, server netip.Addr, id Identity) *Member {
	r.advance(now)
	m := &Member{at: at.AddrPort, server: server, socket: at.socket, id: id, heard: r.now, fetched: r.millis()}
	if e, ok := endpointOf(at.AddrPort); ok {
		if c := r.byEndpoint[e.on(at.socket)]; c != nil {
			r.remove(c)
		}
	}
	if old := r.members[at]; old != nil {
		if old.id.Key == id.Key {
			r.inherit(m, old)
		} else {
			r.drop(old, whyReplaced)
		}
	}
	r.members[at] = m
	r.memberBy.push(m)
	r.trace(m.event(ChannelOpened))
	return m
}

// inherit gives m what old, the same client over an older channel, has.
func (r *Registry) inherit(m, old *Member) {
	m.held, m.locals, m.told, m.intros, m.software = old.held, old.locals, old.told, old.intros, old.software
	old.held, old.intros = nil, nil
	r.memberBy.remove(old)
	r.leaveDesk(old)
	if slices.Contains(r.relays.members, old) {
		r.setRelays(old, false)
		r.setRelays(m, true)
	}
	m.fetched = old.fetched
	for _, c := range m.held {
		c.member = m
	}
	for _, i := range m.intros {
		i.to = m
	}
	for _, c := range slices.Clone(m.held) {
		if !m.id.allows(c.vpn) { // the certificate is another one, of the same key
			r.remove(c)
		}
	}
}

// Leave ends the channel of a member, for a reason that is logged.
func (r *Registry) Leave(now time.Time, m *Member, why string) {
	r.advance(now)
	if r.members[m.spot()] == m {
		r.drop(m, why)
	}
}

// spot returns where m is.
func (m *Member) spot() spot { return spot{m.at, m.socket} }

// member returns the member at a spot, or nil.
func (r *Registry) member(at spot) *Member {
	if len(r.members) == 0 { // spares a server without channels the search
		return nil
	}
	return r.members[at]
}

// drop removes m and all that it has.
func (r *Registry) drop(m *Member, why string) {
	delete(r.members, m.spot())
	r.memberBy.remove(m)
	r.leaveDesk(m)
	r.setRelays(m, false)
	for len(m.held) > 0 {
		r.remove(m.held[len(m.held)-1])
	}
	for len(m.intros) > 0 {
		r.dropIntro(m.intros[0])
	}
	e := m.event(ChannelClosed)
	e.Why = why
	r.trace(e)
}

// leaveDesk notes that m is no authority any more, if it was one.
func (r *Registry) leaveDesk(m *Member) {
	if !m.id.Authority {
		return
	}
	if r.registered(m) {
		r.desk.dismiss(m)
		r.trace(m.event(AuthorityGone))
	}
	if r.intake.from == m {
		r.intake.stop()
	}
}

// release takes c, which is being removed, away from its member.
func (r *Registry) release(c *client) {
	m := c.member
	r.owners.note(r.now, c.vpn, c.warned)
	m.held = slices.DeleteFunc(m.held, func(o *client) bool { return o == c })
	if len(m.held) == 0 {
		r.holders--
	}
}

// handleClear takes what has come in clear from the endpoint of a member: anybody
// can have sent it.
func (r *Registry) handleClear(m *Member, in In, out []Out) []Out {
	if in.Msg.Type != wire.Ping {
		r.counters.Clear++
		return out
	}
	r.hear(m)
	return append(out, reply(in, wire.Pong))
}

// hear notes a sign of life.
func (r *Registry) hear(m *Member) {
	m.heard = r.now
	r.memberBy.remove(m)
	r.memberBy.push(m)
}

// handleMember takes what a member says over its channel.
func (r *Registry) handleMember(m *Member, req *channel.Message, out []Out) []Out {
	if r.members[m.spot()] != m {
		return out // it has left
	}
	r.hear(m)
	switch req.Type {
	case channel.Register:
		return r.register(m, req, out)
	case channel.Ask:
		return r.askOver(m, req, out)
	case channel.Finished:
		if len(req.VPN) == 1 {
			r.finish(m, req.VPN[0])
		}
		return m.answer(req, &channel.Message{Type: channel.Done}, out)
	case channel.List:
		return r.listFor(m, req, out)
	case channel.Relay:
		return r.grant(m, req, out)
	case channel.Bye:
		r.drop(m, whyBye)
	case channel.Done:
		r.introduced(m, req.ID)
		r.noticed(m, req.ID)
	case channel.Refused:
		r.introduced(m, req.ID)
		if m.id.Authority {
			return r.refused(m, req, out)
		}
	case channel.Fetch:
		return r.fetch(m, req, out)
	case channel.Apply:
		return r.applyOver(m, req, out)
	case channel.Notice:
		return r.offered(m, req, out)
	case channel.Chunk:
		return r.arrived(m, req, out)
	case channel.Answer:
		return r.answerOver(m, req, out)
	case channel.Registered, channel.Peer, channel.Listed, channel.Relayed:
		r.counters.Unexpected++ // to answer an answer could go on for ever
	default:
		return m.refuse(req, channel.Unsupported, "", out)
	}
	return out
}

// answer appends the answer to a request of m.
func (m *Member) answer(req, answer *channel.Message, out []Out) []Out {
	answer.ID = req.ID
	return append(out, Out{To: m.at, Local: m.server, Socket: m.socket, Member: m, Answer: answer})
}

func (m *Member) refuse(req *channel.Message, why channel.Reason, text string, out []Out) []Out {
	return m.answer(req, &channel.Message{Type: channel.Refused, Reason: why, Text: text}, out)
}

// allows reports whether its holder may register v.
func (id *Identity) allows(v netip.Addr) bool {
	if !v.IsValid() || v.IsUnspecified() || v.IsLoopback() || v.IsMulticast() {
		return false
	}
	return len(id.Addrs) == 0 || slices.Contains(id.Addrs, v)
}

// register gives m the addresses that it wants, all or none, instead of those that
// it has. A client that is registered registers again to tell where it can be reached
// by now.
func (r *Registry) register(m *Member, req *channel.Message, out []Out) []Out {
	slices.SortFunc(req.VPN, netip.Addr.Compare)
	wanted := slices.Compact(req.VPN)
	if why := r.mayRegister(m, wanted); why != 0 {
		var v netip.Addr
		if len(wanted) > 0 {
			v = wanted[0]
		}
		e := m.event(Refused)
		e.VPN, e.Code, e.Why = v, codes[why], why.String()
		r.trace(e)
		return m.refuse(req, why, "", out)
	}
	if m.id.Authority {
		r.enlist(m)
		return r.welcome(m, req, out)
	}
	if len(m.held) == 0 && !r.makeRoom(wanted) {
		e := m.event(TableFull)
		e.VPN, e.Code = wanted[0], codeFull
		r.trace(e)
		return m.refuse(req, channel.Full, "", out)
	}
	for _, v := range wanted {
		r.take(m, v)
	}
	for _, c := range slices.Clone(m.held) {
		if !slices.Contains(wanted, c.vpn) {
			r.remove(c)
		}
	}
	m.publish(req.Endpoints)
	m.keep(req)
	r.setRelays(m, req.Relays)
	m.software = bounded(req.Software, maxSoftware)
	return r.welcome(m, req, out)
}

// welcome tells m that it is registered, and which objects there are.
func (r *Registry) welcome(m *Member, req *channel.Message, out []Out) []Out {
	m.noticed = r.push.generation
	return m.answer(req, &channel.Message{
		Type:      channel.Registered,
		Endpoints: []netip.AddrPort{stream.Real(m.at)},
		Lease:     uint32(deadAfter / time.Second),
		Software:  r.cfg.Software,
		Objects:   r.push.catalog.all(),
	}, out)
}

// mayRegister returns why m does not get the addresses that it wants, or 0.
func (r *Registry) mayRegister(m *Member, wanted []netip.Addr) channel.Reason {
	switch {
	case m.id.Authority && len(wanted) > 0:
		return channel.NotYours
	case m.id.Authority:
		return 0
	case len(wanted) == 0:
		return channel.Malformed
	case len(m.id.Addrs) == 0 && len(wanted) > 1:
		return channel.NotYours
	}
	for _, v := range wanted {
		if !m.id.allows(v) {
			return channel.NotYours
		}
	}
	for _, v := range wanted {
		if c := r.byVPN[v]; c != nil && c.member != nil && c.member.id.Key != m.id.Key && r.now-c.member.heard <= staleAfter {
			return channel.Taken
		}
	}
	return 0
}

// makeRoom reports whether another client can register, with the addresses that it
// wants. If need be, the one in clear that was silent for longest has to go: else
// whoever forges HELLOs could keep the others out.
func (r *Registry) makeRoom(wanted []netip.Addr) bool {
	if r.cfg.MaxClients <= 0 || r.Len() < r.cfg.MaxClients {
		return true
	}
	for _, v := range wanted {
		if c := r.byVPN[v]; c != nil && (c.member == nil || len(c.member.held) == 1) {
			return true // whoever has it goes
		}
	}
	if r.byAge.first == nil {
		return false
	}
	r.remove(r.byAge.first)
	return true
}

// take gives v to m.
func (r *Registry) take(m *Member, v netip.Addr) {
	c := r.byVPN[v]
	switch {
	case c == nil:
	case c.member == m:
		return
	default:
		holder := c.member
		if holder != nil && holder.id.Key == m.id.Key {
			e := m.event(Moved)
			e.VPN = v
			r.trace(e)
		}
		r.remove(c)
		if holder != nil && len(holder.held) == 0 {
			r.drop(holder, whyMoved)
		}
	}
	at, _ := endpointOf(m.at)
	warned := never
	if o := r.owners.find(r.now, v); o != nil {
		warned = o.warned
		r.owners.forget(o)
	}
	c = &client{member: m, endpoint: at, vpn: v, since: r.now, warned: warned}
	if len(m.held) == 0 {
		r.holders++
	}
	m.held = append(m.held, c)
	r.byVPN[v] = c
	e := m.event(ClientAdded)
	e.VPN = v
	r.trace(e)
}

// publish notes where m can be reached in its own network.
func (m *Member) publish(locals []netip.AddrPort) {
	m.locals = slices.Clip(locals)
	var first endpoint
	for _, l := range locals {
		if e, ok := endpointOf(l); ok {
			first = e
			break
		}
	}
	for _, c := range m.held {
		c.local = first
	}
}
