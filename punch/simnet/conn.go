package simnet

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"campagnol/punch"
)

// ErrTooBig is what Send returns for a datagram that is larger than an MTU
// known to the sender. It is what a kernel says.
var ErrTooBig error = syscall.EMSGSIZE

const (
	// defaultQueue is how many datagrams wait for Receive. A kernel's default
	// buffer holds about as many small ones.
	defaultQueue = 256

	// poison is what borrowed bytes become when they are taken back.
	poison = 0xdb

	// The most that UDP_GRO of Linux joins.
	maxSegments  = 64
	maxCoalesced = 65507
)

// A Conn is a socket of a simulated host. It is a punch.Conn.
//
// What Receive returned is overwritten at the next Receive, so that whoever
// keeps borrowed bytes notices.
type Conn struct {
	net   *Net
	host  *Host
	bound netip.AddrPort
	dual  bool // bound is [::]:port, and it serves IPv4, too
	key   uint64

	// Guarded by net.mu.
	flows     map[route]*flow
	queue     []arrival // those from head on
	head      int
	limit     int
	overflows int
	coalesce  bool
	closed    bool

	// Owned by whoever calls Receive.
	taken []arrival
	out   []punch.Datagram

	ready chan struct{}
	done  chan struct{}
	once  sync.Once
}

var _ punch.Conn = (*Conn)(nil)

// A route is one end of a flow, on this host, and the other.
type route struct {
	src netip.Addr
	dst netip.AddrPort
}

// An arrival is a datagram that waits for Receive.
type arrival struct {
	from  netip.AddrPort
	local netip.Addr
	data  []byte
	ecn   uint8
}

// newConn returns a socket of h. h.net.mu must be held.
func newConn(h *Host, bound netip.AddrPort, key uint64) *Conn {
	return &Conn{
		net:   h.net,
		host:  h,
		bound: bound,
		key:   key,
		flows: map[route]*flow{},
		limit: defaultQueue,
		ready: make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
}

// twin returns the address at which c serves IPv4 besides, if it is dual.
func (c *Conn) twin() netip.AddrPort {
	return netip.AddrPortFrom(netip.IPv4Unspecified(), c.bound.Port())
}

// Host returns the host that c is a socket of.
func (c *Conn) Host() *Host { return c.host }

// LocalAddr implements punch.Conn. It returns what c was bound to.
func (c *Conn) LocalAddr() netip.AddrPort { return c.bound }

// SetQueue sets how many datagrams wait for Receive before more are dropped;
// the default is 256.
func (c *Conn) SetQueue(datagrams int) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.limit = datagrams
}

// Overflows returns how many datagrams were dropped because the queue was full.
func (c *Conn) Overflows() int {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	return c.overflows
}

// SetCoalesce makes Receive return all that waits, and join what a kernel with
// UDP_GRO may join: datagrams of equal size from one address, of which the last
// may be shorter. Without it, Receive returns one datagram.
func (c *Conn) SetCoalesce(on bool) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.coalesce = on
}

// Close implements punch.Conn.
func (c *Conn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.closeLocked()
	return nil
}

func (c *Conn) closeLocked() {
	c.once.Do(func() {
		c.closed = true
		if c.host.sockets[c.bound] == c {
			delete(c.host.sockets, c.bound)
		}
		if c.dual && c.host.sockets[c.twin()] == c {
			delete(c.host.sockets, c.twin())
		}
		close(c.done)
	})
}

// Receive implements punch.Conn.
func (c *Conn) Receive() ([]punch.Datagram, error) {
	c.takeBack()
	for {
		ok, err := c.take()
		if err != nil {
			return nil, err
		}
		if ok {
			return c.out, nil
		}
		select {
		case <-c.ready:
		case <-c.done:
		}
	}
}

// takeBack ends the loan of what the last Receive returned.
func (c *Conn) takeBack() {
	for _, d := range c.out {
		if d.Segment != 0 { // a copy of what was taken
			fill(d.Data)
		}
	}
	for _, a := range c.taken {
		fill(a.data)
	}
	clear(c.out)
	clear(c.taken)
	c.out, c.taken = c.out[:0], c.taken[:0]
}

func fill(b []byte) {
	for i := range b {
		b[i] = poison
	}
}

// take moves what Receive returns from the queue to c.out.
func (c *Conn) take() (bool, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return false, net.ErrClosed
	}
	k := min(c.waiting(), 1)
	if c.coalesce {
		k = c.waiting()
	}
	if k == 0 {
		return false, nil
	}
	c.taken = append(c.taken, c.queue[c.head:c.head+k]...)
	c.head += k
	if c.coalesce {
		c.out = coalesce(c.out, c.taken)
		return true, nil
	}
	for _, a := range c.taken {
		c.out = append(c.out, punch.Datagram{Addr: a.from, Data: a.data, Local: a.local, ECN: a.ecn})
	}
	return true, nil
}

