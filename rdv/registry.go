package rdv

import (
	"math"
	"net/netip"
	"time"

	"campagnol/pki/policy"
	"campagnol/rdv/wire"
)

const (
	// staleAfter is the silence after which a client no longer defends what
	// it holds: its VPN address against another endpoint, its endpoint
	// against another VPN address. Clients ping every 3 s. A stale client is
	// still introduced to those who ask for it, since one lost PING makes a
	// client stale.
	staleAfter = 5 * time.Second

	// deadAfter is the silence after which a client is forgotten.
	deadAfter = 10 * time.Second

	// probeWait is how long the holder of a contested VPN address has to show
	// that it is alive. The round trip to a client is far shorter, and an
	// original client repeats a refused HELLO after 1 s.
	probeWait = time.Second

	// settleTime is how long the first of our sockets that a client has said HELLO to
	// is the one that it is at: one far away tries several before the first can answer.
	settleTime = time.Second

	// probeInterval is the least time between two probes for a VPN address,
	// so that an obstinate newcomer cannot keep its holder busy.
	probeInterval = 5 * time.Second
)

// RegistryConfig configures a Registry. The zero value is useful.
type RegistryConfig struct {
	// MaxClients is how many clients can be registered; 0 means any number.
	MaxClients int

	// Mode says who may register in clear.
	Mode Mode

	// Software is what clients with a channel are told of this program.
	Software string

	// Offer takes what the authority has sent; nil: its objects are not fetched.
	// It is called within Handle and Advance, and keeps the content.
	Offer func(Offered)

	// Serve hands a request to the authority in this process, whose answer comes
	// with Answered. It returns false if that has too much to do. It keeps the
	// request. nil: there is none.
	Serve func(id uint32, from netip.AddrPort, request []byte) bool

	// Grant issues credentials for the relay, good for a time from now on, to a
	// member that is known by a VPN address; nil: there is no relay.
	Grant func(now time.Time, vpn netip.Addr) RelayGrant

	// Jitter returns random numbers in [0, 1); nil: always 0.
	Jitter func() float64

	// Trace, if it is not nil, is called for each change, within Handle and
	// Advance.
	Trace func(Event)
}

// A Registry knows which clients are registered, at which endpoints, and
// decides what they are answered.
//
// Time comes in with each call and is only ever compared with the time of
// earlier calls; time that runs backwards counts as time that stands still.
//
// A Registry is not safe for concurrent use: one goroutine owns it. Each
// operation takes constant time, except for the removal of a client, which
// takes time in proportion to its sessions.
type Registry struct {
	cfg   RegistryConfig
	rules *policy.Policy // who may talk with whom; nil: everybody
	via   policy.Member  // who this server is to the policy, as a relay
	start time.Time      // time of the first call
	now   time.Duration
	clock time.Time // of the last call, for what others are told of it

	byEndpoint map[endpoint]*client   // those in clear
	byVPN      map[netip.Addr]*client // all; the zero Addr is 0.0.0.0
	byAge      list[client]           // those in clear, by time of the last sign of life

	members  map[spot]*Member
	memberBy list[Member]                 // by time of the last sign of life
	holders  int                          // members that are registered
	intros   [len(introWaits)]list[intro] // by how often they were sent, then by age
	introID  uint32
	owners   owners
	push     push
	intake   intake
	desk     desk
	roll     roll
	relays   relays

	sessions  sessions
	strangers limiter
	counters  Counters
}

// A client is one registration of one VPN address.
type client struct {
	member   *Member  // nil: registered in clear
	endpoint endpoint // on its socket; 0: IPv6, which only a member can have
	local    endpoint // in its own network; 0: not published
	vpn      netip.Addr
	server   ip4           // address of this host that it uses
	probing  bool          // not heard since probed
	since    time.Duration // when it has registered
	asks     [2]uint32     // how often it has asked for others, and others for it
	heard    time.Duration // last HELLO that was accepted, or PING
	probed   time.Duration // last probe of this VPN address, or never
	warned   time.Duration // last Downgraded about it, of a member, or never
	age      links[client]
	sessions [2]*session // those that it asked for, and those it was asked for
}

// never is earlier than any time by more than any interval.
const never = time.Duration(math.MinInt64 / 4)

