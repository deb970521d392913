package natcheck

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"campagnol/punch"
)

// A machine is what a check and a measurement have in common.
type machine interface {
	Handle(now time.Time, socket int, from netip.AddrPort, data []byte, out []Out) []Out
	Advance(now time.Time, out []Out) []Out
	Timeout() time.Time
	Done() bool
}

// An arrival is a datagram that has come to a socket.
type arrival struct {
	socket int
	from   netip.AddrPort
	data   []byte
}

// waiting is how many arrivals may wait; what is beyond is lost, and asked for again.
const waiting = 16

// Run makes a check on sockets of its own, the primary first, and closes them. It
// fills in cfg.Ports. Each time when the primary waits for STUN from other places than
// before, it calls awaits, unless that is nil. It returns when the check is over, or
// with the cause when ctx is.
func Run(ctx context.Context, cfg Config, conns []punch.Conn, awaits func([]netip.AddrPort)) (Result, error) {
	cfg.Ports = nil
	for _, conn := range conns {
		cfg.Ports = append(cfg.Ports, conn.LocalAddr().Port())
	}
	c, out := Start(time.Now(), cfg, nil)
	var last []netip.AddrPort
	changed := func() {
		if list := c.Sources(); awaits != nil && !slices.Equal(list, last) {
			last = list
			awaits(list)
		}
	}
	err := drive(ctx, c, conns, out, changed)
	if err != nil {
		return Result{}, err
	}
	return c.Result(), nil
}

// drive runs a machine on sockets, and closes them. It calls changed before it sends.
func drive(ctx context.Context, m machine, conns []punch.Conn, out []Out, changed func()) error {
	arrivals := make(chan arrival, waiting)
	var readers sync.WaitGroup
	defer readers.Wait()
	for i, conn := range conns {
		defer conn.Close()
		readers.Go(func() { read(i, conn, arrivals) })
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed()
		for _, o := range out {
			// What cannot be sent is as good as lost: the machine tries again.
			_ = conns[o.Socket].Send([]punch.Datagram{{Addr: o.To, Data: o.Data}})
		}
		if m.Done() {
			return nil
		}
		timer.Reset(time.Until(m.Timeout()))
		select {
		case a := <-arrivals:
			out = m.Handle(time.Now(), a.socket, a.from, a.data, out[:0])
		case <-timer.C:
			out = m.Advance(time.Now(), out[:0])
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// read hands on what comes to a socket, until that is closed.
func read(socket int, conn punch.Conn, arrivals chan<- arrival) {
	for {
		ds, err := conn.Receive()
		if err != nil {
			return
		}
		for _, d := range ds {
			d.Segments(func(b []byte) bool {
				select {
				case arrivals <- arrival{socket: socket, from: d.Addr, data: bytes.Clone(b)}:
				default:
				}
				return true
			})
		}
	}
}
