package turn

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"campagnol/punch"
)

// A Family is an address family, as RFC 8656 section 18.6 numbers it.
type Family uint8

// The families. 0 means that of the relay's choice.
const (
	IPv4 Family = 1
	IPv6 Family = 2
)

// Config says where the relay is, and who asks it.
type Config struct {
	// Server is the address of the relay, as Conn has it. Nothing that comes from
	// elsewhere counts.
	Server netip.AddrPort

	// Conn is the way to the relay: a UDP socket of its own, since a relay knows an
	// allocation by it, or the end of a stream. The Conn that Allocate returns owns
	// it; it is closed if Allocate fails, too.
	Conn punch.Conn

	// Reliable says that Conn is a stream: requests are not repeated. A Datagram of
	// Conn is a message all the same (they tell their length, so that no framing is
	// needed), or a run of messages of equal size. Data over channels is padded to
	// four bytes here, before it goes to Conn (RFC 8656 section 12.5); what Conn
	// hands over may have the padding or be without.
	Reliable bool

	// Transport is what Conn is, for people; "" is tcp for a stream, and udp.
	Transport string

	// User and Password are long-term credentials (RFC 8489 section 9.2), as they are
	// to be used: what is not ASCII is not prepared here.
	User, Password string

	// Family is that of the relayed address.
	Family Family

	// Lifetime is how long the relay is asked to keep the allocation without a
	// refresh; 0 means two minutes. Some grant ten at least.
	Lifetime time.Duration

	// Log takes what happens; nil means nowhere.
	Log *slog.Logger

	epoch time.Time // from which the data path counts
}

// withDefaults returns cfg with its zero values replaced.
func (cfg Config) withDefaults() Config {
	if cfg.Lifetime <= 0 {
		cfg.Lifetime = askLife
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Server = plain(cfg.Server)
	cfg.epoch = time.Now()
	return cfg
}

// plain returns an address without what only its socket knows it by: a zone that says
// that it is a stream's.
func plain(a netip.AddrPort) netip.AddrPort {
	if ip := a.Addr(); ip.Is4In6() || ip.Zone() != "" && !ip.IsLinkLocalUnicast() {
		return netip.AddrPortFrom(ip.Unmap().WithZone(""), a.Port())
	}
	return a
}

// A Conn is an allocation: an address at a relay, by which data is sent and received.
// It is a [punch.RelayConn]. Somebody has to call Receive all the time, since the
// relay's answers come among the data.
type Conn struct {
	cfg    Config
	to     netip.AddrPort // the relay, as cfg.Conn has it
	table  atomic.Pointer[table]
	arenas chan *arena
	stats  stats

	// Of the data path, as durations since the epoch.
	sent   atomic.Int64 // data, last
	owed   atomic.Int64 // since when something should have been heard; 0: nothing
	asleep atomic.Bool  // the goroutine does not look

	requests chan []byte // for speak

	ready  chan struct{} // closed when there is a relayed address
	awake  chan struct{}
	closed chan struct{} // closed by Close
	done   chan struct{} // closed when the allocation is lost, or by Close
	wg     sync.WaitGroup
	once   sync.Once // for closed

	// Of the goroutine that calls Receive.
	in []punch.Datagram

	mu sync.Mutex // guards the machine; it is held for no I/O, and not for a datagram
	m  *machine
}

var _ punch.RelayConn = (*Conn)(nil)

// Allocate asks a relay for an address, until ctx is done.
func Allocate(ctx context.Context, cfg Config) (*Conn, error) {
	c := newConn(cfg)
	var reader sync.WaitGroup
	reader.Go(c.listen)
	c.wg.Go(c.run)
	c.wg.Go(c.speak)
	select {
	case <-c.ready:
	case <-c.done:
	case <-ctx.Done():
		c.lose(fmt.Errorf("turn: no answer of relay %v: %w", c.cfg.Server, context.Cause(ctx)))
	}
	reader.Wait()
	if err := c.Err(); err != nil {
		c.Close()
		return nil, err
	}
	c.cfg.Log.Debug("relayed address {addr} at {relay}", "addr", c.LocalAddr(), "relay", c.Relay())
	return c, nil
}

// newConn returns a Conn that has not begun.
func newConn(cfg Config) *Conn {
	c := &Conn{
		to: cfg.Server, cfg: cfg.withDefaults(), arenas: make(chan *arena, arenaCount), requests: make(chan []byte, maxRequests),
		ready: make(chan struct{}), awake: make(chan struct{}, 1), closed: make(chan struct{}), done: make(chan struct{}),
	}
	for range arenaCount {
		c.arenas <- &arena{}
	}
	c.m = newMachine(c.cfg)
	c.table.Store(c.m.table())
	return c
}

// LocalAddr returns the relayed address, at which peers reach us.
func (c *Conn) LocalAddr() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m.relayed
}

// Mapped returns the address from which the relay is asked, as it sees it.
func (c *Conn) Mapped() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m.mapped
}

// Relay returns where the relay is and how it is reached, for people.
func (c *Conn) Relay() string {
	by := c.cfg.Transport
	switch {
	case by != "":
	case c.cfg.Reliable:
		by = "tcp"
	default:
		by = "udp"
	}
	return c.cfg.Server.String() + " (" + by + ")"
}

// RTT returns how long the relay took for its last answer.
func (c *Conn) RTT() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m.rtt
}

// Done returns a channel that is closed when the allocation is lost, or after Close.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns why the allocation is lost: an [*Error], [ErrSilent], [ErrExpired], or
// what has happened to the way to the relay. It is net.ErrClosed after Close, and nil
// while all is well.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m.err
}

