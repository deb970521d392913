package load

import (
	"container/heap"
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"campagnol/punch"
	"campagnol/punch/udp"
	"campagnol/rdv/wire"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// What clients with a channel do.
const (
	knockWait    = time.Second // for COOKIE
	registerWait = time.Second // for REGISTERED
	failedWait   = time.Second // after a handshake that has failed
)

// An AuthConfig says what RunAuth does.
type AuthConfig struct {
	Clients  int
	Spread   time.Duration // in which all clients knock first, as after a restart of the server
	Together int           // handshakes at the same time; 0: as many as the server lets in
	Interval time.Duration // between two PINGs of a client; 0: 3 s
	Asks     int           // ASKs per second, of all clients, once all are registered
	Duration time.Duration // of PINGs and ASKs
	Seed     uint64
	Flood    int // forged datagrams per second meanwhile

	// Publish, if it is not nil, gives the server a new object for all clients. It is
	// called once, when a third of Duration is over.
	Publish func() error

	// Certificate is that of all clients. It names no address.
	Certificate tls.Certificate
	Server      netip.AddrPort
	Usage       func() (Usage, error) // see [Config]
}

// An AuthResult is what clients with a channel have measured.
type AuthResult struct {
	Register     time.Duration // from the first KNOCK to the last REGISTERED
	Waits        int           // WAITs of the server
	Failed       int           // handshakes
	Registration Usage         // what the server used for it

	Serve      time.Duration
	Pings      int
	Pong       *Latencies
	Asks       int
	Peer       *Latencies // from ASK to PEER
	Introduce  *Latencies // from ASK to the other client's INTRODUCE
	Reconnects int
	Unexpected int
	Flooded    int    // forged datagrams sent
	Missed     uint64 // datagrams that found the clients' receive buffer full
	Server     Usage
	Push       PushResult
}

func (r AuthResult) String() string {
	return fmt.Sprintf("registered in %v (%d WAITs, %d handshakes failed; server %.1f s of processor time)\n"+
		"%d PINGs in %v, %d lost; PONG after %v\n"+
		"%d ASKs, PEER lost %d, INTRODUCE lost %d; PEER after %v; INTRODUCE after %v\n"+
		"RECONNECT %d, unexpected %d, forged datagrams %d, %d datagrams of the clients dropped\n"+
		"server: %.3f cores (user %.3f, system %.3f), %.1f MB, %d datagrams dropped",
		short(r.Register), r.Waits, r.Failed, r.Registration.CPU().Seconds(),
		r.Pings, short(r.Serve), r.Pings-r.Pong.Len(), r.Pong,
		r.Asks, r.Asks-r.Peer.Len(), r.Asks-r.Introduce.Len(), r.Peer, r.Introduce,
		r.Reconnects, r.Unexpected, r.Flooded, r.Missed,
		r.Server.CPU().Seconds()/r.Serve.Seconds(), r.Server.User.Seconds()/r.Serve.Seconds(), r.Server.System.Seconds()/r.Serve.Seconds(),
		float64(r.Server.RSS)/1e6, r.Server.Dropped) + r.Push.String()
}

// An authClient is one client with a channel. What it waits for is over at next.
type authClient struct {
	phase  authPhase
	next   time.Time
	index  int // in the heap of times
	number int

	cookie [wire.CookieSize]byte
	hs     *handshake.Handshake
	cancel context.CancelFunc
	result *handshake.Result

	pinged, asked time.Time // without answer
	peer          int32
	introduced    bool // its peer has been told
	counted       bool // in authRunner.running
	object        pushed
}

type authPhase uint8

const (
	knocking authPhase = iota
	shaking
	joining
	member
)

// A schedule is the clients by the time at which they have something to do.
type schedule []*authClient

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].next.Before(s[j].next) }
func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}
func (s *schedule) Push(x any) {
	c := x.(*authClient)
	c.index = len(*s)
	*s = append(*s, c)
}
func (s *schedule) Pop() any {
	old := *s
	c := old[len(old)-1]
	*s = old[:len(old)-1]
	return c
}

// An authRunner puts clients with channels on the network. One goroutine owns it;
// one receives, one is the clock, and each handshake has its own.
type authRunner struct {
	cfg   AuthConfig
	conn  *udp.Conn
	rand  *rand.Rand
	ticks chan struct{}
	full  chan []authIn
	empty chan []authIn
	ended chan authEnd

	clients  []authClient
	due      schedule
	members  int
	running  int // from KNOCK to REGISTERED
	begin    time.Time
	serve    time.Time // zero: not all are registered
	asks     int
	before   Usage
	result   AuthResult
	out      []punch.Datagram
	tmp      record.Scratch
	helpers  sync.WaitGroup
	flooded  atomic.Int64
	finished bool

	published chan error // by Publish; nil: it has not been called
}

type authIn struct {
	at   time.Time
	to   netip.Addr
	data []byte
}

type authEnd struct {
	client *authClient
	hs     *handshake.Handshake
	result *handshake.Result
}

// RunAuth has clients with channels do what they do, and returns what it measured.
func RunAuth(ctx context.Context, cfg AuthConfig) (AuthResult, error) {
	if cfg.Clients < 2 || cfg.Clients > maxClients {
		return AuthResult{}, fmt.Errorf("load: %d clients: there are 2 to %d", cfg.Clients, maxClients)
	}
	if cfg.Interval == 0 {
		cfg.Interval = pingInterval
	}
	conn, err := udp.Listen(udp.Config{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), 0), RcvBuf: rcvBuf})
	if err != nil {
		return AuthResult{}, fmt.Errorf("load: %w", err)
	}
	r := &authRunner{
		cfg: cfg, conn: conn, rand: rand.New(rand.NewPCG(cfg.Seed, 0)),
		ticks: make(chan struct{}), full: make(chan []authIn), empty: make(chan []authIn, 2), ended: make(chan authEnd),
		clients: make([]authClient, cfg.Clients),
		result:  AuthResult{Pong: newLatencies(0), Peer: newLatencies(0), Introduce: newLatencies(0)},
	}
	r.empty <- nil
	r.empty <- nil
	return r.run(ctx)
}

