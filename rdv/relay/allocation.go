package relay

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"campagnol/punch"
	"campagnol/punch/stream"
	"campagnol/punch/turn/channeldata"

	"github.com/pion/turn/v5"
)

const (
	// portTries is how many ports are tried that others may have.
	portTries = 32

	// strayQueue is how many datagrams without a channel wait for pion/turn.
	strayQueue = 8
)

// An allocation is a relayed address and whom it is for. To pion/turn it is a
// net.PacketConn, over which what has no channel goes; all else goes by its table.
type allocation struct {
	s       *Server
	door    *Door
	user    *user
	client  netip.AddrPort
	local   netip.Addr     // of this host, that the client uses
	relayed netip.AddrPort // as peers know it
	from    netip.Addr     // of this host, that peers get data from; zero: as the kernel likes
	conn    punch.Conn
	control bucket
	table   atomic.Pointer[table]
	strays  chan stray

	expelled atomic.Bool
	ends     time.Time        // of the goroutine of requests: when it is to end; zero: not known yet
	out      []punch.Datagram // of the goroutine of Forward: for peers

	once   sync.Once
	closed chan struct{}
	gone   chan struct{} // closed when pion/turn has let go of it

	mu        sync.Mutex // guards the rest, of which table is made
	permitted map[netip.Addr]bool
	channels  []*binding
}

// A binding is a channel of a client. It is the same in all tables for as long as the
// channel is renewed.
type binding struct {
	number uint16
	peer   netip.AddrPort
	used   atomic.Int64 // when data went to the peer last, since the server began, as a time.Duration; 0: never
}

// A table is what an allocation may relay. It does not change once it is published.
type table struct {
	peers     map[uint16]*binding       // channels
	numbers   map[netip.AddrPort]uint16 // back; of those peers only that have a permission
	permitted map[netip.Addr]bool
}

// A stray is data of a peer without a channel.
type stray struct {
	from netip.AddrPort
	data []byte
}

// An opener makes allocations, for pion/turn, in the goroutine of requests.
type opener struct{ d *Door }

// Validate is for pion/turn.
func (opener) Validate() error { return nil }

var errNoTCP = errors.New("relay: peers are not reached over TCP")

// AllocateListener refuses: RFC 6062 is not for us.
func (opener) AllocateListener(turn.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	return nil, nil, errNoTCP
}

// AllocateConn refuses, likewise.
func (opener) AllocateConn(turn.AllocateConnConfig) (net.Conn, error) { return nil, errNoTCP }

var (
	errFamily = errors.New("relay: no relayed address of this family")
)

// AllocatePacketConn makes an allocation for the client of the current request.
func (o opener) AllocatePacketConn(cfg turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	if cfg.UserID == "" { // EVEN-PORT: what port would there be?
		return o.d.s.evenPort()
	}
	s, q := o.d.s, o.d.current
	at, from, bind := s.place(cfg.Network == "udp4", q.local, o.d.link.LocalAddr().Addr())
	if !at.IsValid() {
		return nil, nil, errFamily
	}
	u, err := s.join(cfg.UserID)
	if err != nil {
		return nil, nil, err
	}
	a := &allocation{
		s: s, door: o.d, user: u, client: q.from, local: q.local, from: from,
		strays: make(chan stray, strayQueue), closed: make(chan struct{}), gone: make(chan struct{}),
		permitted: map[netip.Addr]bool{},
	}
	a.control.setRate(controlRate, controlBurst)
	a.table.Store(&table{})
	if a.conn, a.relayed, err = s.open(at, bind, cfg.RequestedPort); err == nil {
		if err = s.add(a); err != nil {
			a.conn.Close()
		}
	}
	if err != nil {
		s.leave(u)
		return nil, nil, err
	}
	s.stats.allocated.Add(1)
	a.tell(false)
	s.log.Info("{name} relays by {addr}, for {client}", "name", u.name, "addr", a.relayed, "client", stream.Real(a.client))
	return a, net.UDPAddrFromAddrPort(a.relayed), nil
}

