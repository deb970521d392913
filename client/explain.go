package client

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"campagnol/punch"
	"campagnol/punch/hard"
	"campagnol/punch/nat"
	punchpath "campagnol/punch/path"
	punchstream "campagnol/punch/stream"
)

// A Fate is what becomes of a packet for an address that is sent now.
type Fate uint8

// The fates.
const (
	FateCarried       Fate = iota // there is a session
	FateWaits                     // one is being opened
	FateAsked                     // the RDV is asked for the peer
	FateLeftAlone                 // dropped: the peer was not reached a moment ago
	FateTooMany                   // dropped: there are as many peers as may be
	FateNotRegistered             // it waits in vain: no RDV knows us
	FateNeedsChannel              // dropped: IPv6 addresses are asked for over the channel only
	FateOutside                   // dropped: the address is in no network of the VPN, nor behind a peer
	FateOwn                       // it is our own address
	FateEverybody                 // it goes over every open tunnel
)

// String returns the word for programs.
func (f Fate) String() string {
	return [...]string{"carried", "waits", "asked_for", "left_alone", "too_many_peers", "not_registered",
		"needs_channel", "outside", "own", "everybody"}[f]
}

// An Explanation is all that is known of why a peer is reached as it is, or not at all.
type Explanation struct {
	Asked   netip.Addr // what was asked for
	VPNAddr netip.Addr // by which its peer is known; Asked if none is
	Name    string     // in the peer's certificate, now or when it last had a session

	Fate      Fate
	LeftUntil time.Time // of FateLeftAlone

	Status *PeerStatus // nil: there is neither a session nor a try
	Chain  [][]byte    // the session's certificates of the peer; nil: no session
	Socket netip.AddrPort
	Extra  bool // Socket is an extra one, through a hard NAT

	Paths []punchpath.Report // of the session with a peer of ours
	Dark  bool               // the path does not answer
	Tried *Tried             // the last try; nil: none is remembered

	Hard     hard.Plan // what the NATs of both make us do
	Guessing bool      // it is being done

	NAT, PeerNAT nat.Behaviour // ours, and what the peer has said of its own
	Offered      []punch.Candidate

	Relaying Relaying

	Words    []Word // of RDVs, by name
	RDVs     []RDVStatus
	Failure  *Failure // nil: none
	Refusals []Refusal
}

// Relaying says what is known of relays, other than peers, between a peer and us.
type Relaying struct {
	Ready []string         // those that may be used, for people
	Told  []netip.AddrPort // where the peer was told that it reaches us by them
	Why   string           // none was found when one was looked for last, for people; "": there was none to be found
	Never bool             // none is used: the settings do not want it
}

// Explain returns what is known about the peer with a VPN address, or with a network
// in which the address is.
func (c *Client) Explain(ctx context.Context, vpn netip.Addr) (e Explanation, err error) {
	err = c.do(ctx, func(now time.Time) { e = c.explain(now, vpn.Unmap()) })
	return e, err
}

// A KnownPeer is one whose certificate we have seen.
type KnownPeer struct {
	Name    string // in the certificate; not empty
	VPNAddr netip.Addr
}

// Known returns the peers with a name with which there is a session, or was lately, by
// VPN address.
func (c *Client) Known(ctx context.Context) (list []KnownPeer, err error) {
	err = c.do(ctx, func(time.Time) {
		for _, d := range c.dossiers.list {
			if d.name != "" {
				list = append(list, KnownPeer{d.name, d.vpn})
			}
		}
		for _, p := range c.peers { // whose dossier was forgotten
			k := KnownPeer{p.id.Name, p.vpn}
			if p.session != nil && k.Name != "" && !slices.Contains(list, k) {
				list = append(list, k)
			}
		}
		slices.SortFunc(list, func(a, b KnownPeer) int { return a.VPNAddr.Compare(b.VPNAddr) })
	})
	return list, err
}

// Reach begins to open a tunnel to the peer with a VPN address, unless there is one or
// that is under way, as a packet for it would; also if it was in vain a moment ago.
func (c *Client) Reach(ctx context.Context, vpn netip.Addr) error {
	return c.do(ctx, func(now time.Time) {
		dst := c.gatewayOf(vpn.Unmap())
		if !c.mayBePeer(dst) || c.claims.holderOf(dst) != nil {
			return
		}
		c.refused.forget(dst)
		c.reach(now, dst, nil)
	})
}

// gatewayOf returns the peer behind which an address is; the address itself if it is
// behind none.
func (c *Client) gatewayOf(a netip.Addr) netip.Addr {
	if _, gateway := c.table.Load().lookup(a); gateway.IsValid() && !c.mayBePeer(a) {
		return gateway
	}
	return a
}

