package relay

import (
	"bytes"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"campagnol/punch"

	"github.com/pion/turn/v5"
)

const (
	// doorQueue is how many requests wait for pion/turn, of clients with an
	// allocation and of others, each: those who flood as strangers take nothing from
	// those who are in.
	doorQueue = 256

	// margin is how long before pion/turn we end an allocation; see the package.
	margin = time.Second

	// pause is how long a client waits after an allocation until it gets the next.
	pause = time.Second
)

// A request is a message of a client.
type request struct {
	from  netip.AddrPort
	local netip.Addr // to which it came
	data  []byte
}

// A Door takes what comes from clients over a [Link]. One goroutine calls Forward,
// Request and Flush. To pion/turn a door is a net.PacketConn.
type Door struct {
	s       *Server
	link    Link
	clients atomic.Pointer[map[netip.AddrPort]*allocation]

	known, strangers chan request
	awake            chan struct{}
	down             chan struct{} // closed when there will be no other request

	// Of the goroutine that calls Forward.
	dirty   []*allocation    // with something in out
	bridged []punch.Datagram // for clients of across
	across  Link

	// Of the goroutine in which pion/turn handles requests: it calls ReadFrom, and
	// within it everything that a request leads to.
	current request
	nextEnd time.Time // of an allocation; zero: none

	released map[netip.AddrPort]time.Time // clients whose allocation has ended; Server.mu guards it
}

func newDoor(s *Server, link Link) *Door {
	d := &Door{
		s: s, link: link, known: make(chan request, doorQueue), strangers: make(chan request, doorQueue),
		awake: make(chan struct{}, 1), down: make(chan struct{}), released: map[netip.AddrPort]time.Time{},
	}
	d.clients.Store(&map[netip.AddrPort]*allocation{})
	return d
}

// Request takes a message for which [IsTURN] is true. It may be dropped: clients
// repeat requests.
func (d *Door) Request(now time.Time, from netip.AddrPort, local netip.Addr, b []byte) {
	d.s.stats.requests.Add(1)
	a := (*d.clients.Load())[from]
	queue := d.strangers
	switch {
	case len(b) > maxMessage, a == nil && typeOf(b) == typeSend:
		d.s.stats.unbound.Add(1)
		return
	case a != nil:
		queue = d.known
		if a.control.take(d.s.since(now), 1, 1) == 0 {
			d.s.stats.queue.Add(1)
			return
		}
	}
	if typeOf(b) == typeAllocate && d.rests(from, now) {
		d.s.stats.queue.Add(1)
		return
	}
	select {
	case queue <- request{from: from, local: local, data: bytes.Clone(b)}:
	default:
		d.s.stats.queue.Add(1)
	}
}

// Knows reports whether a client has an allocation. It is safe for concurrent use.
func (d *Door) Knows(client netip.AddrPort) bool { return (*d.clients.Load())[client] != nil }

// Gone ends the allocation of a client whose connection is over: nobody can use it any
// more, and it would count until its time is up. It is safe for concurrent use.
func (d *Door) Gone(client netip.AddrPort) {
	if a := (*d.clients.Load())[client]; a != nil {
		a.expelled.Store(true)
		d.wake()
	}
}

// wake makes the door look for allocations that have to end.
func (d *Door) wake() {
	select {
	case d.awake <- struct{}{}:
	default:
	}
}

// ReadFrom hands pion/turn the next request. Between two of them allocations end whose
// time has come.
func (d *Door) ReadFrom(b []byte) (int, net.Addr, error) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		if !d.nextEnd.IsZero() && !now.Before(d.nextEnd) {
			d.sweep(now)
		}
		if !d.nextEnd.IsZero() {
			timer.Reset(d.nextEnd.Sub(now))
		}
		select { // those who are in come first
		case r := <-d.known:
			return d.hand(b, r)
		default:
		}
		select {
		case r := <-d.known:
			return d.hand(b, r)
		case r := <-d.strangers:
			return d.hand(b, r)
		case <-timer.C:
		case <-d.awake:
			d.sweep(time.Now())
		case <-d.down:
			return 0, nil, net.ErrClosed
		}
	}
}

func (d *Door) hand(b []byte, r request) (int, net.Addr, error) {
	d.current = r
	return copy(b, r.data), net.UDPAddrFromAddrPort(r.from), nil
}

// sweep ends the allocations whose time is over, and those of who is no member any
// more. It waits until pion/turn has forgotten them.
func (d *Door) sweep(now time.Time) {
	d.nextEnd = time.Time{}
	for _, a := range *d.clients.Load() {
		switch {
		case a.expelled.Load() || !a.ends.IsZero() && !now.Before(a.ends):
			a.Close() // makes pion/turn's goroutine for it delete it
			<-a.gone
		default:
			d.endBy(a.ends)
		}
	}
}

// endBy makes sure that there is a sweep at a time.
func (d *Door) endBy(at time.Time) {
	if !at.IsZero() && (d.nextEnd.IsZero() || at.Before(d.nextEnd)) {
		d.nextEnd = at
	}
}

