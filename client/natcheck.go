package client

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"campagnol/punch"
	"campagnol/punch/natcheck"
	"campagnol/rdv/wire"
)

const (
	// checkGap is how often the NAT is examined at most while the network stays
	// as it is. A check is some twenty datagrams.
	checkGap = time.Minute

	// checkSoon is how long a check waits after the network has changed: changes
	// come in groups, and peers that have to hear from us come first.
	checkSoon = 200 * time.Millisecond

	// checkMoved is the same after an RDV has begun to see us elsewhere although nothing
	// has changed here: a NAT has got another address, or is another one.
	checkMoved = 15 * time.Second

	// queueSTUN is how many datagrams of STUN may wait for a check.
	queueSTUN = 16

	// offerSTUN is the source of what checks offer, see Client.Offer.
	offerSTUN = "stun"
)

// A natChecker decides when our way to the Internet is examined, by asking the RDV and
// the STUN servers of the settings. Owned by control.
type natChecker struct {
	at      time.Time          // of the next check; zero: none
	began   time.Time          // the last one
	servers []netip.AddrPort   // that it asked, or asks
	stop    context.CancelFunc // ends the one that runs; nil: none does
	number  int                // of the last one
	told    bool               // nothing is to be found out, see Client.SetNAT

	seen map[netip.AddrPort]netip.AddrPort // where each RDV has seen us last, over its channel

	// plain are RDVs that have no channel, and have said so in a word that the
	// original does not know. An original takes every datagram that is long
	// enough for one of its messages, and a request of STUN for a HELLO.
	plain map[netip.AddrPort]bool
}

// A checkEnd is what has come of a check.
type checkEnd struct {
	number int
	result natcheck.Result
	err    error
}

// checkNAT examines our way to the Internet anew, soon: the network has changed.
func (c *Client) checkNAT(now time.Time) {
	n := &c.checker
	if n.stop != nil {
		n.stop()
		n.stop = nil
	}
	n.at = now.Add(checkSoon)
}

// registered reports whether we are registered at an RDV.
func (c *Client) registered() bool {
	return slices.ContainsFunc(c.servers.rdvs, (*rendezvous).registered)
}

// stunServers returns whom to ask: the RDVs that know STUN, and those of the settings.
// All are of one family, that of the first RDV.
func (c *Client) stunServers() (list []netip.AddrPort) {
	var others []netip.AddrPort // RDVs that must not be asked, or are of the other family
	var is4, known bool
	for _, r := range c.servers.rdvs {
		if !r.registered() || r.overStream() {
			continue
		}
		if !known {
			is4, known = r.at.Addr().Is4(), true
		}
		if len(list) < natcheck.MaxServers && r.at.Addr().Is4() == is4 && (r.server.stands() || c.checker.plain[r.at]) {
			list = append(list, r.at)
		} else {
			others = append(others, r.at)
		}
	}
	for _, s := range c.set.STUNServers {
		if len(list) < natcheck.MaxServers && !slices.Contains(list, s) && s.Addr().Is4() == is4 && !slices.Contains(others, s) {
			list = append(list, s)
		}
	}
	return list
}

// heardGate notes that the RDV, which we have asked for a channel, has none.
func (n *natChecker) heardGate(g wire.GateMessage, from netip.AddrPort, asked bool) {
	if g.Type != wire.Closed || !asked || n.plain[from] {
		return
	}
	if n.plain == nil || len(n.plain) >= maxServers {
		n.plain = map[netip.AddrPort]bool{}
	}
	n.plain[from] = true
}

// advanceChecker begins a check that is due: after registration, and when there are
// other servers to ask.
func (c *Client) advanceChecker(now time.Time) {
	n := &c.checker
	if n.told {
		n.at = time.Time{}
		return
	}
	if !c.registered() || c.blocked {
		n.servers = nil // who comes back may have moved
		return
	}
	if servers := c.stunServers(); !slices.Equal(servers, n.servers) && n.stop == nil {
		n.servers = servers
		if n.at.IsZero() {
			n.at = now
		}
		if next := n.began.Add(checkGap); !n.began.IsZero() && n.at.Before(next) {
			n.at = next
		}
	}
	if c.seenElsewhere() && !n.began.IsZero() {
		if next := later(now.Add(checkSoon), n.began.Add(checkMoved)); n.at.IsZero() || next.Before(n.at) {
			n.at = next
		}
	}
	if n.at.IsZero() || now.Before(n.at) || n.stop != nil {
		return
	}
	n.at = time.Time{}
	if len(n.servers) > 0 {
		c.beginCheck(now)
	}
}

// seenElsewhere reports whether an RDV sees us at another endpoint than before.
func (c *Client) seenElsewhere() (moved bool) {
	n := &c.checker
	for _, r := range c.servers.rdvs {
		if !r.server.stands() || r.overStream() || !r.server.link.endpoint.IsValid() {
			continue
		}
		was, ok := n.seen[r.at]
		moved = moved || ok && was != r.server.link.endpoint
		if n.seen == nil || !ok && len(n.seen) >= maxServers {
			n.seen = map[netip.AddrPort]netip.AddrPort{}
		}
		n.seen[r.at] = r.server.link.endpoint
	}
	return moved
}