// explain must run on the control goroutine.
func (c *Client) explain(now time.Time, asked netip.Addr) Explanation {
	dst := c.gatewayOf(asked)
	e := Explanation{Asked: asked, VPNAddr: dst, NAT: c.nat, Offered: c.candidates(), Socket: c.cfg.Conn.LocalAddr()}
	d := c.dossiers.find(dst)
	p := c.claims.holderOf(dst)
	if p == nil {
		p = c.peers[dst]
	}
	if p == nil && d != nil {
		p = c.peers[d.vpn]
	}
	switch {
	case p != nil:
		e.VPNAddr = p.vpn
		d = c.dossiers.find(p.vpn)
	case d != nil:
		e.VPNAddr = d.vpn
	}
	e.Fate, e.LeftUntil = c.fateOf(now, dst, p)
	if d != nil {
		e.Name, e.PeerNAT, e.Relaying.Why = d.name, d.nat, d.relay
		for _, w := range d.words {
			e.Words = append(e.Words, w)
		}
		slices.SortFunc(e.Words, func(a, b Word) int { return strings.Compare(a.Server, b.Server) })
	}
	e.Relaying.Never = c.set.RelayNever
	if c.set.HardNAT != (hard.Budget{}) {
		e.Hard = hard.Make(e.NAT, e.PeerNAT)
	}
	if p != nil {
		c.explainPeer(now, &e, p)
	} else if t, ok := c.tried.find(e.VPNAddr); ok {
		e.Tried = &t
	}
	c.explainPast(&e)
	return e
}

// explainPeer adds what is known of a peer with a session or a try.
func (c *Client) explainPeer(now time.Time, e *Explanation, p *peer) {
	s := c.statusOf(p)
	e.Status = &s
	if p.session != nil {
		e.Name, e.Chain = p.id.Name, p.session.Certificates()
		if conn := p.at.Conn; conn != nil {
			e.Socket, e.Extra = conn.LocalAddr(), !p.at.Relayed() && !p.at.Streamed()
		}
	}
	if p.paths != nil {
		e.Paths, e.Dark = p.paths.Report(now), p.paths.Dark()
		for i := range e.Paths {
			e.Paths[i].Addr = punchstream.Real(e.Paths[i].Addr)
		}
	}
	if q := &p.relaying; !q.since.IsZero() {
		e.Relaying.Told = slices.Clone(q.told)
		for _, r := range q.ready {
			if r.alloc != nil {
				e.Relaying.Ready = append(e.Relaying.Ready, r.alloc.Relay())
			}
		}
	}
	if p.search != nil {
		e.Guessing = p.search.guesses()
	}
	if t := p.try; t != nil && t.attempt != nil {
		tried := t.tried(p.vpn)
		tried.Running = true
		e.Tried = &tried
		e.Guessing = e.Guessing || t.guesses()
	} else if tried, ok := c.tried.find(p.vpn); ok {
		e.Tried = &tried
	}
}

// explainPast adds the RDVs, and what has gone wrong.
func (c *Client) explainPast(e *Explanation) {
	for _, r := range c.servers.rdvs {
		e.RDVs = append(e.RDVs, r.status(c.set.Auth))
	}
	for _, a := range []netip.Addr{e.VPNAddr, e.Asked} {
		if f, ok := c.failures.m[a]; ok && e.Failure == nil {
			e.Failure = &f
		}
	}
	for _, r := range c.recent.list {
		if r.VPNAddr == e.VPNAddr || r.VPNAddr == e.Asked {
			e.Refusals = append(e.Refusals, r)
		}
	}
}

// fateOf returns what would become of a packet for dst, whose peer, if there is a
// session or a try, is p.
func (c *Client) fateOf(now time.Time, dst netip.Addr, p *peer) (Fate, time.Time) {
	switch {
	case dst == c.cfg.VPNAddr, dst == c.cfg.VPNAddr6:
		return FateOwn, time.Time{}
	case dst == c.cfg.Broadcast, dst.IsMulticast():
		return FateEverybody, time.Time{}
	case !c.mayBePeer(dst):
		return FateOutside, time.Time{}
	case c.claims.holderOf(dst) != nil:
		return FateCarried, time.Time{}
	case p != nil && p.vpn == dst && p.try != nil:
		return FateWaits, time.Time{}
	case !c.anyServer((*rendezvous).registered):
		return FateNotRegistered, time.Time{}
	case dst.Is6() && !c.byChannel():
		return FateNeedsChannel, time.Time{}
	case c.refused.has(now, dst):
		return FateLeftAlone, c.refused.m[dst].until
	case len(c.peers) >= c.set.MaxClients:
		return FateTooMany, time.Time{}
	}
	return FateAsked, time.Time{}
}
