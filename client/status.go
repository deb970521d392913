package client

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"campagnol/punch/hard"
	"campagnol/punch/nat"
	punchstream "campagnol/punch/stream"
	"campagnol/tunnel/device"
	"campagnol/tunnel/filter"
)

// A Status is a snapshot of a Client.
type Status struct {
	VPNAddr    netip.Addr
	Registered bool              // at an RDV at least
	RDVs       []RDVStatus       // in the order of the Settings
	Peers      []PeerStatus      // by VPN address
	Refusals   []Refusal         // the last ones, newest first
	Failures   []Failure         // of peers that could not be reached, by VPN address
	Offloads   device.Offloads   // of the device
	Drops      map[string]uint64 // by reason
	Ethernet   *EthernetStatus   // nil: IP packets are carried
	HardNAT    hard.Cost         // of looking for ways through hard NATs
	NAT        nat.Behaviour     // between us and the Internet
	Relayed    *RelayStatus      // for others; nil: we are no relay
	Filter     filter.Counters   // of the policy's filters
	Tally      Tally
}

// An RDVStatus says how a Client is registered at an RDV.
type RDVStatus struct {
	Name       string         // of the Settings
	Addr       netip.AddrPort // where it is, or is looked for first
	Used       bool           // we are registered or try to be; else it is a spare
	Registered bool
	Silent     bool // it knows us, but has not answered for a while

	Auth          Auth      // of the Settings
	Authenticated bool      // over the authenticated channel, not in clear
	Stream        bool      // and that is over a stream, since UDP gets no answer
	Since         time.Time // registered; zero: we are not

	// Of the channel; zero without one.
	Server   ServerIdentity
	Cipher   string
	Endpoint netip.AddrPort // where the RDV sees us; zero: by a stream, where nobody finds us

	// Refusal is why there was no channel when it was tried last, made for
	// people; empty if there was one, or the RDV seems to have none.
	Refusal   string
	RefusedAt time.Time
}

// A Failure says why there is no session with a peer.
type Failure struct {
	VPNAddr netip.Addr
	Time    time.Time
	Reason  string // made for people

	// Legacy says that the peer and we have no version or cipher suite of DTLS
	// in common, so that nothing but a change at one end helps.
	Legacy bool
}

// A PeerStatus is a snapshot of what a Client knows of a peer. The counters are
// those of the session.
type PeerStatus struct {
	VPNAddr  netip.Addr     // by which it is known
	Name     string         // in its certificate
	Ends     time.Time      // of its certificate; zero: not known
	Addrs    []netip.Addr   // all that it has, VPNAddr first
	Networks []netip.Prefix // behind it, that are reached through it
	State    string         // NEW, PUNCHING, LINKED or ESTABLISHED
	Addr     netip.AddrPort // of the session's path
	PathMTU  int            // in bytes; 0: not known to be small
	Path     string         // what kind of path it is: lan, wan, tcp or relay; empty: an original's
	Found    string         // how its address was found, as punch.CandidateKind has it; likewise
	Relay    string         // who passes on what goes there, for people; empty: nobody, as far as is known
	RTT      time.Duration  // of its round trip; 0: not measured
	Asked    int            // challenges that were sent by the path
	Answered int            // of them
	Moves    int            // how often the session has moved to another path
	Server   bool           // we are the session's DTLS server
	Cipher   string
	Protocol string    // agreed by ALPN; empty for an original
	Since    time.Time // of the session

	Keys          time.Time // when the session's keys were made
	Rekeys        int       // how often it has got fresh ones
	RekeyFailures int       // handshakes for them that have failed

	LastIn  time.Time // authentic data
	LastOut time.Time
	Waiting int // packets that wait for the session

	PacketsIn, BytesIn   uint64
	PacketsOut, BytesOut uint64
	Drops                map[string]uint64 // of what the peer sent
}

// ErrStopped is returned for a Client that does not run.
var ErrStopped = errors.New("client: not running")

// Status returns a snapshot, taken by the control goroutine.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.do(ctx, func(time.Time) { s = c.status() })
	return s, err
}