// NewRegistry returns an empty Registry.
func NewRegistry(cfg RegistryConfig) *Registry {
	r := &Registry{
		cfg:        cfg,
		byEndpoint: map[endpoint]*client{},
		byVPN:      map[netip.Addr]*client{},
		byAge:      list[client]{links: func(c *client) *links[client] { return &c.age }},
		sessions:   newSessions(),
		members:    map[spot]*Member{},
		memberBy:   list[Member]{links: func(m *Member) *links[Member] { return &m.age }},
		owners:     newOwners(),
		push:       push{began: never},
		desk:       newDesk(),
		strangers:  limiter{interval: strangerInterval, burst: strangerBurst},
	}
	for i := range r.intros {
		r.intros[i].links = func(i *intro) *links[intro] { return &i.age }
	}
	return r
}

// Len returns the number of registered clients.
func (r *Registry) Len() int { return len(r.byEndpoint) + r.holders }

// Members returns the number of clients that have a channel.
func (r *Registry) Members() int { return len(r.members) }

// Sessions returns the number of introductions that the registry remembers.
func (r *Registry) Sessions() int { return len(r.sessions.byPair) }

// Counters returns what was not answered.
func (r *Registry) Counters() Counters { return r.counters }

// VPN returns the VPN address that is registered from endpoint from at a socket. The
// address 0.0.0.0, which can be registered too, is the zero Addr.
//
// Of the addresses of a client with a channel it is the first.
func (r *Registry) VPN(from netip.AddrPort, socket uint8) (netip.Addr, bool) {
	if m := r.members[spot{from, socket}]; m != nil {
		if len(m.held) == 0 {
			return netip.Addr{}, false
		}
		return m.held[0].vpn, true
	}
	if e, ok := endpointOf(from); ok {
		if c := r.byEndpoint[e.on(socket)]; c != nil {
			return c.vpn, true
		}
	}
	return netip.Addr{}, false
}

// Handle takes a message and appends the messages to send, mostly at most two, to
// out; to the authority there may be a few FETCHes.
// What it says about others stays in clear if they have no channel.
//
// On a host with several addresses, or sockets, a client is always sent messages from
// the one that it uses: its NAT may let nothing else in.
func (r *Registry) Handle(now time.Time, in In, out []Out) []Out {
	r.advance(now)
	if in.Member != nil {
		return r.handleMember(in.Member, in.Request, out)
	}
	if m := r.member(in.spot()); m != nil {
		return r.handleClear(m, in, out)
	}
	e, ok := endpointOf(in.From)
	if !ok {
		return r.foreigner(in, out)
	}
	e = e.on(in.Socket)
	c := r.byEndpoint[e]
	if c != nil {
		c.probing = false // whatever it says, it is alive
	}
	switch in.Msg.Type {
	case wire.Hello:
		return r.hello(c, e, in, out)
	case wire.Ping, wire.Ask, wire.Close, wire.Bye:
		if c == nil {
			return r.stranger(e, in, wire.Reconnect, out)
		}
	default:
		// Answering what servers and peers say, as the original does, would
		// let one forged datagram start two servers answering each other.
		r.counters.Unexpected++
		return out
	}
	switch in.Msg.Type {
	case wire.Ping:
		r.refresh(c, in)
		out = append(out, reply(in, wire.Pong))
	case wire.Ask:
		out = r.ask(c, in, out)
	case wire.Close:
		if peer := r.byVPN[vpnOf(in.Msg.IP1)]; peer != nil {
			r.closeSession(c, peer)
			r.closeSession(peer, c)
		}
	case wire.Bye:
		r.remove(c) // its ip1 is not looked at: the endpoint is who they are
	}
	return out
}

// Advance does what is due at now.
func (r *Registry) Advance(now time.Time, out []Out) []Out {
	r.advance(now)
	out = r.introduceAgain(out)
	out = r.notices(out)
	out = r.fetchAgain(out)
	return r.applyExpired(out)
}

