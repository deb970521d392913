package client

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
	punchpath "campagnol/punch/path"
	punchstream "campagnol/punch/stream"
	"campagnol/rdv/channel"
)

// Where UDP finds no way to a peer, a connection by TCP may, if one of the two takes them
// (Config.Accept) and says where (candidates of kind punch.Stream):
//
//	introduced ──no direct path──► dialling ──► open: offered to tries and paths ──► used
//	     ▲                            │           │                                   │
//	     └──────── back-off ──────────┴──in vain──┘◄── ended, or UDP has worked ──────┘
//
// What goes over it are punches and records, as by any socket, and proves as little by
// itself. The connection is a shared socket to all who handle paths, and belongs to the
// peer that it was opened for. Who has accepted one has nothing to do: to it, the peer is
// at another address of the one socket that takes connections.
//
// The addresses of both ends have the zone that package stream gives them, so that they
// are nobody's by UDP.

// How peers are dialled.
const (
	// streamDelay is how long a direct path by UDP, or a relay, has.
	streamDelay = time.Second

	// dialPatience bounds one connection, and maxDialled how many places of a peer are
	// dialled, one after the other.
	dialPatience = 5 * time.Second
	maxDialled   = 2

	// maxDials is how many peers are dialled at a time; others wait for dialWait.
	maxDials = 8
	dialWait = time.Second

	// streamProof is how long a connection has until the peer must have been heard over
	// it: somebody else may be at its place.
	streamProof = 5 * time.Second

	streamLook = 10 * time.Second // between two looks at one that has been proven
	streamHold = time.Minute      // while a direct path works, it is kept: it may be wanted again
)

// streamRests are how long a peer is not dialled after a connection that was of no use:
// the last one again and again.
var streamRests = [...]time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute}

// A rest is when a peer may be dialled again. It is remembered when the peer is not.
type rest struct {
	until time.Time
	vain  int // connections in a row that were of no use
}

// putOff notes that a connection was of no use.
func (r *rest) putOff(now time.Time) {
	r.until = now.Add(streamRests[min(r.vain, len(streamRests)-1)])
	r.vain++
}

// streaming is what a peer has to do with connections of ours to it.
type streaming struct {
	places  []punch.Candidate // where it takes them, by the last introduction
	dialing bool
	conn    punch.StreamConn // that is open; nil: none
	at      punch.Candidate  // where it leads, as the paths know it
	since   time.Time        // it is open
	proven  bool             // the peer's session has gone over it
	unused  time.Time        // since when a direct path has worked; zero: it does not
	next    time.Time        // when there is something to do; zero: never
}

// usesStreams reports whether peers may be reached over TCP.
func (c *Client) usesStreams() bool {
	return !c.set.RelayOnly && (c.cfg.DialPeer != nil || c.cfg.Accept != nil)
}

// streamsOf returns where a peer takes connections that we can and may open.
func (c *Client) streamsOf(list []punch.Candidate) []punch.Candidate {
	var may []punch.Candidate
	for _, n := range list {
		own := slices.ContainsFunc(c.candidates(), func(o punch.Candidate) bool { return o.Kind == punch.Stream && o.Addr == n.Addr })
		if n.Kind == punch.Stream && !own && c.mayTry(n) {
			may = append(may, n)
		}
	}
	may = punch.Choose(may)
	return may[:min(len(may), maxDialled)]
}

// seenStreams returns where we take connections if there is no NAT between us and the
// RDVs: at the addresses at which they see us.
func (c *Client) seenStreams() (list []punch.Candidate) {
	if c.cfg.Accept == nil || c.set.StreamPort == 0 || !c.nat.Known || c.nat.Blocked || c.nat.Translated {
		return nil
	}
	for _, r := range c.servers.rdvs {
		if r.seenAt.IsValid() {
			list = append(list, punch.Candidate{Addr: netip.AddrPortFrom(r.seenAt.Addr().Unmap(), c.set.StreamPort), Kind: punch.Stream})
		}
	}
	return list
}