// place returns the relayed address of a family for a client that came to local: as
// peers know it, the address that data to peers has to come from, and the one to bind
// a socket to.
func (s *Server) place(is4 bool, local, bound netip.Addr) (at, from, bind netip.Addr) {
	bind = netip.IPv6Unspecified()
	if is4 {
		bind = netip.IPv4Unspecified()
	}
	for _, a := range s.cfg.Addrs {
		if a.Is4() == is4 {
			return a, netip.Addr{}, bind
		}
	}
	for _, a := range []netip.Addr{local, bound} {
		if a = a.Unmap(); a.IsValid() && !a.IsUnspecified() && a.Zone() == "" && a.Is4() == is4 {
			return a, a, a
		}
	}
	// The other family than the client's: the first address that others can reach.
	for _, a := range s.cfg.Own() {
		if a = a.Unmap(); a.Is4() == is4 && s.cfg.May(a) {
			return a, a, a
		}
	}
	return netip.Addr{}, netip.Addr{}, netip.Addr{}
}

// open returns a socket with a port that is free, beginning anywhere: nobody can tell
// which is next.
//
// If wanted is not 0, it is that port or none.
func (s *Server) open(at, bind netip.Addr, wanted int) (punch.Conn, netip.AddrPort, error) {
	ports := int(s.cfg.Last-s.cfg.First) + 1
	start, tried, most := rand.IntN(ports), 0, ports
	if wanted != 0 {
		start, most = wanted-int(s.cfg.First), 1
	}
	for i := 0; i < most && start >= 0 && start < ports && tried < portTries; i++ {
		port := s.cfg.First + uint16((start+i)%ports)
		relayed := netip.AddrPortFrom(at, port)
		if (*s.relayed.Load())[relayed] != nil {
			continue
		}
		if conn, err := s.cfg.Listen(netip.AddrPortFrom(bind, port)); err == nil {
			return conn, relayed, nil
		}
		tried++
	}
	s.stats.refused.Add(1)
	return nil, netip.AddrPort{}, errPorts
}

// evenPort returns an even port that nobody has here. pion/turn closes what it gets,
// and asks for that port then.
func (s *Server) evenPort() (net.PacketConn, net.Addr, error) {
	taken := map[uint16]bool{}
	for a := range *s.relayed.Load() {
		taken[a.Port()] = true
	}
	for range portTries {
		port := s.cfg.First + uint16(rand.IntN(int(s.cfg.Last-s.cfg.First)+1))
		if port%2 == 0 && !taken[port] {
			return unopened{}, &net.UDPAddr{Port: int(port)}, nil
		}
	}
	return nil, nil, errPorts
}

// unopened stands for a socket that nobody has opened.
type unopened struct{ net.PacketConn }

// Close does nothing.
func (unopened) Close() error { return nil }

// hasRoom reports whether a peer can be permitted, over a channel if number is not 0.
func (a *allocation) hasRoom(peer netip.Addr, number uint16) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.permitted[peer] && len(a.permitted) >= maxPermissions {
		return false
	}
	known := func(b *binding) bool { return b.number == number }
	return number == 0 || len(a.channels) < maxChannels || slices.ContainsFunc(a.channels, known)
}

// permit notes a permission, or that it is over.
func (a *allocation) permit(peer netip.Addr, on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if on {
		a.permitted[peer] = true
	} else {
		delete(a.permitted, peer)
	}
	a.publishLocked()
}

// bind notes a channel, or that it is over.
func (a *allocation) bind(number uint16, peer netip.AddrPort, on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if on && slices.ContainsFunc(a.channels, func(b *binding) bool { return b.number == number && b.peer == peer }) {
		return
	}
	a.channels = slices.DeleteFunc(a.channels, func(b *binding) bool { return b.number == number })
	if on {
		a.channels = append(a.channels, &binding{number: number, peer: peer})
	}
	a.publishLocked()
}

