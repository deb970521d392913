package rdv

import (
	"context"
	"crypto/x509"
	"net/netip"
	"slices"
	"time"

	"campagnol/pki"
	"campagnol/pki/policy"
	"campagnol/punch"
	"campagnol/punch/turn/channeldata"
	"campagnol/rdv/channel"
	"campagnol/rdv/relay"
)

// How fast requests to the relay are taken from one network, of hosts that have no
// place there yet or begin anew. A client needs four to begin, and a few a minute. What
// is answered to strangers may go to a victim whose address was forged: it is three
// times as long as the shortest request, without headers.
const (
	relayInterval = 5 * time.Millisecond
	relayBurst    = 2 * time.Second
)

// A RelayGrant is what a member needs to use the relay.
type RelayGrant struct {
	User     string
	Password string
	Lifetime time.Duration
	Addrs    []netip.AddrPort // where the relay is; none: where the server is
}

// SetVia says who this server is to the policy, as a relay.
func (r *Registry) SetVia(m policy.Member) { r.via = m }

// grant gives m credentials for the relay, if it may have what it exchanges with a
// peer relayed. Who may not talk learns nothing of each other.
func (r *Registry) grant(m *Member, req *channel.Message, out []Out) []Out {
	switch {
	case r.cfg.Grant == nil:
		return m.refuse(req, channel.Unsupported, "this server is no relay", out)
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
	if c := m.as(asked.vpn); r.rules != nil {
		if d := r.rules.Relay(c.party(), asked.party(), r.via); !d.Allowed {
			r.trace(Event{Kind: NotRelayed, VPN: c.vpn, Peer: asked.vpn, Code: codeForbidden, Why: d.String()})
			return m.refuse(req, channel.Forbidden, "", out)
		}
	}
	g := r.cfg.Grant(r.clock, m.account())
	r.counters.Grants++
	r.noteRelayed(m, asked)
	return m.answer(req, &channel.Message{
		Type: channel.Relayed, User: g.User, Password: channel.Password(g.Password),
		Lease: uint32(g.Lifetime / time.Second), Endpoints: g.Addrs,
	}, out)
}

// account returns the VPN address on whose account m has data relayed: whichever of
// several it registers, it is the same.
func (m *Member) account() netip.Addr {
	if len(m.id.Addrs) > 0 {
		return slices.MinFunc(m.id.Addrs, netip.Addr.Compare)
	}
	if len(m.held) > 0 {
		return m.held[0].vpn
	}
	return netip.Addr{}
}

// party returns who the server is to a policy: what its certificate says.
func (t *Trust) party() policy.Member {
	if t == nil || len(t.certificate.Certificate) == 0 {
		return policy.Member{}
	}
	leaf, err := x509.ParseCertificate(t.certificate.Certificate[0])
	if err != nil {
		return policy.Member{}
	}
	attrs, err := pki.AttributesOf(leaf)
	if err != nil {
		return policy.Member{}
	}
	return policy.MemberOf(attrs)
}

// useRelay makes the registry issue credentials for the relay, if there is one.
func (s *Server) useRelay(rc *RegistryConfig) {
	if s.cfg.Relay == nil {
		return
	}
	s.cfg.Relay.Watch(s.noteRelay)
	for i, r := range s.receivers {
		r.relaying = limiter{interval: relayInterval, burst: relayBurst}
		r.door = s.cfg.Relay.Door(i)
		if conn, ok := r.conn.(interface{ OnGone(func(netip.AddrPort)) }); ok {
			conn.OnGone(r.door.Gone)
		}
	}
	rc.Grant = func(now time.Time, vpn netip.Addr) RelayGrant {
		user, password := s.cfg.RelaySecret.Issue(now, vpn)
		return RelayGrant{User: user, Password: password, Lifetime: relay.Lifetime, Addrs: s.cfg.RelayAddrs}
	}
}

// runRelay relays until ctx is done. That it cannot harms nobody but those who have no
// other path.
func (s *Server) runRelay(ctx context.Context) {
	if err := s.cfg.Relay.Run(ctx); err != nil {
		s.log.Error("Nothing is relayed", "err", err)
	}
}

// sortAll sorts the payloads of a datagram.
func (r *receiver) sortAll(now time.Time, d punch.Datagram, b *batch) {
	d.Segments(func(payload []byte) bool {
		r.sort(now, d, payload, b)
		return true
	})
}

// takeDatagram sorts the payloads of a datagram. What is for the relay goes there in one piece.
func (r *receiver) takeDatagram(now time.Time, d punch.Datagram, b *batch) {
	if r.door == nil || d.Segment <= 0 && !channeldata.Is(d.Data) {
		r.sortAll(now, d, b)
		return
	}
	size := d.Segment
	if size <= 0 {
		size = len(d.Data)
	}
	for len(d.Data) > 0 {
		if channeldata.Is(d.Data) {
			before := len(d.Data)
			d = r.door.Forward(now, d)
			r.s.stats.received.Add(uint64((before - len(d.Data) + size - 1) / size))
			continue
		}
		n := min(size, len(d.Data))
		r.sort(now, d, d.Data[:n:n], b)
		d.Data = d.Data[n:]
	}
}

// relayRequest takes a message of STUN. It returns false for one that is not for a
// relay.
func (r *receiver) relayRequest(now time.Time, d punch.Datagram, payload []byte) bool {
	if !relay.IsTURN(payload) {
		return false
	}
	n := networkOf(d.Addr.Addr())
	if !r.door.Knows(d.Addr) && !r.relaying.allowNetwork(now.Sub(r.s.begin), uint32(n^n>>32)) {
		r.s.stats.limitedRelaying.Add(1)
		return true
	}
	r.door.Request(now, d.Addr, d.Local, payload)
	return true
}

// flushRelay sends what a batch had for peers.
func (r *receiver) flushRelay() {
	if r.door != nil {
		r.door.Flush()
	}
}

// expel ends what is relayed for a member that is believed no more.
func (s *Server) expel(m *Member) {
	if vpn := m.account(); s.cfg.Relay != nil && vpn.IsValid() {
		s.cfg.Relay.Expel(vpn)
	}
}

func (s *Server) relayStats() relay.Stats {
	if s.cfg.Relay == nil {
		return relay.Stats{}
	}
	return s.cfg.Relay.Stats()
}
