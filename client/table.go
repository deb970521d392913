package client

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
	"campagnol/tunnel"
	"campagnol/tunnel/packet"
	"campagnol/tunnel/record"

	"github.com/gaissmai/bart"
)

// A table is the data path's view of the peers. It is immutable; control
// publishes a changed copy.
type table struct {
	routes   cow[netip.Addr, *route]         // by VPN address: all that the peers have
	networks *bart.Table[*network]           // behind the peers; nil: none
	sources  cow[netip.AddrPort, *source]    // by UDP address
	ids      cow[record.ID, *tunnel.Session] // by the connection ID in what they receive
	punching cow[netip.Addr, struct{}]       // VPN addresses whose punches control waits for

	frames *fabric // nil: packets are carried

	relays  bool                          // we pass on datagrams for others
	pairs   cow[relayKey, *relayPair]     // for whom we do, or not
	through cow[netip.Addr, *throughPeer] // sockets through peers, by the VPN address of those

	servers   []netip.AddrPort // of the RDVs, few; no peer is there
	channel   bool             // control waits for a channel's datagrams from there
	multicast bool             // goes over every open tunnel
}

// newTable returns a table without peers.
func (c *Client) newTable() *table {
	return &table{servers: waysTo(c.set.Servers), channel: c.set.Auth != AuthNo, multicast: c.set.Multicast, relays: c.set.RelayFor}
}

// A network is what is behind a peer. It is immutable.
type network struct {
	route   *route     // nil: the peer has no session
	gateway netip.Addr // the peer
}

// A route is where packets for a peer go, whatever address of it or network behind
// it they are for. It is immutable.
type route struct {
	session *tunnel.Session
	addr    netip.AddrPort
	conn    punch.Conn // of the path; nil: the primary socket
	limit   int        // of a datagram, in bytes of payload; 0: the path is not known to be small
	shaper  *shaper    // nil: no limits
	lane    *lane      // the session's queue in shaper
}

// newRoute returns the way over a session.
func (c *Client) newRoute(now time.Time, s *tunnel.Session, at punch.Endpoint) *route {
	return &route{session: s, addr: at.Addr, conn: at.Conn, limit: c.limitOf(s, at.Addr, 0), shaper: c.shaper, lane: c.shaper.lane(now)}
}

// pass reports whether a datagram may be sent now; if not, the shaper has it.
func (r *route) pass(now time.Time, ecn packet.ECN, b []byte) bool {
	return r.shaper == nil || r.shaper.pass(now, r.lane, r.conn, punch.Datagram{Addr: r.addr, Data: b, ECN: uint8(ecn)})
}

// A source is what may come from a UDP address. It is immutable.
type source struct {
	// sessions with the peer there, newest first. After a new handshake the
	// one before is kept for a while: its records may still be on their way.
	sessions []*tunnel.Session
	// handshaking says that control waits for handshake records from there.
	handshaking bool
}

// isServer reports whether an RDV is at an address.
func (t *table) isServer(a netip.AddrPort) bool { return slices.Contains(t.servers, a) }

func addrPart(a netip.Addr) uint8 {
	b := a.As16()
	return b[15]
}

// Peers behind one NAT differ in the port, others in the address.
func endpointPart(a netip.AddrPort) uint8 {
	return addrPart(a.Addr()) ^ uint8(a.Port()) ^ uint8(a.Port()>>8)
}

func (t *table) route(vpn netip.Addr) (*route, bool) { return t.routes.get(addrPart(vpn), vpn) }

// lookup returns the way for a destination: that of the peer that has the address,
// or else of the one with the longest network in which it is. Without a way, gateway
// is the peer to ask for; the zero Addr: nobody is known.
func (t *table) lookup(dst netip.Addr) (r *route, gateway netip.Addr) {
	if r, ok := t.route(dst); ok {
		return r, dst
	}
	if t.networks == nil {
		return nil, netip.Addr{}
	}
	if n, ok := t.networks.Lookup(dst); ok {
		return n.route, n.gateway
	}
	return nil, netip.Addr{}
}

func (t *table) source(a netip.AddrPort) (*source, bool) {
	return t.sources.get(endpointPart(a), a)
}

func (t *table) isPunching(vpn netip.Addr) bool {
	_, ok := t.punching.get(addrPart(vpn), vpn)
	return ok
}

// The setters return a changed copy; nil or false removes.

func (t *table) withRoute(vpn netip.Addr, r *route) *table {
	next := *t
	if r == nil {
		next.routes = t.routes.without(addrPart(vpn), vpn)
	} else {
		next.routes = t.routes.with(addrPart(vpn), vpn, r)
	}
	return &next
}

func (t *table) withNetwork(k netip.Prefix, r *route, gateway netip.Addr) *table {
	next := *t
	if next.networks == nil {
		next.networks = new(bart.Table[*network])
	}
	next.networks = next.networks.InsertPersist(k, &network{r, gateway})
	return &next
}

// without removes the way to an address or to a network.
func (t *table) without(k netip.Prefix) *table {
	if k.IsSingleIP() {
		if _, ok := t.route(k.Addr()); ok {
			return t.withRoute(k.Addr(), nil)
		}
	}
	if t.networks == nil {
		return t
	}
	next := *t
	if next.networks = t.networks.DeletePersist(k); next.networks.Size() == 0 {
		next.networks = nil
	}
	return &next
}

func (t *table) withSource(a netip.AddrPort, s *source) *table {
	next := *t
	if s == nil {
		next.sources = t.sources.without(endpointPart(a), a)
	} else {
		next.sources = t.sources.with(endpointPart(a), a, s)
	}
	return &next
}

func (t *table) withPunching(vpn netip.Addr, yes bool) *table {
	next := *t
	if yes {
		next.punching = t.punching.with(addrPart(vpn), vpn, struct{}{})
	} else {
		next.punching = t.punching.without(addrPart(vpn), vpn)
	}
	return &next
}
