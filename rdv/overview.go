package rdv

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"campagnol/punch/nat"
	"campagnol/punch/stream"
	"campagnol/rdv/relay"
)

const (
	// lookAtOnce is how many clients control describes before it goes on with its
	// work: those take less than a millisecond.
	lookAtOnce = 256

	// maxPairs is how many introductions an overview has: the newest.
	maxPairs = 4096

	// maxSoftware bounds the name of a client's program, in bytes.
	maxSoftware = 64
)

// An Overview is what a server knows.
type Overview struct {
	Time, Started time.Time
	Mode          Mode
	Software      string
	MaxClients    int // 0: any number

	// Relays says that the server relays for members.
	Relays bool

	Clients []ClientInfo // by VPN address
	Pairs   []PairInfo   // who was introduced to whom, the latest first
	Stats   Stats

	// Pace is how many pairs were introduced in each interval, the oldest first; the
	// last interval goes on.
	Pace         []uint32
	PaceInterval time.Duration

	Refusals []Entry // the last ones, the oldest first
}

// A ClientInfo is what a server knows of a client.
type ClientInfo struct {
	VPN      []netip.Addr // all addresses that it has registered, at least one
	Endpoint netip.AddrPort
	Stream   bool // it comes by TCP
	Channel  bool // it has one; else it is registered in clear
	Since    time.Time
	Heard    time.Time // the last sign of life

	// The rest is known of those with a channel alone.
	Name       string
	Software   string // as it says
	Expires    time.Time
	NAT        nat.Behaviour // as it says
	Candidates int           // places where it can be reached besides, as it says
	Relaying   bool          // it relays for others

	Relay relay.Use // of this server

	Asked, Wanted uint64 // how often it has asked for others, and others for it

	account netip.Addr // on which its use of the relay goes
}

// A PairInfo is that one client was introduced to another.
type PairInfo struct {
	Asker, Asked netip.Addr // the first addresses of both
	Time         time.Time  // the last time

	// Relayed says that one of them got credentials for the relay, for the other. That
	// says little: who finds no direct path at once begins by a relay.
	Relayed bool

	// RelayedAt is when this server has last relayed something between them, within
	// flowMemory; zero: it has not, or cannot tell that it was for these two.
	RelayedAt time.Time
}

// Overview returns what the server knows. With many clients, some may come and go
// while it is made. It is safe for concurrent use, and waits until the server runs.
func (s *Server) Overview(ctx context.Context) (*Overview, error) {
	o := &Overview{
		Mode: s.cfg.Mode, Software: s.cfg.Software, MaxClients: s.cfg.MaxClients, Relays: s.cfg.Relay != nil,
	}
	var rest []netip.Addr
	err := s.look(ctx, func(now time.Time) {
		o.Time, o.Started = now, s.begin
		rest = s.registry.addrs()
		o.Pairs = s.registry.pairs()
	})
	for err == nil && len(rest) > 0 {
		part := rest[:min(len(rest), lookAtOnce)]
		rest = rest[len(part):]
		err = s.look(ctx, func(time.Time) { o.Clients = s.registry.describe(part, o.Clients) })
	}
	if err != nil {
		return nil, err
	}
	s.addUses(o)
	slices.SortFunc(o.Clients, func(a, b ClientInfo) int { return a.VPN[0].Compare(b.VPN[0]) })
	o.Stats = s.Stats()
	o.Pace, o.PaceInterval = s.history.Pace(o.Time)
	o.Refusals = s.history.Refusals()
	return o, nil
}

// look has control call f, and waits for it.
func (s *Server) look(ctx context.Context, f func(now time.Time)) error {
	done := make(chan struct{})
	select {
	case s.looks <- func() { f(time.Now()); close(done) }:
		<-done
		return nil
	case <-s.stopped:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// addUses adds what members have of the relay.
func (s *Server) addUses(o *Overview) {
	if s.cfg.Relay == nil {
		return
	}
	uses := s.cfg.Relay.Uses()
	for i := range o.Clients {
		if a := o.Clients[i].account; a.IsValid() {
			o.Clients[i].Relay = uses[a.String()]
		}
	}
	markRelayed(o.Pairs, o.Clients, s.cfg.Relay.Flows(o.Time.Add(-flowMemory)))
}

// addrs returns all VPN addresses that are registered.
func (r *Registry) addrs() []netip.Addr {
	list := make([]netip.Addr, 0, len(r.byVPN))
	for v := range r.byVPN {
		list = append(list, v)
	}
	return list
}

// pairs returns the latest introductions.
func (r *Registry) pairs() []PairInfo {
	list := make([]PairInfo, 0, min(len(r.sessions.byPair), maxPairs))
	for s := r.sessions.byAge.last; s != nil && len(list) < maxPairs; s = s.age.prev {
		list = append(list, PairInfo{
			Asker: s.clients[0].main(), Asked: s.clients[1].main(), Time: r.start.Add(s.asked), Relayed: s.relayed,
		})
	}
	return list
}

// main returns the address of a client by which an overview names it.
func (c *client) main() netip.Addr {
	if c.member != nil {
		return addr(slices.MinFunc(c.member.held, func(a, b *client) int { return compareFamily(a.vpn, b.vpn) }).vpn)
	}
	return addr(c.vpn)
}

// compareFamily sorts IPv4 addresses first: tunnels are opened by them.
func compareFamily(a, b netip.Addr) int {
	return cmp.Or(cmp.Compare(a.BitLen(), b.BitLen()), a.Compare(b))
}

// describe appends the clients that are registered by addresses, each once.
func (r *Registry) describe(addrs []netip.Addr, list []ClientInfo) []ClientInfo {
	for _, v := range addrs {
		c := r.byVPN[v]
		if c == nil || c.main() != addr(v) {
			continue // it has left, or comes by another address
		}
		info := ClientInfo{
			VPN: []netip.Addr{addr(v)}, Endpoint: stream.Real(c.addrPort()), Stream: stream.IsStream(c.addrPort()),
			Since: r.start.Add(c.since), Heard: r.start.Add(c.heard),
			Asked: uint64(c.asks[0]), Wanted: uint64(c.asks[1]),
		}
		if c.member != nil {
			r.describeMember(c, &info)
		}
		list = append(list, info)
	}
	return list
}

// describeMember adds what is known of a client with a channel.
func (r *Registry) describeMember(c *client, info *ClientInfo) {
	m := c.member
	for _, o := range m.held {
		if o != c {
			info.VPN = append(info.VPN, addr(o.vpn))
			info.Asked += uint64(o.asks[0])
			info.Wanted += uint64(o.asks[1])
		}
	}
	slices.SortFunc(info.VPN, compareFamily)
	told := m.said()
	info.Channel = true
	info.Heard = r.start.Add(m.heard)
	info.Name, info.Software = m.id.Name, m.software
	if at := m.id.Expires; at != 0 {
		info.Expires = time.Unix(at, 0)
	}
	info.NAT, info.Candidates = told.NAT, len(told.Candidates)
	info.account = m.account()
	info.Relaying = slices.Contains(r.relays.members, m)
}