// WriteTo sends what pion/turn has for a client: answers, in the goroutine of
// requests, and data of peers without a channel, in those of allocations.
func (d *Door) WriteTo(b []byte, to net.Addr) (int, error) {
	u, ok := to.(*net.UDPAddr)
	if !ok {
		return len(b), nil
	}
	client := clientOf(u)
	var local netip.Addr
	if t := typeOf(b); t&bitResponse != 0 {
		local = d.current.local
		d.note(t, b)
		if t == typeNotBound {
			correct(b)
		}
	} else if a := (*d.clients.Load())[client]; a != nil {
		local = a.local
	}
	if d.link.Send([]punch.Datagram{{Addr: client, Local: local, Data: b}}) != nil {
		d.s.stats.failed.Add(1)
	}
	return len(b), nil
}

// correct makes a refusal of a channel, for which pion/turn says 401 without a nonce,
// one that says Forbidden (RFC 8656 section 12.2): the other sends clients in circles.
// Such an answer is not signed.
func correct(b []byte) {
	code, ok := attribute(b, attrErrorCode)
	_, nonce := attribute(b, attrNonce)
	if ok && !nonce && len(code) >= 4 && code[2] == 4 && code[3] == 1 {
		code[3] = 3
	}
}

// note reads from an answer how long an allocation lives now. An answer to ALLOCATE
// may be one of before, repeated.
func (d *Door) note(t uint16, b []byte) {
	if t != typeAllocated && t != typeRefreshed {
		return
	}
	a := (*d.clients.Load())[d.current.from]
	lifetime, ok := lifetimeOf(b)
	if a == nil || !ok || t == typeAllocated && !a.ends.IsZero() {
		return
	}
	a.ends = time.Now().Add(max(0, lifetime-margin))
	d.endBy(a.ends)
}

// permits reports whether the current request may name a peer, for pion/turn, which
// asks for each.
func (d *Door) permits(client net.Addr, peer net.IP) bool {
	a := (*d.clients.Load())[d.current.from]
	ip := addrPortOf(peer, 0).Addr()
	if a == nil || !d.mayReach(ip) || !a.hasRoom(ip, channelOf(d.current.data)) {
		d.s.stats.forbidden.Add(1)
		return false
	}
	return true
}

// mayReach reports whether the current request may name an address. Those of this host
// it may: relayed addresses are there. Which of its ports data goes to is seen when
// there is some; a channel, which names one, is refused at once.
func (d *Door) mayReach(ip netip.Addr) bool {
	if !d.s.isOwn(ip) {
		return ip.IsValid() && d.s.cfg.May(ip)
	}
	if typeOf(d.current.data) != typeChannelBind {
		return true
	}
	return (*d.s.relayed.Load())[netip.AddrPortFrom(ip, peerPort(d.current.data))] != nil
}

// events are what pion/turn tells us.
func (d *Door) events() turn.EventHandler {
	find := func(client net.Addr) *allocation {
		u, ok := client.(*net.UDPAddr)
		if !ok {
			return nil
		}
		return (*d.clients.Load())[clientOf(u)]
	}
	permission := func(on bool) func(client, _ net.Addr, _, _, _ string, _ net.Addr, peer net.IP) {
		return func(client, _ net.Addr, _, _, _ string, _ net.Addr, peer net.IP) {
			if a := find(client); a != nil {
				a.permit(addrPortOf(peer, 0).Addr(), on)
			}
		}
	}
	channel := func(on bool) func(client, _ net.Addr, _, _, _ string, _, peer net.Addr, number uint16) {
		return func(client, _ net.Addr, _, _, _ string, _, peer net.Addr, number uint16) {
			a := find(client)
			if u, ok := peer.(*net.UDPAddr); ok && a != nil {
				a.bind(number, addrPortOf(u.IP, u.Port), on)
			}
		}
	}
	return turn.EventHandler{
		OnPermissionCreated: permission(true), OnPermissionDeleted: permission(false),
		OnChannelCreated: channel(true), OnChannelDeleted: channel(false),
		OnAllocationDeleted: func(client, _ net.Addr, _, _, _ string) {
			if a := find(client); a != nil {
				d.s.remove(a)
				d.release(a.client, time.Now())
				close(a.gone)
			}
		},
	}
}

// release notes that a client has no allocation any more. Its next has to wait a
// moment: pion/turn's goroutine for the old one may still be about to delete whatever
// the client has.
func (d *Door) release(client netip.AddrPort, now time.Time) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	for c, at := range d.released {
		if now.Sub(at) >= pause {
			delete(d.released, c)
		}
	}
	d.released[client] = now
}

// rests reports whether a client wants an allocation too soon after its last.
func (d *Door) rests(client netip.AddrPort, now time.Time) bool {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	at, ok := d.released[client]
	return ok && now.Sub(at) < pause
}

// Close ends ReadFrom. pion/turn ends all allocations then.
func (d *Door) Close() error {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	select {
	case <-d.down:
	default:
		close(d.down)
	}
	return nil
}

// LocalAddr returns the address of the link.
func (d *Door) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(d.link.LocalAddr()) }

// SetDeadline does nothing: nobody sets one.
func (d *Door) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing, likewise.
func (d *Door) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing, likewise.
func (d *Door) SetWriteDeadline(time.Time) error { return nil }
