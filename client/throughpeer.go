package client

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"campagnol/punch"
	punchstream "campagnol/punch/stream"
	"campagnol/tunnel"
	"campagnol/tunnel/l2/ether"
	"campagnol/tunnel/packet"
)

// A throughPeer is a socket whose datagrams a peer passes on, inside its sessions with us
// and with the addressee: see relaypeer.go. It exists as long as we have a session with a
// peer that says that it relays. Nothing comes out of Receive: what the peer passes on to
// us comes in its session, where the data path finds it and takes it as if it had come by
// this socket (fromRelay).
//
// Whoever is reached through it has the address of [throughAddr].
type throughPeer struct {
	c     *Client
	relay netip.Addr // VPN address of the peer
	name  string     // for people
	done  chan struct{}
	once  sync.Once
}

var _ punch.RelayConn = (*throughPeer)(nil)

// throughPort is the port of those who are reached through a peer. They have none; but an
// address is one with a port, and 0 would be no address.
const throughPort = 1

// throughAddr returns the address that the peer with a VPN address has as who is reached
// through another one. Its VPN address is all of it that means something: Send reads it,
// and nobody else makes one.
func throughAddr(vpn netip.Addr) netip.AddrPort { return netip.AddrPortFrom(vpn, throughPort) }

// Errors of Send. Who sends by a socket that has lost its way finds another.
var (
	errThirdHop = errors.New("client: the way to the relay leads through a relay")
	errNoRelay  = errors.New("client: the peer does not relay any more")
	errTooLong  = errors.New("client: too long for the way to the relay")
)

// Send sends datagrams to those whose VPN addresses they bear. They do not count for our
// own rate limits, as those of other sockets do not: whoever sends a packet has counted it.
func (t *throughPeer) Send(ds []punch.Datagram) error {
	r, ok := t.c.table.Load().route(t.relay)
	switch {
	case !ok || t.closed():
		return net.ErrClosed
	case isThrough(r.conn):
		return errThirdHop
	case !r.session.PeerRelays():
		return errNoRelay
	}
	now := time.Now()
	o := t.c.sealer()
	defer t.c.spare(o)
	o.when, o.now = now, t.c.clock.Stamp(now)
	o.wake(r)
	var err error
	for i := range ds {
		if d := t.seal(o, r, &ds[i]); d != tunnel.Kept && err == nil {
			err = errTooLong
		}
	}
	o.flush()
	return err
}

// spareSealers is how many goroutines may send through peers at a time without each
// needing memory of its own.
const spareSealers = 4

// sealer returns what seals a batch for a socket through a peer, for one goroutine.
func (c *Client) sealer() *outbound {
	select {
	case o := <-c.sealers:
		return o
	default:
		return newOutbound(c, c.cfg.Conn)
	}
}

// spare takes it back.
func (c *Client) spare(o *outbound) {
	select {
	case c.sealers <- o:
	default:
	}
}

// seal adds a datagram to the batch of o.
func (t *throughPeer) seal(o *outbound, r *route, d *punch.Datagram) (first tunnel.Drop) {
	d.Segments(func(payload []byte) bool {
		o.part = append(r.session.RelayHead(o.part[:0], d.Addr.Addr()), payload...)
		if drop := o.signal(r, o.part, false); drop != tunnel.Kept {
			t.c.drops.Add(drop)
			first = drop
		}
		return true
	})
	return first
}

// Receive waits until the socket is closed.
func (t *throughPeer) Receive() ([]punch.Datagram, error) {
	<-t.done
	return nil, net.ErrClosed
}

// LocalAddr returns the address that others reach us at.
func (t *throughPeer) LocalAddr() netip.AddrPort { return throughAddr(t.c.cfg.VPNAddr) }

// Close makes Send fail. It ends nothing of the peer's.
func (t *throughPeer) Close() error {
	t.once.Do(func() { close(t.done) })
	return nil
}

// Done is closed when the peer's session is over.
func (t *throughPeer) Done() <-chan struct{} { return t.done }

func (t *throughPeer) closed() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// Relay returns who the peer is.
func (t *throughPeer) Relay() string {
	if t.name == "" {
		return "peer " + t.relay.String()
	}
	return "peer " + t.relay.String() + " (" + t.name + ")"
}

