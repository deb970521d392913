package client

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/tunnel/device"
	"campagnol/tunnel/handshake"
)

// A deafConn is a punch.Conn to which nothing comes, and which counts what is
// sent.
type deafConn struct {
	closed    chan struct{}
	once      sync.Once
	mu        sync.Mutex
	datagrams int
	calls     int
}

func (c *deafConn) Receive() ([]punch.Datagram, error) { <-c.closed; return nil, net.ErrClosed }
func (c *deafConn) LocalAddr() netip.AddrPort          { return netip.MustParseAddrPort("192.0.2.1:5000") }
func (c *deafConn) Close() error                       { c.once.Do(func() { close(c.closed) }); return nil }
func (c *deafConn) Send(ds []punch.Datagram) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.datagrams += len(ds)
	c.calls++
	return nil
}

// A crowd is a running client with many sessions.
type crowd struct {
	client *Client
	conn   punch.Conn
	stop   func()
}

// newCrowd starts a client that has sessions with n peers, which came one by one
// over the given time.
func newCrowd(t testing.TB, conn punch.Conn, n int, over time.Duration, edit func(*Config)) *crowd {
	t.Helper()
	cfg := Config{
		VPNAddr: netip.MustParseAddr("10.0.0.1"), Network: netip.MustParsePrefix("10.0.0.0/8"),
		Conn: conn, Device: device.NewMemory("tun0"),
		Settings: Settings{Servers: At(rdvAddr), Certificate: testCertificate(t), Verify: believe, MaxClients: n},
	}
	if edit != nil {
		edit(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Errorf("client: %v", err)
		}
	})
	stop := sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	hs, err := handshake.New(handshake.Config{Server: true, Certificate: cfg.Certificate}, func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		c.do(ctx, func(now time.Time) { c.welcome(now, t, i, hs) })
		if over > 0 && i%100 == 99 {
			time.Sleep(over * 100 / time.Duration(n))
		}
	}
	return &crowd{client: c, conn: conn, stop: stop}
}

// welcome opens the session with the i-th peer. What a real handshake leaves
// behind is there: a chain of two certificates, and the last flight.
func (c *Client) welcome(now time.Time, t testing.TB, i int, hs *handshake.Handshake) {
	vpn, addr := peerAt(i)
	r := loop(t)
	leaf := c.cfg.Certificate.Certificate[0]
	r.Certificates = [][]byte{bytes.Clone(leaf), bytes.Clone(leaf)}
	if i%2 == 0 { // it was the client
		r.LastFlight = [][]byte{make([]byte, 64)}
	}
	p := c.addPeer(vpn)
	p.try = &try{began: now, asked: i%2 == 0}
	c.beginPunching(now, p, nil, punch.Candidate{Addr: addr})
	p.staged = append(p.staged, packetTo(c.cfg.VPNAddr, vpn, "first"))
	run := &running{hs: hs, at: punch.Endpoint{Addr: addr}, cancel: func() {}, under: c.changes, server: i%2 == 0}
	p.try.running = []*running{run}
	c.handleFinished(now, handshakeEnd{p: p, run: run, result: r})
}

// inUse returns the bytes in use after a collection.
func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first left to finalizers
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestCrowdMemory: an idle session costs at most 8 KiB, and no goroutine.
func TestCrowdMemory(t *testing.T) {
	const n, limit = 10_000, 8 << 10
	small := newCrowd(t, &deafConn{closed: make(chan struct{})}, 1, 0, nil)
	goroutines := runtime.NumGoroutine()
	small.stop()
	before := inUse()
	c := newCrowd(t, &deafConn{closed: make(chan struct{})}, n, 0, nil)
	var s Status
	s, err := c.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Peers {
		if p.State != "ESTABLISHED" {
			t.Fatalf("%v is %s", p.VPNAddr, p.State)
		}
	}
	if len(s.Peers) != n {
		t.Fatalf("%d sessions, want %d", len(s.Peers), n)
	}
	s = Status{}
	each := int64(inUse()-before) / n
	t.Logf("%d bytes for each session", each)
	if each > limit {
		t.Errorf("a session costs %d bytes, want at most %d", each, limit)
	}
	if now := runtime.NumGoroutine(); now > goroutines {
		t.Errorf("%d goroutines with %d sessions, %d with one", now, n, goroutines)
	}
	runtime.KeepAlive(c)
}

// TestCrowdTable: what the opening of one session costs control when there are
// 10,000 already, everything included: less than a millisecond.
func TestCrowdTable(t *testing.T) {
	const n, more = 10_000, 200
	c := newCrowd(t, &deafConn{closed: make(chan struct{})}, n, 0, func(cfg *Config) { cfg.MaxClients = n + more })
	hs, err := handshake.New(handshake.Config{Server: true, Certificate: c.client.cfg.Certificate}, func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	best := time.Hour // others may have the processor meanwhile
	for i := range more {
		start := time.Now()
		c.client.do(t.Context(), func(now time.Time) { c.client.welcome(now, t, n+i, hs) })
		best = min(best, time.Since(start))
	}
	t.Logf("a session opens in %v", best)
	if best > time.Millisecond {
		t.Errorf("a session more takes %v, want less than a millisecond", best)
	}
	if got := c.client.table.Load().routes.len(); got != n+more {
		t.Errorf("%d routes, want %d", got, n+more)
	}
}
