package turn

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/rdv/relay"
)

var (
	alice = netip.MustParseAddr("10.9.0.1")
	bob   = netip.MustParseAddr("10.9.0.2")
)

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// startRelay runs a rendezvous server's relay at a socket, and returns what ends it.
func startRelay(t testing.TB, conn punch.Conn, cfg relay.Config) (s *relay.Server, end func()) {
	t.Helper()
	cfg.Links = []relay.Link{conn}
	s = relay.New(cfg)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("relay: %v", err)
		}
	})
	wg.Go(func() { readFor(s, conn) })
	var once sync.Once
	end = func() {
		once.Do(func() {
			stop()
			conn.Close()
			wg.Wait()
		})
	}
	t.Cleanup(end)
	return s, end
}

// readFor reads a socket for a relay, as a rendezvous server does.
func readFor(s *relay.Server, conn punch.Conn) {
	door := s.Door(0)
	for {
		ds, err := conn.Receive()
		if err != nil {
			return
		}
		now := time.Now()
		for _, d := range ds {
			if d = door.Forward(now, d); len(d.Data) == 0 {
				continue
			}
			for b := range d.Segments {
				if relay.IsTURN(b) {
					door.Request(now, d.Addr, d.Local, b)
				}
			}
		}
		door.Flush()
	}
}

// A world is a relay on the Internet in memory.
type world struct {
	*relay.Server
	t      testing.TB
	net    *simnet.Net
	host   *simnet.Host
	secret *relay.Secret
	at     netip.AddrPort
	end    func()
}

const worldAddr = "198.51.100.1"

func newWorld(t testing.TB, cfg relay.Config) *world {
	t.Helper()
	n := simnet.New(1, simnet.Delay(10*time.Millisecond))
	t.Cleanup(n.Close)
	w := &world{t: t, net: n, at: at(worldAddr + ":57888"), host: n.Internet().Host(worldAddr, "2001:db8:1::1")}
	w.start(cfg)
	return w
}

// start runs the relay, also again.
func (w *world) start(cfg relay.Config) {
	w.t.Helper()
	conn, err := w.host.Listen(w.at)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.secret == nil {
		w.secret = relay.NewSecret()
	}
	cfg.Secret = w.secret
	cfg.Listen = func(at netip.AddrPort) (punch.Conn, error) { return w.host.Listen(at) }
	cfg.Own = w.host.Addrs
	w.Server, w.end = startRelay(w.t, conn, cfg)
}

// config is that of a member at a socket of the Internet.
func (w *world) config(addr string, vpn netip.Addr) Config {
	user, password := w.secret.Issue(time.Now(), vpn)
	return Config{Server: w.at, Conn: w.net.Internet().Listen(addr), User: user, Password: password}
}

// member allocates, and receives.
func (w *world) member(addr string, vpn netip.Addr) *node {
	w.t.Helper()
	return allocated(w.t, w.config(addr, vpn))
}

// allocated returns an allocation at which somebody receives.
func allocated(t testing.TB, cfg Config) *node {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	c, err := Allocate(ctx, cfg)
	if err != nil {
		t.Fatalf("allocate: %v", err)
	}
	n := newNode(t, c)
	n.Conn = c
	return n
}

// A node keeps what a socket receives.
type node struct {
	*Conn
	sock  punch.Conn
	t     testing.TB
	heard chan punch.Datagram
	err   error // of Receive; once heard is closed
}

func newNode(t testing.TB, c punch.Conn) *node {
	n := &node{sock: c, t: t, heard: make(chan punch.Datagram, 1000)}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(n.heard)
		for {
			ds, err := c.Receive()
			if err != nil {
				n.err = err
				return
			}
			for _, d := range ds {
				d.Data = slices.Clone(d.Data)
				n.heard <- d
			}
		}
	})
	t.Cleanup(func() {
		c.Close()
		wg.Wait()
	})
	return n
}

// say sends a text, and expect waits for one from an address.
func (n *node) say(to netip.AddrPort, text string) {
	n.t.Helper()
	if err := n.sock.Send([]punch.Datagram{{Addr: to, Data: []byte(text)}}); err != nil {
		n.t.Errorf("say %q: %v", text, err)
	}
}

func (n *node) expect(text string, from netip.AddrPort) {
	n.t.Helper()
	select {
	case d := <-n.heard:
		if string(d.Data) != text || d.Addr != from {
			n.t.Errorf("heard %q from %v, want %q from %v", d.Data, d.Addr, text, from)
		}
	case <-time.After(10 * time.Second):
		n.t.Errorf("%q was not heard from %v", text, from)
	}
}

// silent checks that nothing was heard.
func (n *node) silent() {
	n.t.Helper()
	select {
	case d := <-n.heard:
		n.t.Errorf("heard %q from %v, want nothing", d.Data, d.Addr)
	default:
	}
}

// peer is a socket elsewhere on the Internet.
func (w *world) peer(addr string) *node { return newNode(w.t, w.net.Internet().Listen(addr)) }

// lostAfter waits until an allocation is lost, and returns how long that took.
func (n *node) lostAfter(most time.Duration) (time.Duration, error) {
	n.t.Helper()
	begin := time.Now()
	select {
	case <-n.Done():
		return time.Since(begin), n.Err()
	case <-time.After(most):
		n.t.Fatalf("not lost after %v", most)
		return 0, nil
	}
}

// refusedWith checks that an error is a refusal with a code.
func refusedWith(t testing.TB, err error, code int) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got %v, want code %d", err, code)
	}
}

// A pair is a socket of the test itself: what a Conn sends can be looked at, and what
// it receives is given.
type pair struct {
	mu   sync.Mutex
	sent []punch.Datagram
	to   chan []punch.Datagram
	end  chan struct{}
	once sync.Once
}

func newPair() *pair { return &pair{to: make(chan []punch.Datagram, 100), end: make(chan struct{})} }

func (p *pair) Send(ds []punch.Datagram) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range ds {
		d.Data = slices.Clone(d.Data)
		p.sent = append(p.sent, d)
	}
	return nil
}

func (p *pair) take() []punch.Datagram {
	p.mu.Lock()
	defer p.mu.Unlock()
	sent := p.sent
	p.sent = nil
	return sent
}

func (p *pair) Receive() ([]punch.Datagram, error) {
	select {
	case ds := <-p.to:
		return ds, nil
	case <-p.end:
		return nil, net.ErrClosed
	}
}

func (p *pair) LocalAddr() netip.AddrPort { return at("203.0.113.1:5000") }

func (p *pair) Close() error {
	p.once.Do(func() { close(p.end) })
	return nil
}

var longText = strings.Repeat("x", 1000)
