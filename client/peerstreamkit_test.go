package client

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	punchstream "campagnol/punch/stream"
	"campagnol/rdv"
)

// wires are TCP in memory, for hosts of the simulated Internet, which has only UDP.
type wires struct {
	mu    sync.Mutex
	doors map[netip.AddrPort]*door
	dials []time.Time
	open  []net.Conn
	port  uint16 // of the last who has dialled
}

// A door is a net.Listener.
type door struct {
	at     netip.AddrPort
	in     chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// listen returns a door at an address.
func (w *wires) listen(at string) *door {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := &door{at: netip.MustParseAddrPort(at), in: make(chan net.Conn), closed: make(chan struct{})}
	if w.doors == nil {
		w.doors = map[netip.AddrPort]*door{}
	}
	w.doors[d.at] = d
	return d
}

func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.in:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

func (d *door) Close() error   { d.once.Do(func() { close(d.closed) }); return nil }
func (d *door) Addr() net.Addr { return net.TCPAddrFromAddrPort(d.at) }

// A cable is one end of a connection.
type cable struct {
	net.Conn
	local, remote netip.AddrPort
}

func (c *cable) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *cable) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

var errNobody = errors.New("connection refused")

// dial connects a host to a door.
func (w *wires) dial(ctx context.Context, from netip.Addr, addr string) (net.Conn, error) {
	at := netip.MustParseAddrPort(addr)
	w.mu.Lock()
	d := w.doors[at]
	w.port++
	local := netip.AddrPortFrom(from, 40000+w.port)
	w.dials = append(w.dials, time.Now())
	w.mu.Unlock()
	if d == nil {
		return nil, errNobody
	}
	a, b := net.Pipe()
	select {
	case d.in <- &cable{b, at, local}:
	case <-d.closed:
		return nil, errNobody
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = append(w.open, a)
	return &cable{a, local, at}, nil
}

// cut ends all connections.
func (w *wires) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		c.Close()
	}
	w.open = nil
}

// dialled returns when connections were tried, since a moment.
func (w *wires) dialled(since time.Time) (list []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.dials {
		if !t.Before(since) {
			list = append(list, t.Sub(since).Round(time.Second))
		}
	}
	return list
}

// dialer returns a Config.DialPeer.
func (w *wires) dialer(from string) func(context.Context, netip.AddrPort) (punch.StreamConn, error) {
	return func(ctx context.Context, at netip.AddrPort) (punch.StreamConn, error) {
		c, err := punchstream.Dial(ctx, punchstream.Config{Addr: at, As: punchstream.Zone(at), DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return w.dial(ctx, netip.MustParseAddr(from), addr)
		}})
		if err != nil {
			return nil, err
		}
		return c, nil
	}
}

// A tcpPlay is alice and bob, between whom nothing passes by UDP as long as it is cut. Bob
// takes connections at bobDoor.
type tcpPlay struct {
	*vpn
	wires
	alice, bob *node
	accept     *punchstream.Listener // bob's
	cut        atomic.Bool
	strays     atomic.Int64 // datagrams of UDP to bobDoor
}

const bobDoor = "203.0.113.22:443"

// byTCP plays on a simulated Internet. edit changes the configurations.
func byTCP(t *testing.T, edit func(*Config), f func(p *tcpPlay)) {
	t.Helper()
	inBubble(t, func(v *vpn) {
		v.ourServer(rdv.Mixed)
		p := &tcpPlay{vpn: v}
		p.cut.Store(true)
		var alice, bob atomic.Pointer[simnet.Conn]
		v.net.Drop(func(q simnet.Packet) bool {
			if q.Dst == netip.MustParseAddrPort(bobDoor) {
				p.strays.Add(1)
			}
			return p.cut.Load() && q.Dst != v.server && (q.From == alice.Load() || q.From == bob.Load())
		})
		each := func(c *Config) {
			v.authentic(AuthYes, nil)(c)
			c.MTU = 1419
			if edit != nil {
				edit(c)
			}
		}
		p.accept = punchstream.Listen(p.wires.listen(bobDoor), punchstream.ListenConfig{})
		p.alice = v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", func(c *Config) {
			c.DialPeer = p.dialer("203.0.113.21")
			each(c)
		})
		p.bob = v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", func(c *Config) {
			c.Accept = p.accept
			c.Configured = []punch.Candidate{{Addr: netip.MustParseAddrPort(bobDoor), Kind: punch.Stream}}
			each(c)
		})
		alice.Store(p.alice.conn)
		bob.Store(p.bob.conn)
		pass(time.Second)
		f(p)
		if n := p.strays.Load(); n != 0 {
			t.Errorf("%d datagrams were sent by UDP to where connections are taken", n)
		}
	})
}

// reaches uses the session of alice and bob until both are on a path of a kind, and returns
// how long that took.
func (p *tcpPlay) reaches(kind string, within time.Duration) time.Duration {
	p.t.Helper()
	start := time.Now()
	for time.Since(start) < within {
		p.alice.send(p.bob.vpn, "there")
		pass(20 * time.Millisecond)
		p.bob.send(p.alice.vpn, "back")
		pass(20 * time.Millisecond)
		p.alice.texts()
		p.bob.texts()
		if p.alice.peerOf(p.bob).Path == kind && p.bob.peerOf(p.alice).Path == kind {
			return time.Since(start)
		}
	}
	p.t.Fatalf("the paths are %q and %q after %v, want %q", p.alice.peerOf(p.bob).Path, p.bob.peerOf(p.alice).Path, within, kind)
	return within
}