// meetStream takes where a peer that an RDV has introduced takes connections.
func (c *Client) meetStream(now time.Time, vpn netip.Addr, msg *channel.Message) {
	p := c.peers[vpn]
	if p == nil || c.cfg.DialPeer == nil || c.set.RelayOnly {
		return
	}
	p.stream.places = c.streamsOf(msg.Candidates)
	c.wantStream(now, p)
	c.settle(p)
}

// wantStream has p dialled, unless it is reached directly by then.
func (c *Client) wantStream(now time.Time, p *peer) {
	s := &p.stream
	if len(s.places) == 0 || s.dialing || s.conn != nil || c.set.RelayOnly {
		return
	}
	at := now
	if !c.blocked {
		at = now.Add(streamDelay)
	}
	at = later(at, c.dossiers.of(p.vpn).rest.until)
	if s.next.IsZero() || at.Before(s.next) {
		s.next = at
	}
}

// reachedByUDP reports whether p's session has a path that works and is better than a
// connection, or is one of an original, which stays where it is.
func (c *Client) reachedByUDP(p *peer) bool {
	if p.session == nil {
		return false
	}
	return p.paths == nil || !p.paths.Dark() && p.paths.View().Class() < punchpath.TCP
}

// advanceStream does what is due about connections to p.
func (c *Client) advanceStream(now time.Time, p *peer) {
	s := &p.stream
	if s.next.IsZero() || now.Before(s.next) {
		return
	}
	s.next = time.Time{}
	switch {
	case s.conn != nil:
		c.tendPeerStream(now, p)
	case s.dialing, len(s.places) == 0, p.session == nil && p.try == nil, c.reachedByUDP(p), p.session != nil && p.at.Streamed() && !p.paths.Dark():
		// One end's connection is enough.
	case c.dials >= maxDials:
		s.next = now.Add(dialWait)
	default:
		c.dial(p)
	}
}

// dial opens a connection to p, in a goroutine.
func (c *Client) dial(p *peer) {
	p.stream.dialing = true
	c.dials++
	places := slices.Clone(p.stream.places)
	c.log.Debug("Trying to reach the peer by TCP", "peer", p.vpn, "addr", places[0].Addr)
	c.wg.Go(func() {
		conn, at, err := dialFirst(c.ctx, places, c.cfg.DialPeer)
		select {
		case c.calls <- func(now time.Time) { c.dialled(now, p, conn, at, err) }:
		case <-c.ctx.Done():
			if conn != nil {
				conn.Close()
			}
		}
	})
}

// dialFirst returns a connection to the first of several places that takes one.
func dialFirst(ctx context.Context, places []punch.Candidate, open func(context.Context, netip.AddrPort) (punch.StreamConn, error)) (punch.StreamConn, punch.Candidate, error) {
	var errs []error
	for _, n := range places {
		limited, cancel := context.WithTimeout(ctx, dialPatience)
		conn, err := open(limited, n.Addr)
		cancel()
		if err == nil {
			n.Addr = punchstream.Zone(n.Addr)
			return conn, n, nil
		}
		errs = append(errs, err)
	}
	return nil, punch.Candidate{}, errors.Join(errs...)
}

// dialled takes the end of that.
func (c *Client) dialled(now time.Time, p *peer, conn punch.StreamConn, at punch.Candidate, err error) {
	c.dials--
	s := &p.stream
	s.dialing = false
	switch {
	case err != nil:
		c.log.Debug("The peer is not reached by TCP", "peer", p.vpn, "err", err)
		c.dossiers.of(p.vpn).rest.putOff(now)
		c.wantStream(now, p)
	case c.peers[p.vpn] != p, c.set.RelayOnly, c.reachedByUDP(p):
		c.closeStream(conn)
	default:
		c.log.Debug("Connected to the peer by TCP", "peer", p.vpn, "addr", punchstream.Real(at.Addr))
		s.conn, s.at, s.since, s.proven, s.unused = conn, at, now, false, time.Time{}
		// It counts as one that was of no use until it is of some.
		c.dossiers.of(p.vpn).rest.putOff(now)
		s.next = now.Add(streamProof)
		c.noteShared(conn)
		c.wg.Go(func() {
			err := c.readExtra(conn)
			select {
			case c.calls <- func(now time.Time) { c.streamEnded(now, p, conn, err) }:
			case <-c.ctx.Done(): // unshareAll closes it
			}
		})
		c.offerStream(now, p)
	}
	if c.peers[p.vpn] == p {
		c.settle(p)
	}
}

