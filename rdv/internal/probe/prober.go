package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"campagnol/punch"
)

const (
	// slack is how late a step of a check with times may be. All that depends
	// on time has at least this distance from the time it depends on.
	slack = 400 * time.Millisecond

	// attempts is how often a check is tried that was late.
	attempts = 3

	// patience is how long a server may take to answer.
	patience = 2 * time.Second
)

// A Prober runs checks on one server. It is safe for concurrent use.
type Prober struct {
	Server   netip.AddrPort
	Original bool // the server is one of Campagnol 0.3.5

	// Hosts are addresses of this host, which stand for one host each.
	Hosts []netip.Addr

	// Listen opens a socket at an address of Hosts, on any port.
	Listen func(netip.AddrPort) (punch.Conn, error)

	// Grace is how much later than others a datagram may arrive that was sent
	// earlier. On the loopback interface that is next to nothing.
	Grace time.Duration

	runs atomic.Uint32 // attempts begun so far
}

// errLate is why an attempt shows nothing.
var errLate = errors.New("probe: this machine is too slow: a step was late, and again when it was tried anew")

// Run runs a check. Its error says what the server did wrong, or what kept the
// check from being made.
func (p *Prober) Run(ctx context.Context, c Check) error {
	if n := c.Hosts(p.Original); n > len(p.Hosts) {
		return fmt.Errorf("probe: %q needs %d addresses of this host to send from, and %d are known", c.Name, n, len(p.Hosts))
	}
	var err error
	for range attempts {
		if err = p.attempt(ctx, c); !errors.Is(err, errLate) {
			return err
		}
	}
	return err
}

// attempt makes the exchange of c once, with sockets and VPN addresses of its
// own.
func (p *Prober) attempt(ctx context.Context, c Check) (err error) {
	n := p.runs.Add(1)
	x := &exchange{
		p:     p,
		scene: scene{vpn: [4]byte{10, byte(n >> 8), byte(n), 0}, ends: map[End]netip.AddrPort{}},
		boxes: map[End]*mailbox{},
	}
	defer x.close()
	for _, e := range append(c.ends(p.Original), bystander) {
		if err := x.open(e); err != nil {
			return err
		}
	}
	defer func() {
		if left := x.leave(ctx); err == nil {
			err = left
		}
	}()
	start := time.Now()
	for i, s := range c.steps(p.Original) {
		if err := sleep(ctx, time.Until(start.Add(s.At))); err != nil {
			return err
		}
		v, err := x.step(ctx, s)
		switch {
		case err != nil:
			return fmt.Errorf("probe: step %d, %v: %w", i+1, s.At, err)
		case c.timed(p.Original) && v.at.Sub(start) > s.At+slack:
			return errLate
		case v.wrong != nil:
			return fmt.Errorf("probe: step %d, %v: %w", i+1, s.At, v.wrong)
		}
	}
	return nil
}

// sleep waits, at most until ctx is done.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bystander is the endpoint that never registers. It is on the first host.
const bystander End = "A9"

// An exchange is one attempt at a check. One goroutine owns it.
type exchange struct {
	p       *Prober
	scene   scene
	boxes   map[End]*mailbox
	readers sync.WaitGroup
}

// open makes a socket for e.
func (x *exchange) open(e End) error {
	conn, err := x.p.Listen(netip.AddrPortFrom(x.p.Hosts[e.host()], 0))
	if err != nil {
		return fmt.Errorf("probe: open a socket for %s: %w", e, err)
	}
	box := &mailbox{conn: conn, more: make(chan struct{}, 1)}
	x.boxes[e] = box
	x.scene.ends[e] = netip.AddrPortFrom(x.p.Hosts[e.host()], conn.LocalAddr().Port())
	x.readers.Go(func() { box.read(x.p.Server) })
	return nil
}

// close closes all sockets.
func (x *exchange) close() {
	for _, box := range x.boxes {
		box.conn.Close() // ends its reader
	}
	x.readers.Wait()
}