// SetCredentials replaces user and password by others of the same user, before those
// cease to be good. They count from the next request on, which comes at once, so that
// it shows whether they do.
func (c *Conn) SetCredentials(user, password string) {
	c.step(func(m *machine, now time.Time, out [][]byte) [][]byte {
		m.credentials(user, password)
		if m.state == standing {
			m.drop(refresh)
			m.refresh = now
		}
		return out
	})
	c.wake()
}

// Permit lets addresses send to the relayed one, before anything is sent to them, from
// when the relay has heard of it, for ten minutes at least. What is sent to opens itself.
func (c *Conn) Permit(addrs ...netip.Addr) (err error) {
	c.step(func(m *machine, now time.Time, out [][]byte) [][]byte {
		for _, a := range addrs {
			var e error
			if out, e = m.open(now, a.Unmap(), out); e != nil && err == nil {
				err = e
			}
		}
		return out
	})
	c.wake()
	return err
}

// Close gives the address back, if the relay hears it, and ends Receive.
func (c *Conn) Close() error {
	c.once.Do(func() {
		c.mu.Lock()
		c.m.fail(net.ErrClosed)
		c.mu.Unlock()
		close(c.closed)
	})
	c.wg.Wait()
	return nil
}

// hangUp ends the way to the relay, with a last word: that the address is not needed any
// more. If it is lost, the relay notices some time.
func (c *Conn) hangUp() {
	c.mu.Lock()
	last, addr, err := c.m.release(), c.m.relayed, c.m.err
	c.mu.Unlock()
	if addr.IsValid() {
		c.cfg.Log.Debug("relayed address {addr} is no more", "addr", addr, "err", err)
	}
	if last != nil && !c.cfg.Reliable { // the end of a stream says it, and it might let us wait
		_ = c.cfg.Conn.Send([]punch.Datagram{{Addr: c.to, Data: last}})
	}
	c.cfg.Conn.Close()
}

// broken ends the allocation because there is no way to the relay any more.
func (c *Conn) broken(err error) {
	c.lose(fmt.Errorf("turn: the way to relay %v: %w", c.cfg.Server, err))
}

// lose ends the allocation.
func (c *Conn) lose(err error) {
	c.step(func(m *machine, _ time.Time, out [][]byte) [][]byte {
		m.fail(err)
		return out
	})
	c.wake()
}

// step changes the machine, and has sent what it has to say. now is read under the lock,
// so that it does not go back.
func (c *Conn) step(change func(m *machine, now time.Time, out [][]byte) [][]byte) {
	for _, b := range c.locked(change) {
		select {
		case c.requests <- b:
		default: // the way to the relay is stuck: silence follows
			c.stats.failed.Add(1)
		}
	}
}

// maxRequests is how many requests wait for the way to the relay: at once there may be
// one for each peer, and some more.
const maxRequests = maxRoutes + maxPermissions + 16

// speak sends requests. A stream may let it wait; neither who receives nor who watches
// the time should.
func (c *Conn) speak() {
	for {
		select {
		case b := <-c.requests:
			_ = c.cfg.Conn.Send([]punch.Datagram{{Addr: c.to, Data: b}}) // as if lost
		case <-c.done:
			return
		}
	}
}

func (c *Conn) locked(change func(m *machine, now time.Time, out [][]byte) [][]byte) [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m.state == lost {
		return nil
	}
	before, owed := c.m.state, c.owed.Load()
	if before == standing {
		c.m.observe(c.at(c.sent.Load()), c.at(owed))
	}
	out := change(c.m, time.Now(), nil)
	if owed != 0 && c.m.owed.IsZero() { // the relay was heard
		c.owed.CompareAndSwap(owed, 0)
	}
	if c.m.changed {
		c.m.changed = false
		c.table.Store(c.m.table())
	}
	if before == asking && c.m.state == standing {
		close(c.ready)
	}
	return out
}

// since returns a time as the data path counts; it is never 0.
func (c *Conn) since(now time.Time) int64 { return max(int64(now.Sub(c.cfg.epoch)), 1) }

// at returns the time that since has made a number of.
func (c *Conn) at(since int64) time.Time {
	if since == 0 {
		return time.Time{}
	}
	return c.cfg.epoch.Add(time.Duration(since))
}

// wake has the goroutine look.
func (c *Conn) wake() {
	select {
	case c.awake <- struct{}{}:
	default:
	}
}

// watch is how often the goroutine looks whether the relay is heard, while we send, and
// stay how long it does after that.
const (
	watch = 250 * time.Millisecond
	stay  = time.Second
)

// run does what is due, until the allocation ends.
func (c *Conn) run() {
	defer close(c.done)
	defer c.hangUp() // also for whoever is in Receive
	c.step(func(m *machine, now time.Time, out [][]byte) [][]byte { return m.start(now, out) })
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var next time.Time
		ended := true
		c.step(func(m *machine, now time.Time, out [][]byte) [][]byte {
			out = m.advance(now, out)
			next, ended = m.next(), m.state == lost
			return out
		})
		if ended {
			return
		}
		timer.Reset(c.rest(next))
		select {
		case <-timer.C:
		case <-c.awake:
		case <-c.closed:
			return
		}
	}
}

// rest returns how long there is nothing to do. While data is sent that is not long;
// then the next datagram wakes the goroutine.
func (c *Conn) rest(next time.Time) time.Duration {
	now := time.Now()
	c.asleep.Store(true)
	if sent := c.sent.Load(); sent != 0 && c.since(now)-sent < int64(stay) {
		c.asleep.Store(false)
		next = earlier(next, now.Add(watch))
	}
	if next.IsZero() {
		return time.Hour
	}
	return max(next.Sub(now), 0)
}