// offerStream makes the connection to p a way that is tried: by its try, and by the paths
// of its session.
func (c *Client) offerStream(now time.Time, p *peer) {
	s := &p.stream
	if s.conn == nil {
		return
	}
	c.proveStream(now, p)
	if t := p.try; t != nil && t.attempt != nil && !t.attempt.Knows(punch.Endpoint{Addr: s.at.Addr, Conn: s.conn}) {
		t.attempt.TryBy(now, s.conn, s.at)
		c.messages = t.attempt.Advance(now, c.messages[:0])
		c.post(c.messages)
		c.stepTry(now, p)
	}
	if p.paths != nil {
		p.paths.IntroduceBy(now, s.conn, []punch.Candidate{s.at})
		c.advancePaths(now, p)
	}
}

// tendPeerStream looks whether the connection to p is still of use.
func (c *Client) tendPeerStream(now time.Time, p *peer) {
	s := &p.stream
	s.next = now.Add(streamLook)
	switch c.proveStream(now, p); {
	case !s.proven && p.try != nil && p.try.heardBy(s.conn):
		s.next = now.Add(streamProof) // a handshake finds out, and it ends
	case !s.proven:
		c.log.Debug("Over the connection to the peer nobody has proven to be it", "peer", p.vpn, "addr", punchstream.Real(s.at.Addr))
		c.closePeerStream(p)
		c.wantStream(now, p)
	case !c.reachedByUDP(p):
		s.unused = time.Time{}
	case s.unused.IsZero():
		s.unused = now
	case now.Sub(s.unused) >= streamHold:
		c.log.Debug("The connection to the peer is not needed any more", "peer", p.vpn)
		c.closePeerStream(p)
	}
}

// proveStream notes whether p's session has gone over the connection to it: a handshake,
// or a response to a challenge. Anybody can send a punch.
func (c *Client) proveStream(now time.Time, p *peer) {
	s := &p.stream
	if s.proven || p.paths == nil {
		return
	}
	s.proven = slices.ContainsFunc(p.paths.Report(now), func(r punchpath.Report) bool {
		return r.Conn == s.conn && (r.Path || !r.Answered.IsZero())
	})
	if s.proven {
		c.dossiers.of(p.vpn).rest = rest{}
	}
}

// heardBy reports whether a punch has come by a socket.
func (t *try) heardBy(conn punch.Conn) bool {
	return t.attempt != nil && slices.ContainsFunc(t.attempt.Report(), func(o punch.Outcome) bool { return o.Conn == conn && o.Heard })
}

// closePeerStream closes the connection to p. Those who use it are told soon (lostThrough).
func (c *Client) closePeerStream(p *peer) {
	s := &p.stream
	c.lost = append(c.lost, s.conn)
	s.conn, s.next = nil, time.Time{}
}

// dropStream gives up the connection to p, which is forgotten, or is not to be reached so
// any more.
func (c *Client) dropStream(p *peer) {
	if p.stream.conn != nil {
		c.closePeerStream(p)
	}
}

// streamEnded takes that a connection to p is over. One that has carried something for a
// while may be followed by another soon.
func (c *Client) streamEnded(now time.Time, p *peer, conn punch.StreamConn, why error) {
	s := &p.stream
	if s.conn != conn {
		c.unshare(now, conn) // if that has not been done
		return
	}
	c.proveStream(now, p)
	useful := s.proven && now.Sub(s.since) >= streamHold
	s.conn, s.next = nil, time.Time{}
	c.log.Debug("The connection to the peer has ended", "peer", p.vpn, "err", why)
	c.unshare(now, conn)
	if c.peers[p.vpn] != p {
		return
	}
	if s.proven && !useful {
		c.dossiers.of(p.vpn).rest.putOff(now)
	}
	c.wantStream(now, p)
	c.settle(p)
}
