package relay

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"
)

var (
	alice = netip.MustParseAddr("10.9.0.1")
	bob   = netip.MustParseAddr("10.9.0.2")
)

// A rig is a relay at a socket, which it reads as a rendezvous server does.
type rig struct {
	*Server
	t    testing.TB
	conn punch.Conn
	at   netip.AddrPort
	end  func()
}

// startRig runs a relay at conn, which others reach at an address.
func startRig(t testing.TB, conn punch.Conn, at netip.AddrPort, cfg Config) *rig {
	t.Helper()
	cfg.Links = []Link{conn}
	if cfg.Secret == nil {
		cfg.Secret = NewSecret()
	}
	r := &rig{Server: New(cfg), t: t, conn: conn, at: at}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	wg.Go(r.read)
	var once sync.Once
	r.end = func() {
		once.Do(func() {
			stop()
			conn.Close()
			wg.Wait()
		})
	}
	t.Cleanup(r.end)
	return r
}

func (r *rig) read() { r.readBy(r.Door(0)) }

// readBy reads what comes to the rig's socket, which is that of a door.
func (r *rig) readBy(door *Door) {
	for {
		ds, err := r.conn.Receive()
		if err != nil {
			return
		}
		now := time.Now()
		for _, d := range ds {
			if d = door.Forward(now, d); len(d.Data) == 0 {
				continue
			}
			for b := range d.Segments {
				if IsTURN(b) {
					door.Request(now, d.Addr, d.Local, b)
				}
			}
		}
		door.Flush()
	}
}

// A packetConn is a punch.Conn as pion's client wants it.
type packetConn struct {
	punch.Conn
	pending []punch.Datagram
}

func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for len(c.pending) == 0 {
		ds, err := c.Receive()
		if err != nil {
			return 0, nil, err
		}
		for _, d := range ds {
			for x := range d.Segments {
				c.pending = append(c.pending, punch.Datagram{Addr: d.Addr, Data: slices.Clone(x)})
			}
		}
	}
	d := c.pending[0]
	c.pending = c.pending[1:]
	return copy(b, d.Data), net.UDPAddrFromAddrPort(d.Addr), nil
}

func (c *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	return len(b), c.Send([]punch.Datagram{{Addr: to.(*net.UDPAddr).AddrPort(), Data: b}})
}

func (c *packetConn) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(c.Conn.LocalAddr()) }
func (c *packetConn) SetDeadline(time.Time) error      { return nil }
func (c *packetConn) SetReadDeadline(time.Time) error  { return nil }
func (c *packetConn) SetWriteDeadline(time.Time) error { return nil }

var quiet = &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}

// dial returns a client of the relay with credentials.
func (r *rig) dial(conn net.PacketConn, user, password string) *turn.Client {
	r.t.Helper()
	c, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: r.at.String(), Username: user, Password: password,
		Conn: conn, LoggerFactory: quiet,
	})
	if err == nil {
		err = c.Listen()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		c.Close()
		conn.Close()
	})
	return c
}

// member returns a client with the credentials of a member, and its relayed socket.
func (r *rig) member(conn net.PacketConn, vpn netip.Addr) (*turn.Client, net.PacketConn) {
	r.t.Helper()
	user, password := r.cfg.Secret.Issue(time.Now(), vpn)
	c := r.dial(conn, user, password)
	relayed, err := c.Allocate()
	if err != nil {
		r.t.Fatalf("allocate: %v", err)
	}
	r.t.Cleanup(func() { relayed.Close() })
	return c, relayed
}

// at returns the address of a socket.
func at(a net.Addr) netip.AddrPort { return a.(*net.UDPAddr).AddrPort() }

// A world is a relay on the Internet in memory.
type world struct {
	*rig
	net  *simnet.Net
	host *simnet.Host
}

const (
	worldAddr  = "198.51.100.1"
	worldAddr6 = "2001:db8:1::1"
)

func newWorld(t testing.TB, cfg Config) *world {
	t.Helper()
	n := simnet.New(1, simnet.Delay(10*time.Millisecond))
	t.Cleanup(n.Close)
	host := n.Internet().Host(worldAddr, worldAddr6)
	where := netip.MustParseAddrPort(worldAddr + ":57888")
	conn, err := host.Listen(where)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen = func(at netip.AddrPort) (punch.Conn, error) { return host.Listen(at) }
	cfg.Own = host.Addrs
	return &world{startRig(t, conn, where, cfg), n, host}
}

// socket returns a socket of a host of its own.
func (w *world) socket(addr string) *packetConn {
	c := w.net.Internet().Listen(addr)
	w.t.Cleanup(func() { c.Close() })
	return &packetConn{Conn: c}
}

// say sends a text, and hear returns the next one, and who has said it.
func say(t testing.TB, from net.PacketConn, to net.Addr, text string) {
	t.Helper()
	if _, err := from.WriteTo([]byte(text), to); err != nil {
		t.Fatalf("say %q: %v", text, err)
	}
}

func hear(t testing.TB, at net.PacketConn) (string, net.Addr) {
	t.Helper()
	b := make([]byte, 2000)
	n, from, err := at.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n]), from
}