// Timeout returns when Advance has something to do, or the zero Time if it will
// not have anything to do before the next Handle.
func (r *Registry) Timeout() time.Time {
	due := time.Duration(math.MaxInt64)
	if c := r.byAge.first; c != nil {
		due = c.heard + deadAfter
	}
	if s := r.sessions.byAge.first; s != nil {
		due = min(due, s.asked+sessionLifetime)
	}
	if m := r.memberBy.first; m != nil {
		due = min(due, m.heard+deadAfter)
	}
	for i := range r.intros {
		if first := r.intros[i].first; first != nil {
			due = min(due, first.due)
		}
	}
	if r.push.active {
		due = min(due, r.push.due)
	}
	for i := range r.intake.asked {
		due = min(due, r.intake.asked[i].due)
	}
	if a := r.desk.byAge.first; a != nil {
		due = min(due, a.since+applyTime)
	}
	if due == math.MaxInt64 {
		return time.Time{}
	}
	return r.start.Add(due)
}

// advance sets the time and removes what has expired.
func (r *Registry) advance(now time.Time) {
	if r.start.IsZero() {
		r.start = now
	}
	r.clock = now
	// The bound, 73 years, keeps sums of times from overflowing.
	r.now = min(max(r.now, now.Sub(r.start)), -never)
	for c := r.byAge.first; c != nil && r.now-c.heard >= deadAfter; c = r.byAge.first {
		r.remove(c)
	}
	for m := r.memberBy.first; m != nil && r.now-m.heard >= deadAfter; m = r.memberBy.first {
		r.drop(m, whySilent)
	}
	for s := r.sessions.byAge.first; s != nil && r.now-s.asked >= sessionLifetime; s = r.sessions.byAge.first {
		r.dropSession(s)
	}
}

// hello handles a HELLO from endpoint e, which is that of c, or of nobody if c
// is nil.
//
// The VPN address goes to e unless it has a holder at another endpoint that is
// alive:
//
//	      HELLO from elsewhere: NOK, and RECONNECT to the holder
//	alive ──────────────────────────────────────────────────────▶ probed
//	 │  ▲                                                          │  │
//	 │  └─────────────── any message from the holder ──────────────┘  │ 1 s without
//	 │                                                                ▼
//	 └── 5 s without PING ─────▶ yields to the next HELLO from elsewhere: OK
func (r *Registry) hello(c *client, e endpoint, in In, out []Out) []Out {
	v := vpnOf(in.Msg.IP1)
	local, _ := endpointOf(in.Msg.Local())
	if r.denies(v, in) {
		r.counters.Denied++
		return r.refuse(c, e, in, out)
	}
	if c != nil && c.vpn == v {
		c.local = local
		r.refresh(c, in)
		return append(out, reply(in, wire.OK))
	}
	if c != nil && !r.stale(c) {
		return append(out, reply(in, wire.NOK))
	}
	probed := never
	if holder := r.byVPN[v]; holder != nil {
		if holder.endpoint.on(0) == e.on(0) && r.now-holder.heard < settleTime {
			return append(out, reply(in, wire.OK)) // its next PING shows where it is
		}
		if !r.yields(holder, e) {
			r.trace(Event{Kind: Conflict, Endpoint: in.From, VPN: v, Code: codeTaken})
			return r.refuse(c, e, in, r.probe(holder, out))
		}
		probed = holder.probed // the interval between probes is the address's
		r.remove(holder)
	}
	if c != nil {
		r.remove(c)
	}
	if r.cfg.MaxClients > 0 && r.Len() >= r.cfg.MaxClients {
		r.trace(Event{Kind: TableFull, Endpoint: in.From, VPN: v, Code: codeFull})
		return r.refuse(nil, e, in, out)
	}
	r.add(&client{endpoint: e, vpn: v, local: local, server: ip4Of(in.Local), since: r.now, heard: r.now, probed: probed})
	return append(out, reply(in, wire.OK))
}

// stale reports whether c was silent for too long to defend what it holds.
func (r *Registry) stale(c *client) bool { return r.now-c.heard > staleAfter }

// yields reports whether the holder of a VPN address has to give it to a client at
// endpoint e. One that differs by the socket only is the same client.
func (r *Registry) yields(holder *client, e endpoint) bool {
	return r.stale(holder) || holder.endpoint.on(0) == e.on(0) || holder.probing && r.now-holder.probed >= probeWait
}