// coalesce appends as to out, joined as UDP_GRO joins datagrams.
func coalesce(out []punch.Datagram, as []arrival) []punch.Datagram {
	for len(as) > 0 {
		k, size := run(as)
		d := punch.Datagram{Addr: as[0].from, Data: as[0].data, Local: as[0].local, ECN: as[0].ecn}
		if k > 1 {
			d.Segment = len(as[0].data)
			d.Data = make([]byte, 0, size)
			for _, a := range as[:k] {
				d.Data = append(d.Data, a.data...)
			}
		}
		out = append(out, d)
		as = as[k:]
	}
	return out
}

// run returns how many of as, from the first on, become one datagram, and its
// size.
func run(as []arrival) (k, size int) {
	first := as[0]
	for k < len(as) && k < maxSegments {
		a := as[k]
		if a.from != first.from || a.local != first.local || a.ecn != first.ecn || len(a.data) > len(first.data) ||
			len(a.data) == 0 || size+len(a.data) > maxCoalesced {
			break
		}
		k++
		size += len(a.data)
		if len(a.data) < len(first.data) {
			break
		}
	}
	return max(k, 1), size
}

// waiting returns how many datagrams wait for Receive. net.mu must be held.
func (c *Conn) waiting() int { return len(c.queue) - c.head }

// put makes b's packets wait for Receive. n.mu must be held.
func (c *Conn) put(b *burst) {
	if 2*c.head >= len(c.queue) {
		c.queue = slices.Delete(c.queue, 0, c.head)
		c.head = 0
	}
	for _, p := range b.packets {
		c.queue = append(c.queue, arrival{from: b.src, local: b.dst.Addr(), data: p.data, ecn: p.ecn})
	}
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// Send implements punch.Conn. It never waits. A datagram that is lost is not an
// error; an address that cannot be reached from this socket is one, and so is a
// size that is known to be too big (see [Link]).
func (c *Conn) Send(ds []punch.Datagram) error {
	n := c.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	var first error
	var g *group
	now := n.now()
	for _, d := range ds {
		if err := c.submit(now, d, &g); err != nil && first == nil {
			first = fmt.Errorf("simnet: send from %v to %v: %w", c.bound, d.Addr, err)
		}
	}
	return first
}

var errPort = errors.New("port 0 cannot be sent to")

// submit hands the payloads of d to the network.
func (c *Conn) submit(now int64, d punch.Datagram, g **group) error {
	dst := netip.AddrPortFrom(d.Addr.Addr().Unmap(), d.Addr.Port())
	src, err := c.source(dst.Addr(), d.Local)
	if err != nil {
		return err
	}
	if dst.Port() == 0 {
		return errPort
	}
	f := c.flow(route{src, dst})
	data := bytes.Clone(d.Data) // Send does not keep what it is given
	own := punch.Datagram{Data: data, Segment: d.Segment}
	for payload := range own.Segments {
		if limit := c.mtu(f); limit > 0 && ipSize(src, len(payload)) > limit || len(payload) > maxCoalesced {
			err = ErrTooBig
			continue
		}
		c.net.gather(now, f, netip.AddrPortFrom(src, c.bound.Port()), dst, payload, d.ECN, g)
	}
	return err
}

// source returns the address from which c sends to dst, given the wish of the
// caller.
func (c *Conn) source(dst, wish netip.Addr) (netip.Addr, error) {
	bound := c.bound.Addr()
	if !dst.IsValid() || dst.IsUnspecified() || dst.BitLen() != bound.BitLen() && !c.dual {
		return bound, fmt.Errorf("the socket does not do this family: %w", syscall.EAFNOSUPPORT)
	}
	if !bound.IsUnspecified() {
		if !slices.Contains(c.host.addrs, bound) {
			return bound, fmt.Errorf("the host lost the address: %w", syscall.EADDRNOTAVAIL)
		}
		return bound, nil
	}
	wish = wish.Unmap()
	if wish.IsValid() && wish.BitLen() == dst.BitLen() && slices.Contains(c.host.addrs, wish) {
		return wish, nil
	}
	src := c.host.first(dst)
	if !src.IsValid() {
		return src, fmt.Errorf("the host has no address of this family: %w", syscall.ENETUNREACH)
	}
	return src, nil
}

// flow returns the flow along r, which is new if c did not send there before.
func (c *Conn) flow(r route) *flow {
	f := c.flows[r]
	if f == nil {
		f = &flow{key: mixEndpoint(mixAddr(c.key, r.src), r.dst), conn: c}
		c.flows[r] = f
	}
	return f
}

// mtu returns the size of the largest IP packet that c knows to pass along f,
// or 0.
func (c *Conn) mtu(f *flow) int {
	own := &c.host.out
	if own.Report && own.MTU > 0 && (f.mtu == 0 || own.MTU < f.mtu) {
		return own.MTU
	}
	return f.mtu
}

// ipSize returns the size of the IP packet of a datagram of size bytes.
func ipSize(addr netip.Addr, size int) int {
	if addr.Is6() {
		return size + 48
	}
	return size + 28
}
