package stream

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"campagnol/punch"
)

const (
	// writeSize is how much is written at a time: a record of TLS at most. What was
	// written cannot be dropped any more.
	writeSize = 16 << 10

	// writeTime is how long a connection may take nothing until it is given up.
	writeTime = 10 * time.Second

	// lastWords is how long Close waits for what was sent before it.
	lastWords = 200 * time.Millisecond
)

// Stats counts what a Conn, or a Listener, has done.
type Stats struct {
	Conns    int    // connections now
	Accepted uint64 // connections in all
	Refused  uint64 // connections over a limit

	Received uint64 // datagrams, runs of them counted as one
	Sent     uint64 // datagrams that were written
	Stale    uint64 // datagrams dropped: they have waited too long
	Full     uint64 // datagrams dropped: too many waited
	Unknown  uint64 // datagrams dropped: nobody is connected at their address
}

// counters are behind Stats.
type counters struct {
	accepted, refused                    atomic.Uint64
	received, sent, stale, full, unknown atomic.Uint64
}

func (c *counters) stats() Stats {
	return Stats{
		Accepted: c.accepted.Load(), Refused: c.refused.Load(), Received: c.received.Load(), Sent: c.sent.Load(),
		Stale: c.stale.Load(), Full: c.full.Load(), Unknown: c.unknown.Load(),
	}
}

// A pipe is a connection with its queue. One goroutine reads, and one writes.
type pipe struct {
	conn   net.Conn
	raw    net.Conn // below TLS; else conn
	in     reader
	out    *queue
	ending chan struct{} // closed by end

	mu    sync.Mutex
	ended bool
	cause error // why it has ended; net.ErrClosed: it was closed
}

// newPipe returns a pipe over conn, whose other end has an address.
func newPipe(conn, raw net.Conn, at netip.AddrPort, counts *counters) *pipe {
	p := &pipe{conn: conn, raw: raw, out: newQueue(counts), ending: make(chan struct{})}
	p.in = reader{conn: conn, addr: at, local: addrPort(raw.LocalAddr()).Addr()}
	return p
}

// receive waits for datagrams. Why there are no more is what end was given first.
func (p *pipe) receive() ([]punch.Datagram, error) {
	ds, err := p.in.receive()
	if err != nil {
		p.end(err)
		return nil, p.why()
	}
	p.out.counts.received.Add(uint64(len(ds)))
	return ds, nil
}

// send queues a datagram.
func (p *pipe) send(now time.Time, d *punch.Datagram) error {
	select {
	case <-p.ending:
		return net.ErrClosed
	default:
		return p.out.put(now, d)
	}
}

// buffers are what writers that have something to write share.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, writeSize); return &b }}

// write writes what is queued until the pipe ends, and closes the connection then.
func (p *pipe) write() {
	defer p.raw.Close()
	for {
		select {
		case <-p.out.wake:
		case <-p.ending:
			if p.why() == net.ErrClosed {
				p.drain() // end has set a deadline
			}
			return
		}
		if err := p.drain(); err != nil {
			p.end(err)
			return
		}
	}
}

// drain writes until nothing is queued.
func (p *pipe) drain() error {
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	for {
		now := time.Now()
		out := p.out.take(now, (*b)[:0], writeSize)
		if len(out) == 0 {
			return nil
		}
		if err := p.setDeadline(now.Add(writeTime)); err != nil {
			return err
		}
		if _, err := p.conn.Write(out); err != nil {
			return err
		}
	}
}

// setDeadline sets the deadline of the next write, unless end has set the last one.
func (p *pipe) setDeadline(at time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil
	}
	return p.raw.SetWriteDeadline(at)
}

// end ends the pipe for a reason, if it has not ended yet: net.ErrClosed lets what is
// queued go. It does not wait.
func (p *pipe) end(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.ended, p.cause = true, why
	now := time.Now()
	if why != net.ErrClosed {
		p.raw.Close()
	} else {
		p.raw.SetWriteDeadline(now.Add(lastWords))
		p.raw.SetReadDeadline(now)
	}
	close(p.ending)
}

// why returns why the pipe has ended.
func (p *pipe) why() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cause
}

// explain returns an error of a connection in words for people.
func explain(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("the other end has closed the connection")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("the other end takes nothing any more, or says nothing")
	}
	return err
}

// unmapped returns an address of IPv4 as such.
func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// addrPort returns an address in the form of netip; the zero AddrPort if it is none.
func addrPort(a net.Addr) netip.AddrPort {
	if a == nil {
		return netip.AddrPort{}
	}
	if t, ok := a.(*net.TCPAddr); ok {
		return unmapped(t.AddrPort())
	}
	x, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return unmapped(x)
}
