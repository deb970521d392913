package client

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"campagnol/punch"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
	"campagnol/tunnel/packet"
)

// A client whose settings say so (RelayFor) passes on datagrams between two peers that
// have no path to each other: what one sends inside its session goes out inside the
// session with the other. It is opaque, and authentic from end to end; we learn who talks
// with whom, when, and how much.
//
// Nobody but the peer can have sent what comes in its session, so that it cannot lie about
// who it is. What is passed on
//
//   - goes to a peer that has a session, and has said that it understands it
//   - is a record or a punch, by its first byte
//   - has not come through a relay, and does not go through one
//   - is no larger than the path to the addressee takes: the ends find out what fits
//   - is as long as what came, so that nothing is amplified
//   - is between two for whom MayRelay lets us, which control finds out once

const (
	// relayShare is which part of the rate a sender has before others get more than
	// theirs: half of it.
	relayShare = 2

	// maxRelayPairs is how many pairs are known at a time, also such as may not be
	// relayed. The one that was not used for longest makes room.
	maxRelayPairs = 1024

	// How many new pairs are looked at.
	pairRate  = 100 // a second
	pairBurst = 200
)

// A relayKey names two peers, in order.
type relayKey struct{ a, b netip.Addr }

func relayKeyOf(a, b netip.Addr) relayKey {
	if b.Less(a) {
		a, b = b, a
	}
	return relayKey{a, b}
}

func (k relayKey) part() uint8 { return addrPart(k.a) ^ addrPart(k.b)<<1 }

// A relayPair is two peers for whom we pass on datagrams, or refuse to. But for its
// counters, and its meters, it is immutable.
type relayPair struct {
	relayKey
	allowed bool
	meters  [2]*meter // of the shares of a and b, to whomever they send
	all     *meter
	use     *relayUse
}

// A relayUse counts what has passed between two peers, both ways.
type relayUse struct {
	packets, bytes, drops atomic.Uint64
	last                  atomic.Int64 // Stamp
}

// A relayDesk is what control knows of relaying for others.
type relayDesk struct {
	pairs  map[relayKey]*relayPair
	meters map[netip.Addr]*meter // by sender
	all    *meter                // nil: nobody has been relayed under these settings
	looks  bucket                // at new pairs
	past   RelayCount            // of pairs that are over
}

// A RelayCount counts what was relayed for others.
type RelayCount struct {
	Packets, Bytes, Drops uint64
}

func (n *RelayCount) add(u *relayUse) {
	n.Packets += u.packets.Load()
	n.Bytes += u.bytes.Load()
	n.Drops += u.drops.Load()
}

// pair returns what is known of relaying between two peers.
func (t *table) pair(k relayKey) (*relayPair, bool) { return t.pairs.get(k.part(), k) }

func (t *table) withPair(k relayKey, p *relayPair) *table {
	next := *t
	if p == nil {
		next.pairs = t.pairs.without(k.part(), k)
	} else {
		next.pairs = t.pairs.with(k.part(), k, p)
	}
	return &next
}

// take reports whether a datagram of sender's may pass now: within its share, or for as
// long as the others leave enough.
func (p *relayPair) take(now tunnel.Stamp, sender netip.Addr, n int) bool {
	own := p.meters[0]
	if sender != p.a {
		own = p.meters[1]
	}
	if own.take(now, n) {
		return p.all.take(now, n)
	}
	return p.all.takeSpare(now, n)
}

// count notes that a datagram has passed, or why it has not.
func (p *relayPair) count(now tunnel.Stamp, n int, d tunnel.Drop) {
	p.use.last.Store(int64(now))
	if d != tunnel.Kept {
		p.use.drops.Add(1)
		return
	}
	p.use.packets.Add(1)
	p.use.bytes.Add(uint64(n))
}

// relayable reports whether a datagram is one that ends of a path send each other.
func relayable(b []byte) bool {
	switch wire.KindOf(b) {
	case wire.KindDTLS:
		return true
	case wire.KindRendezvous:
		t := wire.Type(b[0])
		return t == wire.Punch || t == wire.KeepAlive
	}
	return false
}