func (a *allocation) publishLocked() {
	t := &table{peers: map[uint16]*binding{}, numbers: map[netip.AddrPort]uint16{}, permitted: map[netip.Addr]bool{}}
	for ip := range a.permitted {
		t.permitted[ip] = true
	}
	for _, b := range a.channels {
		t.peers[b.number] = b
		if t.permitted[b.peer.Addr()] {
			t.numbers[b.peer] = b.number
		}
	}
	a.table.Store(t)
}

// charge returns how many of count datagrams of size bytes may be relayed now.
func (a *allocation) charge(now time.Duration, size, count int) int {
	n := a.user.rate.take(now, size, count)
	m := a.s.total.take(now, size, n)
	a.user.rate.give(size, n-m)
	if m < count {
		a.s.stats.limited.Add(uint64(count - m))
	}
	return m
}

// offer gives pion/turn data of a peer without a channel. It keeps a copy.
func (a *allocation) offer(from netip.AddrPort, b []byte) {
	if len(b) > maxMessage || len(a.strays) == cap(a.strays) {
		a.s.stats.unwanted.Add(1)
		return
	}
	select {
	case a.strays <- stray{from, append([]byte(nil), b...)}:
		a.s.stats.toClients.Add(1)
		a.count(len(b))
	default:
		a.s.stats.unwanted.Add(1)
	}
}

// ReadFrom hands pion/turn data of a peer without a channel.
func (a *allocation) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case x := <-a.strays:
		return copy(b, x.data), net.UDPAddrFromAddrPort(x.from), nil
	case <-a.closed:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo relays data of the client without a channel, to a peer with a permission. It
// is called in the goroutine of requests.
func (a *allocation) WriteTo(b []byte, to net.Addr) (int, error) {
	u, ok := to.(*net.UDPAddr)
	if ok {
		a.sendTo(time.Now(), b, addrPortOf(u.IP, u.Port))
	}
	return len(b), nil
}

func (a *allocation) sendTo(now time.Time, b []byte, peer netip.AddrPort) {
	target, ok := a.s.targetOf(peer)
	switch {
	case !ok || peer.Port() == 0:
		a.s.stats.forbidden.Add(1)
		return
	case a.charge(a.s.since(now), len(b), 1) == 0:
		return
	}
	a.s.stats.toPeers.Add(1)
	a.count(len(b))
	if target == nil {
		if a.conn.Send([]punch.Datagram{{Addr: peer, Local: a.from, Data: b}}) != nil {
			a.s.stats.failed.Add(1)
		}
		return
	}
	t := target.table.Load()
	if number, ok := t.numbers[a.relayed]; ok {
		framed := append(make([]byte, channeldata.Head, channeldata.Head+len(b)), b...)
		channeldata.Put(framed, number, len(b))
		if target.door.link.Send([]punch.Datagram{{Addr: target.client, Local: target.local, Data: framed}}) != nil {
			a.s.stats.failed.Add(1)
		}
		return
	}
	target.accept(t, a.relayed, b)
}

// accept takes data from a relayed address that has no channel.
func (a *allocation) accept(t *table, from netip.AddrPort, b []byte) {
	if !t.permitted[from.Addr()] {
		a.s.stats.unwanted.Add(1)
		return
	}
	a.offer(from, b)
}

// targetOf returns the allocation that a relayed address of ours is for; nil for a
// peer elsewhere, and false for another port of this host.
func (s *Server) targetOf(peer netip.AddrPort) (*allocation, bool) {
	if !s.isOwn(peer.Addr()) {
		return nil, true
	}
	a := (*s.relayed.Load())[peer]
	return a, a != nil
}

// Close ends the allocation. pion/turn calls it, too.
func (a *allocation) Close() error {
	a.once.Do(func() {
		close(a.closed)
		a.conn.Close()
		a.s.leave(a.user)
		a.tell(true)
		a.s.log.Info("{name} relays no more by {addr}", "name", a.user.name, "addr", a.relayed)
	})
	return nil
}

// LocalAddr returns the relayed address.
func (a *allocation) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(a.relayed) }

// SetDeadline does nothing: nobody sets one.
func (a *allocation) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing, likewise.
func (a *allocation) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing, likewise.
func (a *allocation) SetWriteDeadline(time.Time) error { return nil }