// minRoom is what is always tried, in bytes, so that a relay at the end of a path that is
// too small by mistake is no dead end.
const minRoom = minPathMTU - packet.IPv4HeaderLen - udpHeaderLen

// roomThrough returns how long a datagram to p may be that goes through another peer. If
// nothing is known of the path to that, it takes what full packets of the device make.
func (c *Client) roomThrough(t *throughPeer, p *peer) int {
	r, ok := c.table.Load().route(t.relay)
	if !ok {
		return minRoom
	}
	room := c.set.MTU
	switch {
	case r.limit > 0:
		room = r.limit - r.session.Overhead()
	case c.set.MTU == 0:
		room = etherMTU - packet.IPv4HeaderLen - udpHeaderLen - r.session.Overhead()
	case r.session.Frames():
		room += ether.HeaderLen + ether.TagLen
	}
	return max(minRoom, room-r.session.RelayHeadLen(p.vpn))
}

// heedThrough makes the data path heed what the path to a relay carries by now, for those
// whose path leads through it.
func (c *Client) heedThrough(relay *peer) {
	if relay.through == nil {
		return
	}
	for _, p := range c.peers {
		if p.session != nil && p.at.Conn == punch.Conn(relay.through) {
			c.heedMTU(p)
		}
	}
}

// fromRelay takes a datagram that the peer of s has passed on to us.
func (in *inbound) fromRelay(s *tunnel.Session, sig *tunnel.RelaySignal) {
	conn, ok := in.table.through.get(addrPart(s.Peer()), s.Peer())
	if !ok || !sig.Other.IsValid() {
		in.refuse(s, tunnel.DropRelay)
		return
	}
	outer, from, ecn := in.conn, in.from, in.ecn
	addr := throughAddr(sig.Other)
	in.conn, in.from, in.ecn = conn, addr, packet.NotECT // what is around it does not mark it
	src, known := in.table.source(addr)
	in.datagram(in.table, src, known, addr, sig.Datagram)
	in.conn, in.from, in.ecn = outer, from, ecn
}

// keepThrough makes a socket through p, if p says by now that it relays, and returns it;
// nil: p does not.
func (c *Client) keepThrough(now time.Time, p *peer) {
	switch relays := p.session != nil && p.session.PeerRelays() && !c.set.RelayNever; {
	case relays && p.through == nil:
		p.through = &throughPeer{c: c, relay: p.vpn, name: p.id.Name, done: make(chan struct{})}
		next := *c.table.Load()
		next.through = next.through.with(addrPart(p.vpn), p.vpn, p.through)
		c.publish(&next)
		c.share(p.through)
		c.log.Debug("Peer relays for others", "peer", p.vpn)
		c.offerThrough(now, p)
	case !relays && p.through != nil:
		c.publish(c.closeThrough(c.table.Load(), p))
	}
}

// closeThrough closes the socket through p, if there is one, and returns tab without it.
func (c *Client) closeThrough(tab *table, p *peer) *table {
	if p.through == nil {
		return tab
	}
	p.through.Close()
	c.lost = append(c.lost, p.through)
	p.through = nil
	next := *tab
	next.through = next.through.without(addrPart(p.vpn), p.vpn)
	return &next
}

// lostThrough tells those who were reached through peers that those are gone.
func (c *Client) lostThrough(now time.Time) {
	for len(c.lost) > 0 { // what follows may end other sessions
		conn := c.lost[0]
		c.lost = c.lost[1:]
		c.unshare(now, conn)
	}
}

// mayBeAt reports whether what has come from an endpoint may be p's, and what is p's may
// go there: who is reached through a peer has an address that nobody has elsewhere.
func (p *peer) mayBeAt(at punch.Endpoint) bool {
	return isThrough(at.Conn) == (at.Addr == throughAddr(p.vpn))
}

// eligibleFor is eligible for where p is, by whichever socket.
func (c *Client) eligibleFor(p *peer, at punch.Endpoint) bool {
	return p.mayBeAt(at) && c.admits(p, at) && (isThrough(at.Conn) || c.eligible(at.Addr))
}

// addrBelow returns which address below the tunnels leads to an endpoint; the zero Addr: none
// does, a peer's session leads there.
func addrBelow(at punch.Endpoint) netip.Addr {
	if isThrough(at.Conn) {
		return netip.Addr{}
	}
	return punchstream.Real(at.Addr).Addr()
}