// timeout returns when a check is due; zero: none is, or it waits for registration.
func (n *natChecker) timeout(registered bool) time.Time {
	if !registered || n.stop != nil {
		return time.Time{}
	}
	return n.at
}

// beginCheck starts a check in a goroutine of its own, which ends with a checkEnd.
func (c *Client) beginCheck(now time.Time) {
	n := &c.checker
	n.began = now
	n.number++
	ctx, stop := context.WithCancel(c.ctx)
	n.stop = stop
	cfg := natcheck.Config{
		Servers:   n.servers,
		HostAddrs: slices.Clone(c.set.HostAddrs),
		Reached:   true, // we are registered
	}
	if a := c.set.LocalAddr.Addr(); a.IsValid() && !slices.Contains(cfg.HostAddrs, a) {
		cfg.HostAddrs = append(cfg.HostAddrs, a)
	}
	number, tap := n.number, newTap(c.cfg.Conn)
	c.tap.Store(tap)
	c.wg.Go(func() {
		r, err := natcheck.Run(ctx, cfg, c.checkSockets(tap), tap.await)
		c.tap.CompareAndSwap(tap, nil)
		select {
		case c.checked <- checkEnd{number, r, err}:
		case <-c.ctx.Done():
		}
		stop()
	})
}

// checkSockets returns the sockets of a check: the primary one, and fresh ones as far
// as there are any to be had.
func (c *Client) checkSockets(tap *stunTap) []punch.Conn {
	conns := []punch.Conn{tap}
	for range natcheck.GoodFresh {
		if c.cfg.OpenSocket == nil {
			break
		}
		conn, err := c.cfg.OpenSocket()
		if err != nil {
			c.log.Debug("no socket to examine the NAT with", "err", err)
			break
		}
		conns = append(conns, conn)
	}
	return conns
}

// handleChecked takes what has come of a check.
func (c *Client) handleChecked(now time.Time, e checkEnd) {
	n := &c.checker
	if e.number != n.number || n.stop == nil || e.err != nil || n.told {
		return // the network has changed meanwhile
	}
	n.stop = nil
	if !e.result.Known {
		c.log.Debug("no STUN server answers", "servers", n.servers)
		return
	}
	b := e.result.Behaviour
	list := c.observed(&e.result)
	changed := c.nat != b
	if changed {
		c.log.Info("The way to the Internet was examined", "translated", b.Translated,
			"mapping", b.Mapping, "filtering", b.Filtering, "ports", b.Ports, "hairpin", b.Hairpin)
		c.nat = b
	}
	if !slices.Equal(c.offers[offerSTUN], list) {
		if c.offers == nil {
			c.offers = map[string][]punch.Candidate{}
		}
		c.offers[offerSTUN], changed = list, true
	}
	if changed {
		c.registerAgain(now)
	}
}

// observed returns the public endpoints of ours that servers see and the RDV does not.
// Where each place gets to see another one, none of them is where peers find us.
func (c *Client) observed(r *natcheck.Result) (list []punch.Candidate) {
	if r.Hard() {
		return nil
	}
	var known []netip.AddrPort
	for _, s := range r.Servers {
		if c.isServer(s.Addr) {
			known = append(known, s.Public)
		}
	}
	for _, a := range r.Public {
		if !slices.Contains(known, a) && len(list) < natcheck.MaxServers {
			list = append(list, punch.Candidate{Addr: a, Kind: punch.Observed})
		}
	}
	return list
}

// A stunTap gives a check its share of the primary socket: it sends there, and gets the
// datagrams of STUN that come from where the check waits for them.
type stunTap struct {
	conn   punch.Conn
	in     chan punch.Datagram // copies
	from   atomic.Pointer[[]netip.AddrPort]
	closed chan struct{}
}

var _ punch.Conn = (*stunTap)(nil)

func newTap(conn punch.Conn) *stunTap {
	return &stunTap{conn: conn, in: make(chan punch.Datagram, queueSTUN), closed: make(chan struct{})}
}

// await says from where datagrams are wanted.
func (t *stunTap) await(from []netip.AddrPort) { t.from.Store(&from) }

// offer takes a datagram of STUN, which it borrows, and reports whether it was one
// that the check waits for. It is called by the data path; t may be nil.
func (t *stunTap) offer(from netip.AddrPort, b []byte) bool {
	if t == nil {
		return false
	}
	list := t.from.Load()
	if list == nil || !slices.Contains(*list, from) {
		return false
	}
	select {
	case t.in <- punch.Datagram{Addr: from, Data: bytes.Clone(b)}:
		return true
	default:
		return false
	}
}

// Receive returns the next datagram.
func (t *stunTap) Receive() ([]punch.Datagram, error) {
	select {
	case d := <-t.in:
		return []punch.Datagram{d}, nil
	case <-t.closed:
		return nil, net.ErrClosed
	}
}

// Send sends over the primary socket.
func (t *stunTap) Send(ds []punch.Datagram) error { return t.conn.Send(ds) }

// LocalAddr returns the primary socket's.
func (t *stunTap) LocalAddr() netip.AddrPort { return t.conn.LocalAddr() }

// Close ends Receive, and leaves the primary socket alone. The check calls it once.
func (t *stunTap) Close() error {
	close(t.closed)
	return nil
}