// leave unregisters everybody, also if ctx is done.
func (x *exchange) leave(ctx context.Context) error {
	for e, box := range x.boxes {
		if e != bystander {
			if err := x.send(box, bye); err != nil {
				return err
			}
		}
	}
	_, err := x.settle(ctx)
	return err
}

// A verdict is what has come of a step.
type verdict struct {
	at    time.Time // when the server had dealt with it
	wrong error     // what it should not have done
}

// step takes one step.
func (x *exchange) step(ctx context.Context, s Step) (v verdict, err error) {
	want := map[End][][]byte{}
	for _, r := range s.Want {
		b, err := x.scene.compile(r.Data)
		if err != nil {
			return v, err
		}
		want[r.To] = append(want[r.To], b)
	}
	if err := x.send(x.boxes[s.From], s.Send); err != nil {
		return v, err
	}
	if v.at, err = x.settle(ctx); err != nil {
		return v, err
	}
	for e, ds := range want {
		x.boxes[e].await(ctx, len(ds))
	}
	if err := sleep(ctx, x.p.Grace); err != nil {
		return v, err
	}
	for _, e := range x.inOrder() {
		if got := x.boxes[e].take(); !slices.EqualFunc(got, want[e], bytes.Equal) {
			v.wrong = errors.Join(v.wrong, fmt.Errorf("%s sends %s: %s receives %s, want %s",
				s.From, x.show(s.Send), e, describeAll(got), describeAll(want[e])))
		}
	}
	return v, nil
}

// inOrder returns the endpoints that take part, in the order of their names.
func (x *exchange) inOrder() []End {
	var ends []End
	for e := range x.boxes {
		if e != bystander {
			ends = append(ends, e)
		}
	}
	slices.Sort(ends)
	return ends
}

// show describes a datagram that could be compiled.
func (x *exchange) show(text string) string {
	b, _ := x.scene.compile(text)
	return describe(b)
}

func (x *exchange) send(box *mailbox, text string) error {
	b, err := x.scene.compile(text)
	if err != nil {
		return err
	}
	if err := box.conn.Send([]punch.Datagram{{Addr: x.p.Server, Data: b}}); err != nil {
		return fmt.Errorf("send to %v: %w", x.p.Server, err)
	}
	return nil
}

// settle waits until the server has dealt with all that was sent to it, and
// returns when it had.
func (x *exchange) settle(ctx context.Context) (time.Time, error) {
	box := x.boxes[bystander]
	box.take()
	if err := x.send(box, ping); err != nil {
		return time.Time{}, err
	}
	if !box.await(ctx, 1) {
		if err := ctx.Err(); err != nil {
			return time.Time{}, err
		}
		return time.Time{}, fmt.Errorf("the server at %v does not answer a PING within %v", x.p.Server, patience)
	}
	return time.Now(), nil
}

// A mailbox is a socket and what it has received from the server.
type mailbox struct {
	conn punch.Conn
	more chan struct{} // has an element when something has come

	mu  sync.Mutex
	got [][]byte
}

// read collects what the server sends until the socket is closed. What others
// send, or what the server sends from another address than that which it was
// reached at, a NAT would keep out.
func (m *mailbox) read(server netip.AddrPort) {
	for {
		ds, err := m.conn.Receive()
		if err != nil {
			return
		}
		m.mu.Lock()
		for _, d := range ds {
			if d.Addr == server {
				for payload := range d.Segments {
					m.got = append(m.got, bytes.Clone(payload))
				}
			}
		}
		m.mu.Unlock()
		select {
		case m.more <- struct{}{}:
		default:
		}
	}
}

// take returns what has come since the last time.
func (m *mailbox) take() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	got := m.got
	m.got = nil
	return got
}

// await waits until n datagrams have come, and reports whether they came in
// time.
func (m *mailbox) await(ctx context.Context, n int) bool {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for m.count() < n {
		select {
		case <-m.more:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (m *mailbox) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.got)
}