// probe makes the holder of a VPN address show that it is alive: RECONNECT
// makes a client of either generation say HELLO at once.
func (r *Registry) probe(holder *client, out []Out) []Out {
	if r.now-holder.probed < probeInterval {
		return out
	}
	holder.probing, holder.probed = true, r.now
	return append(out, holder.out(wire.Message{Type: wire.Reconnect}))
}

// refuse answers a HELLO from endpoint e, which is that of c, or of nobody.
func (r *Registry) refuse(c *client, e endpoint, in In, out []Out) []Out {
	if c == nil {
		return r.stranger(e, in, wire.NOK, out)
	}
	return append(out, reply(in, wire.NOK))
}

// stranger answers an endpoint that is not registered, which may be forged.
func (r *Registry) stranger(e endpoint, in In, t wire.Type, out []Out) []Out {
	if !r.strangers.allow(r.now, e) {
		r.counters.Limited++
		return out
	}
	return append(out, reply(in, t))
}

// ask introduces c and the client that it asks for to each other.
func (r *Registry) ask(c *client, in In, out []Out) []Out {
	wanted := in.Msg.IP1
	asked := r.byVPN[vpnOf(wanted)]
	if asked == nil || asked.endpoint == 0 || !r.permits(c, asked) { // endpoint 0: at an address that no ANS can name
		return append(out, Out{To: in.From, Local: in.Local, Socket: in.Socket, Msg: wire.Message{Type: wire.Reject, IP1: wanted}})
	}
	r.openSession(c, asked)
	out = append(out, Out{To: in.From, Local: in.Local, Socket: in.Socket, Msg: introduction(wire.Answer, asked.seenBy(c), asked.vpn)})
	return r.forward(c, asked, out)
}

// forward tells asked about the client that has asked for it.
func (r *Registry) forward(c, asked *client, out []Out) []Out {
	if asked.member != nil {
		return r.introduce(c, asked, nil, out)
	}
	return append(out, asked.out(introduction(wire.Forward, c.seenBy(asked), c.vpn)))
}

// together reports whether two clients are behind the same NAT, which need not do
// hairpinning, and can meet inside.
func together(a, b *client) bool {
	return a.endpoint != 0 && a.local != 0 && b.local != 0 && a.endpoint.ip() == b.endpoint.ip()
}

// seenBy returns where other can reach c.
func (c *client) seenBy(other *client) endpoint {
	if together(c, other) {
		return c.local
	}
	return c.endpoint
}

// refresh notes a sign of life.
func (r *Registry) refresh(c *client, in In) {
	c.heard = r.now
	c.server = ip4Of(in.Local)
	r.byAge.remove(c)
	r.byAge.push(c)
}

func (r *Registry) add(c *client) {
	r.byEndpoint[c.endpoint] = c
	r.byVPN[c.vpn] = c
	r.byAge.push(c)
	r.trace(Event{Kind: ClientAdded, Endpoint: c.endpoint.addrPort(), VPN: c.vpn})
}

// addrPort returns the endpoint of c.
func (c *client) addrPort() netip.AddrPort {
	if c.member != nil {
		return c.member.at
	}
	return c.endpoint.addrPort()
}

// remove removes c and its sessions.
func (r *Registry) remove(c *client) {
	r.trace(c.removal())
	for role := range c.sessions {
		for c.sessions[role] != nil {
			r.dropSession(c.sessions[role])
		}
	}
	delete(r.byVPN, c.vpn)
	if c.member != nil {
		r.release(c)
		return
	}
	r.byAge.remove(c)
	delete(r.byEndpoint, c.endpoint)
}

// removal returns the event that c is removed.
func (c *client) removal() Event {
	if c.member == nil {
		return Event{Kind: ClientRemoved, Endpoint: c.addrPort(), VPN: c.vpn}
	}
	e := c.member.event(ClientRemoved)
	e.VPN = c.vpn
	return e
}

// jitter returns a random number in [0, 1).
func (c *RegistryConfig) jitter() float64 {
	if c.Jitter == nil {
		return 0
	}
	return c.Jitter()
}

func (r *Registry) trace(e Event) {
	if r.cfg.Trace != nil {
		r.cfg.Trace(e)
	}
}