// relay takes a datagram that passes a relay, on its way from its sender or to its
// addressee, and reports whether payload is one.
func (in *inbound) relay(s *tunnel.Session, payload []byte) bool {
	sig, ok := s.Relay(in.now, payload)
	switch {
	case !ok:
		return false
	case in.relayed() || !relayable(sig.Datagram):
		in.refuse(s, tunnel.DropRelay)
	case sig.Relayed:
		in.fromRelay(s, &sig)
	default:
		in.passOn(s, &sig)
	}
	return true
}

// passOn sends a peer's datagram to its addressee.
func (in *inbound) passOn(s *tunnel.Session, sig *tunnel.RelaySignal) {
	to := in.table.addressee(s, sig.Other)
	if to == nil {
		in.refuse(s, tunnel.DropRelay)
		return
	}
	pair, known := in.table.pair(relayKeyOf(s.Peer(), to.session.Peer()))
	if !known {
		in.c.hand(in.c.relays, event{session: s, dst: sig.Other, data: bytes.Clone(sig.Datagram)})
		return
	}
	var d tunnel.Drop
	switch {
	case !pair.allowed:
		d = tunnel.DropRelay
	case !pair.take(in.now, s.Peer(), len(sig.Datagram)):
		d = tunnel.DropRate
	default:
		if in.out == nil {
			in.out = newOutbound(in.c, in.c.cfg.Conn)
		}
		o := in.out
		o.when, o.now = in.when, in.now
		o.part = append(to.session.RelayedHead(o.part[:0], s.Peer()), sig.Datagram...)
		d = o.signal(to, o.part, true)
	}
	if pair.count(in.now, len(sig.Datagram), d); d != tunnel.Kept {
		in.refuse(s, d)
	}
}

// addressee returns the way to whom a peer's datagram is to be passed on, or nil.
func (t *table) addressee(s *tunnel.Session, vpn netip.Addr) *route {
	if !t.relays {
		return nil
	}
	to, ok := t.route(vpn)
	if !ok || to.session.Peer() == s.Peer() || !to.session.PeerTakesRelayed() || isThrough(to.conn) {
		return nil
	}
	return to
}

// signal adds a record with a datagram that passes a relay to the batch. limited says that
// it counts for the rate limits.
func (o *outbound) signal(r *route, payload []byte, limited bool) tunnel.Drop {
	if r.tooBig(payload) {
		return tunnel.DropTooBig
	}
	if r.conn != o.via {
		o.flush()
		o.via = r.conn
	}
	if len(o.arena)+r.session.Overhead()+len(payload) > cap(o.arena) {
		o.flush()
	}
	start := len(o.arena)
	var d tunnel.Drop
	if o.arena, d = r.session.SealRelay(o.now, o.arena, payload, &o.tmp); d != tunnel.Kept {
		return d
	}
	if limited && !r.pass(o.when, packet.NotECT, o.arena[start:]) {
		o.arena = o.arena[:start]
		return tunnel.Kept
	}
	o.add(r, start, packet.NotECT)
	return tunnel.Kept
}

// handleRelay takes a datagram between two peers of whom the data path does not know yet
// whether we relay for them.
func (c *Client) handleRelay(now time.Time, e event) {
	p, tab := c.peers[e.session.Peer()], c.table.Load()
	to := tab.addressee(e.session, e.dst)
	if p == nil || p.session == nil || to == nil || !c.relay.looks.take(now, pairRate, pairBurst) {
		c.drops.Add(tunnel.DropRelay)
		return
	}
	k := relayKeyOf(p.vpn, to.session.Peer())
	pair, known := tab.pair(k)
	if !known {
		if pair = c.newPair(k, new(relayUse)); pair == nil {
			c.drops.Add(tunnel.DropRelay)
			return
		}
		c.log.Debug("Asked to relay", "peer", p.vpn, "other", to.session.Peer(), "allowed", pair.allowed)
		c.publish(c.makeRoomForPair(tab).withPair(k, pair))
		c.relay.pairs[k] = pair
	}
	stamp, d := c.clock.Stamp(now), tunnel.DropRelay
	if pair.allowed {
		head := to.session.RelayedHead(nil, p.vpn)
		d = c.sealTo(now, to, append(head, e.data...))
	}
	pair.count(stamp, len(e.data), d)
	c.drops.Add(d)
}