func (r *authRunner) run(ctx context.Context) (AuthResult, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.helpers.Go(func() { (&runner{ticks: r.ticks}).pace(ctx) })
	r.helpers.Go(func() {
		if err := r.receive(ctx); err != nil {
			stop(fmt.Errorf("load: %w", err))
		}
	})
	err := r.loop(ctx)
	stop(nil)
	r.result.Missed = r.conn.Stats().KernelDropped
	r.conn.Close() // ends receive
	r.helpers.Wait()
	r.result.Flooded = int(r.flooded.Load())
	return r.result, err
}

func (r *authRunner) receive(ctx context.Context) error {
	for {
		ds, err := r.conn.Receive()
		if err != nil {
			return err
		}
		at := time.Now()
		var batch []authIn
		select {
		case batch = <-r.empty:
		case <-ctx.Done():
			return ctx.Err()
		}
		batch = batch[:0]
		for _, d := range ds {
			d.Segments(func(b []byte) bool {
				if d.Addr == r.cfg.Server {
					batch = append(batch, authIn{at, d.Local, append([]byte(nil), b...)})
				}
				return true
			})
		}
		select {
		case r.full <- batch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// loop owns the clients.
func (r *authRunner) loop(ctx context.Context) error {
	r.begin = time.Now()
	for i := range r.clients {
		c := &r.clients[i]
		c.number = i
		c.next = r.begin.Add(time.Duration(r.rand.Int64N(int64(r.cfg.Spread) + 1)))
		heap.Push(&r.due, c)
	}
	for !r.finished {
		select {
		case <-r.ticks:
			if err := r.advance(ctx, time.Now()); err != nil {
				return err
			}
		case batch := <-r.full:
			for _, in := range batch {
				r.handle(ctx, in)
			}
			r.empty <- batch
		case e := <-r.ended:
			r.handshakeEnded(time.Now(), e)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := r.flush(); err != nil {
			return err
		}
	}
	return nil
}

// advance does what is due, and notes when all are registered and when it is over.
func (r *authRunner) advance(ctx context.Context, now time.Time) (err error) {
	for r.due[0].next.Before(now) {
		c := r.due[0]
		r.act(now, c)
		heap.Fix(&r.due, c.index)
	}
	if r.serve.IsZero() && r.members == len(r.clients) {
		r.result.Register = now.Sub(r.begin)
		r.serve = now
		if r.before, err = r.usage(); err != nil {
			return err
		}
		r.result.Registration = r.before
		if r.cfg.Flood > 0 {
			r.helpers.Go(func() { r.flood(ctx) })
		}
	}
	if r.serve.IsZero() {
		return nil
	}
	over := now.Sub(r.serve)
	if err := r.publish(now, over); err != nil {
		return err
	}
	if over >= r.cfg.Duration {
		if r.result.Serve == 0 {
			r.result.Serve = over
			end, err := r.usage()
			r.result.Server = end.Sub(r.before)
			if err != nil {
				return err
			}
		}
		r.finished = over >= r.cfg.Duration+drainWait/2
		return nil
	}
	for ; now.Sub(r.serve) >= time.Duration(r.asks)*time.Second/time.Duration(max(r.cfg.Asks, 1)) && r.cfg.Asks > 0; r.asks++ {
		r.ask(now)
	}
	return nil
}

func (r *authRunner) usage() (Usage, error) {
	if r.cfg.Usage == nil {
		return Usage{}, nil
	}
	return r.cfg.Usage()
}

// act does what is due for a client.
func (r *authRunner) act(now time.Time, c *authClient) {
	switch c.phase {
	case knocking:
		if r.cfg.Together > 0 && !c.counted && r.running >= r.cfg.Together {
			c.next = now.Add(time.Duration(r.rand.Int64N(int64(50 * time.Millisecond)))) // it costs us more than the server
			return
		}
		if !c.counted {
			c.counted = true
			r.running++
		}
		r.send(c, wire.GateMessage{Type: wire.Knock, Version: wire.GateVersion}.Append(nil))
		c.next = now.Add(knockWait)
	case shaking:
		c.next = now.Add(time.Hour) // until it ends
	case joining:
		r.register(now, c)
	case member:
		if r.result.Serve == 0 {
			if !r.serve.IsZero() {
				r.result.Pings++
				c.pinged = now
			}
			r.send(c, wire.Message{Type: wire.Ping}.Append(nil))
			r.fetchAgain(c)
		}
		c.next = now.Add(r.cfg.Interval)
	}
}

// again makes a client begin anew after a while.
func (r *authRunner) again(now time.Time, c *authClient, wait time.Duration) {
	if c.cancel != nil {
		c.cancel()
	}
	r.settle(c)
	c.phase, c.hs, c.cancel = knocking, nil, nil
	c.next = now.Add(wait)
	heap.Fix(&r.due, c.index)
}

// client returns the client that has address a, of those that begin with first; nil
// if nobody has.
func (r *authRunner) client(a, first netip.Addr) *authClient {
	if i, ok := indexOf(a, first, len(r.clients)); ok {
		return &r.clients[i]
	}
	return nil
}

// settle notes that a client is no longer on its way to a channel.
func (r *authRunner) settle(c *authClient) {
	if c.counted {
		c.counted = false
		r.running--
	}
}
