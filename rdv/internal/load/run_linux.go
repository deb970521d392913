package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"campagnol/punch"
	"campagnol/punch/udp"
	"campagnol/rdv/wire"
)

// A Config says what Run does.
type Config struct {
	FleetConfig
	Server netip.AddrPort // on the loopback interface

	// Usage reads what the server has used; nil: the result says nothing of it.
	Usage func() (Usage, error)
}

// Run has a fleet do what it does, and returns what it measured.
func Run(ctx context.Context, cfg Config) (Result, error) {
	if cfg.Clients < 2 || cfg.Clients > maxClients {
		return Result{}, fmt.Errorf("load: a fleet of %d clients: it has 2 to %d", cfg.Clients, maxClients)
	}
	if !cfg.Server.Addr().IsLoopback() || !cfg.Server.Addr().Is4() {
		return Result{}, fmt.Errorf("load: server %v: the clients have addresses of 127.0.0.0/8, and reach none but those", cfg.Server)
	}
	conn, err := udp.Listen(udp.Config{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), 0), RcvBuf: rcvBuf})
	if err != nil {
		return Result{}, fmt.Errorf("load: %w", err)
	}
	r := &runner{
		cfg: cfg, conn: conn,
		fleet: NewFleet(cfg.FleetConfig),
		ticks: make(chan struct{}),
		full:  make(chan []received),
		empty: make(chan []received, 2),
	}
	r.empty <- nil
	r.empty <- nil
	return r.run(ctx)
}

// rcvBuf is the receive buffer of the fleet, more than that of the server: it
// is not the one to lose anything.
const rcvBuf = 32 << 20

// A runner puts a fleet on the network. Its goroutines are those of the server:
// one receives, one owns the fleet. A third is the clock.
type runner struct {
	cfg   Config
	conn  *udp.Conn
	ticks chan struct{}
	full  chan []received // from receive to loop
	empty chan []received // and back

	// Owned by loop.
	fleet *Fleet
	out   []Out
	buf   []byte
	send  []punch.Datagram
	usage Usage // of the server, when all clients were registered
	serve time.Time
	took  time.Duration // until the last PING
}

// A received is a message with the time of its arrival.
type received struct {
	at  time.Time
	to  netip.Addr
	msg wire.Message
}

// run runs the goroutines until the fleet is done, ctx is, or the socket fails.
func (r *runner) run(ctx context.Context) (Result, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var helpers sync.WaitGroup
	helpers.Go(func() { r.pace(ctx) })
	helpers.Go(func() {
		if err := r.receive(ctx); err != nil {
			stop(fmt.Errorf("load: %w", err))
		}
	})
	err := r.loop(ctx)
	stop(nil)
	result := r.fleet.Result()
	result.Missed = r.conn.Stats().KernelDropped
	r.conn.Close() // ends receive
	helpers.Wait()
	result.Serve = r.took
	result.Server = r.usage
	return result, err
}

// tick is how often the fleet looks what is due. At 33,333 PINGs a second, three
// are: what comes from the Internet is not more even.
const tick = 100 * time.Microsecond

// pace sends ticks. The runtime's timers are not used because they are only as
// fine as milliseconds in a process that sleeps. A tick that nobody takes is
// lost.
func (r *runner) pace(ctx context.Context) {
	for ctx.Err() == nil {
		t := unix.NsecToTimespec(int64(tick))
		_ = unix.Nanosleep(&t, nil) // a signal ends it early: no harm
		select {
		case r.ticks <- struct{}{}:
		default:
		}
	}
}

// receive hands over what comes in, until ctx is done.
func (r *runner) receive(ctx context.Context) error {
	for {
		ds, err := r.conn.Receive()
		if err != nil {
			return err
		}
		at := time.Now()
		var batch []received
		select {
		case batch = <-r.empty:
		case <-ctx.Done():
			return ctx.Err()
		}
		batch = batch[:0]
		for _, d := range ds {
			if m, err := wire.Parse(d.Data); err == nil && d.Addr == r.cfg.Server {
				batch = append(batch, received{at, d.Local, m})
			}
		}
		select {
		case r.full <- batch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// loop owns the fleet.
func (r *runner) loop(ctx context.Context) error {
	for {
		if err := r.advance(time.Now()); err != nil || r.fleet.Done() {
			return err
		}
		select {
		case <-r.ticks:
		case batch := <-r.full:
			r.out = r.out[:0]
			for _, in := range batch {
				r.out = r.fleet.Handle(in.at, in.to, in.msg, r.out)
			}
			r.empty <- batch
			if err := r.flush(); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// advance sends what is due, and reads what the server has used when the fleet
// begins and ends to PING.
func (r *runner) advance(now time.Time) error {
	r.out = r.fleet.Advance(now, r.out[:0])
	if err := r.flush(); err != nil {
		return err
	}
	var err error
	switch {
	case r.serve.IsZero() && r.fleet.Registered():
		r.serve = now
		r.usage, err = r.readUsage()
	case r.took == 0 && r.fleet.Sent():
		r.took = now.Sub(r.serve)
		var end Usage
		end, err = r.readUsage()
		r.usage = end.Sub(r.usage)
	}
	return err
}

func (r *runner) readUsage() (Usage, error) {
	if r.cfg.Usage == nil {
		return Usage{}, nil
	}
	return r.cfg.Usage()
}

// flush sends r.out.
func (r *runner) flush() error {
	if len(r.out) == 0 {
		return nil
	}
	r.buf, r.send = r.buf[:0], r.send[:0]
	for _, o := range r.out {
		// If buf moves, what was appended before stays where it is.
		start := len(r.buf)
		r.buf = o.Msg.Append(r.buf)
		r.send = append(r.send, punch.Datagram{Addr: r.cfg.Server, Local: clientAddr(o.Client), Data: r.buf[start:]})
	}
	if err := r.conn.Send(r.send); err != nil && !errors.Is(err, unix.ENOBUFS) {
		return fmt.Errorf("load: %w", err)
	}
	return nil
}