// sealTo sends a datagram that passes a relay.
func (c *Client) sealTo(now time.Time, r *route, payload []byte) tunnel.Drop {
	if r.tooBig(payload) {
		return tunnel.DropTooBig
	}
	rec, d := r.session.SealRelay(c.clock.Stamp(now), nil, payload, &c.tmp)
	if d == tunnel.Kept {
		c.sendRecordTo(now, punch.Endpoint{Addr: r.addr, Conn: r.conn}, rec)
	}
	return d
}

// newPair returns what the settings say about relaying between two peers with sessions, or
// nil if one has none.
func (c *Client) newPair(k relayKey, use *relayUse) *relayPair {
	a, b := c.peers[k.a], c.peers[k.b]
	if a == nil || b == nil || a.session == nil || b.session == nil {
		return nil
	}
	d := &c.relay
	if d.all == nil {
		d.all, d.meters = newMeter(c.set.RelayRate), map[netip.Addr]*meter{}
	}
	if d.pairs == nil {
		d.pairs = map[relayKey]*relayPair{}
	}
	pair := &relayPair{relayKey: k, all: d.all, use: use, allowed: true}
	for i, v := range [...]netip.Addr{k.a, k.b} {
		if d.meters[v] == nil {
			d.meters[v] = newMeter((c.set.RelayRate + relayShare - 1) / relayShare)
		}
		pair.meters[i] = d.meters[v]
	}
	if f := c.set.MayRelay; f != nil {
		pair.allowed = f(a.shown(), b.shown())
	}
	return pair
}

// shown returns what p has shown us.
func (p *peer) shown() Shown { return Shown{p.vpn, p.session.Certificates(), !p.server} }

// makeRoomForPair returns tab with room for another pair.
func (c *Client) makeRoomForPair(tab *table) *table {
	if len(c.relay.pairs) < maxRelayPairs {
		return tab
	}
	var oldest *relayPair
	for _, p := range c.relay.pairs {
		if oldest == nil || p.use.last.Load() < oldest.use.last.Load() {
			oldest = p
		}
	}
	return c.forgetPair(tab, oldest)
}

// forgetPair returns tab without a pair, whose counts stay.
func (c *Client) forgetPair(tab *table, pair *relayPair) *table {
	c.relay.past.add(pair.use)
	delete(c.relay.pairs, pair.relayKey)
	return tab.withPair(pair.relayKey, nil)
}

// endRelaying returns tab without pairs that a peer is part of: its session is over, or
// another certificate has come with a new one.
func (c *Client) endRelaying(tab *table, vpn netip.Addr) *table {
	for k, pair := range c.relay.pairs {
		if k.a == vpn || k.b == vpn {
			tab = c.forgetPair(tab, pair)
		}
	}
	delete(c.relay.meters, vpn)
	return tab
}

// relayAnew returns tab with what new settings say about relaying.
func (c *Client) relayAnew(tab *table) *table {
	next := *tab
	next.relays = c.set.RelayFor
	tab = &next
	c.relay.all = nil
	for k, old := range c.relay.pairs {
		pair := c.newPair(k, old.use)
		if pair == nil || !c.set.RelayFor {
			tab = c.forgetPair(tab, old)
			continue
		}
		c.relay.pairs[k] = pair
		tab = tab.withPair(k, pair)
	}
	return tab
}

// RelayedPair is what a Client has relayed between two peers, since one of them has its
// session.
type RelayedPair struct {
	A, B    netip.Addr
	Allowed bool
	RelayCount
}

// RelayStatus says what a Client relays for others.
type RelayStatus struct {
	Pairs []RelayedPair // by address
	RelayCount
}

// relayStatus returns what is relayed for others; nil: we relay for nobody.
func (c *Client) relayStatus() *RelayStatus {
	if !c.set.RelayFor {
		return nil
	}
	s := &RelayStatus{RelayCount: c.relay.past}
	for k, p := range c.relay.pairs {
		pair := RelayedPair{A: k.a, B: k.b, Allowed: p.allowed}
		pair.add(p.use)
		s.add(p.use)
		s.Pairs = append(s.Pairs, pair)
	}
	slices.SortFunc(s.Pairs, func(x, y RelayedPair) int { return cmp.Or(x.A.Compare(y.A), x.B.Compare(y.B)) })
	return s
}

// relayed reports whether what is being handled has come through a peer.
func (in *inbound) relayed() bool { return isThrough(in.conn) }

// isThrough reports whether a path leads through a peer.
func isThrough(conn punch.Conn) bool {
	_, ok := conn.(*throughPeer)
	return ok
}