// status must run on the control goroutine.
func (c *Client) status() Status {
	s := Status{
		VPNAddr:    c.cfg.VPNAddr,
		Registered: c.anyServer((*rendezvous).registered),
		Refusals:   slices.Clone(c.recent.list),
		Failures:   c.failures.list(),
		Offloads:   c.cfg.Device.Offloads(),
		Drops:      c.drops.Snapshot(),
		Ethernet:   c.ethernetStatus(),
		HardNAT:    c.hard.ration.Cost,
		NAT:        c.nat,
		Relayed:    c.relayStatus(),
		Filter:     c.flows.Counters(),
		Tally:      c.tallied(),
	}
	for _, r := range c.servers.rdvs {
		s.RDVs = append(s.RDVs, r.status(c.set.Auth))
	}
	peers := c.peersInOrder()
	s.Peers = make([]PeerStatus, len(peers))
	for i, p := range peers {
		s.Peers[i] = c.statusOf(p)
	}
	return s
}

// statusOf returns a snapshot of what is known of a peer.
func (c *Client) statusOf(p *peer) PeerStatus {
	ps := PeerStatus{VPNAddr: p.vpn, State: p.state(), Waiting: len(p.staged)}
	if p.session != nil {
		c.describe(&ps, p)
	}
	return ps
}

// RDV returns the state of the first RDV at which we are registered, or else of the
// first.
func (s Status) RDV() RDVStatus {
	for _, r := range s.RDVs {
		if r.Registered {
			return r
		}
	}
	if len(s.RDVs) == 0 {
		return RDVStatus{}
	}
	return s.RDVs[0]
}

// Servers returns how the client is registered at each of its RDVs.
func (c *Client) Servers(ctx context.Context) (list []RDVStatus, err error) {
	err = c.do(ctx, func(time.Time) {
		for _, r := range c.servers.rdvs {
			list = append(list, r.status(c.set.Auth))
		}
	})
	return list, err
}

// status describes r.
func (r *rendezvous) status(auth Auth) RDVStatus {
	s := RDVStatus{
		Name: r.name, Addr: r.at, Auth: auth,
		Used: r.on, Registered: r.registered(), Silent: r.registered() && !r.answers(),
	}
	if why := r.server.refusal; why.err != nil {
		s.Refusal, s.RefusedAt = why.err.Error(), why.at
	}
	if l := r.server.link; l != nil {
		s.Authenticated, s.Since = true, l.since
		s.Server, s.Cipher = l.server, l.suite.String()
		if s.Stream = l.conn != nil; !s.Stream {
			s.Endpoint = l.endpoint
		}
	} else if r.reg.registered() {
		s.Since = r.reg.since
	}
	return s
}

func (c *Client) describe(ps *PeerStatus, p *peer) {
	st := p.session.Stats()
	ps.Name, ps.Ends = p.id.Name, p.id.Ends
	for _, k := range c.claims.held(p) {
		if c.claims.networks[k] != nil {
			ps.Networks = append(ps.Networks, k)
		} else {
			ps.Addrs = append(ps.Addrs, k.Addr())
		}
	}
	ps.PathMTU = p.mtu.Limit()
	if k := p.paths; k != nil {
		ps.Relay = RelayOf(p.at, k.Kind())
		ps.Path, ps.Found, ps.RTT, ps.Moves = k.View().Class().String(), k.Kind().String(), k.View().RTT, k.Moves()
		ps.Asked, ps.Answered = k.Challenges()
	}
	ps.Addr, ps.Server, ps.Since = punchstream.Real(p.at.Addr), p.server, p.session.Since()
	ps.Keys, ps.Rekeys, ps.RekeyFailures = p.session.Opened(), p.session.Renewals(), p.rekey.failures
	ps.Cipher, ps.Protocol = p.session.Suite().String(), p.session.Protocol()
	ps.LastIn, ps.LastOut = c.clock.Time(p.session.LastIn()), c.clock.Time(p.session.LastOut())
	ps.PacketsIn, ps.BytesIn = st.PacketsIn.Load(), st.BytesIn.Load()
	ps.PacketsOut, ps.BytesOut = st.PacketsOut.Load(), st.BytesOut.Load()
	ps.Drops = st.Drops.Snapshot()
}
