package main

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"campagnol/internal/cli"
	"campagnol/internal/lab"
)

const (
	// tcpBuffer is how much a stream sends and receives at once, in bytes: as
	// much as iperf3 does.
	tcpBuffer = 128 << 10

	// congestion is the congestion control of all streams. That of the machine
	// may be one that paces (BBR), whose rates say little about a tunnel. The
	// kernel lets a new network namespace take another one as its default only
	// if the whole machine allows it to everybody, but lets root choose for a
	// connection.
	congestion = "cubic"

	// tcpPatience is how long a stream may stand still. A tunnel that loses
	// its way for longer does not work.
	tcpPatience = 10 * time.Second
)

// An endpoint is a host with the address that traffic goes to.
type endpoint struct {
	host *lab.Host
	addr netip.Addr
}

// A flood is TCP streams that send as much as gets through, until it is stopped.
// Owned by one goroutine.
type flood struct {
	streams []*stream
	threads sync.WaitGroup
	stopped atomic.Bool
}

// A stream is a connection of a flood.
type stream struct {
	from, to socket
	received atomic.Int64 // bytes
	failure  atomic.Pointer[error]
}

// add opens streams from one host to another. They do not send before start.
func (f *flood) add(from, to endpoint, streams int) error {
	listener, err := newSocket(to.host, unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	defer listener.abort()
	at, err := listener.bind(to.addr)
	if err == nil {
		err = errors.Join(prepareTCP(listener), listener.wrap("listen", unix.Listen(int(listener), streams)))
	}
	if err != nil {
		return err
	}
	for range streams {
		s, err := openStream(from.host, listener, at)
		if err != nil {
			return err
		}
		f.streams = append(f.streams, s)
	}
	return nil
}

// openStream connects a host to a listener, and accepts it there.
func openStream(from *lab.Host, listener socket, at netip.AddrPort) (*stream, error) {
	out, err := newSocket(from, unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(prepareTCP(out), out.connect(at)); err != nil {
		out.abort()
		return nil, err
	}
	in := -1
	err = again(func() (err error) {
		in, _, err = unix.Accept4(int(listener), unix.SOCK_CLOEXEC)
		return err
	})
	if err != nil {
		out.abort()
		return nil, fmt.Errorf("bench: accept a connection to %v: %w", at, err)
	}
	s := &stream{from: out, to: socket(in)}
	if err := prepareTCP(s.to); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// prepareTCP sets what all sockets of streams have in common.
func prepareTCP(s socket) error {
	err := unix.SetsockoptString(int(s), unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestion)
	if err != nil {
		err = cli.WithHint(s.wrap("set the congestion control "+congestion, err), "the kernel has to have it: modprobe tcp_%s", congestion)
	}
	return errors.Join(err, s.limit(tcpPatience))
}

// shut ends the connection, which wakes whoever waits for it inside the kernel.
func (s *stream) shut() {
	// A connection that is not there any more is no obstacle.
	_ = unix.Shutdown(int(s.from), unix.SHUT_RDWR)
	_ = unix.Shutdown(int(s.to), unix.SHUT_RDWR)
}

func (s *stream) close() {
	s.from.abort()
	s.to.abort()
}

// start makes all streams send.
func (f *flood) start() {
	for _, s := range f.streams {
		for _, work := range []func() error{s.send, s.receive} {
			f.threads.Go(func() {
				runtime.LockOSThread()
				if err := work(); !f.stopped.Load() {
					s.failure.CompareAndSwap(nil, &err)
				}
			})
		}
	}
}

// send writes until it cannot any more.
func (s *stream) send() error {
	b := make([]byte, tcpBuffer)
	for {
		err := again(func() error {
			_, err := unix.Write(int(s.from), b)
			return err
		})
		if err != nil {
			return fmt.Errorf("bench: send to a TCP stream: %w", err)
		}
	}
}

// receive reads until it cannot any more.
func (s *stream) receive() error {
	b := make([]byte, tcpBuffer)
	for {
		n := 0
		err := again(func() (err error) {
			n, err = unix.Read(int(s.to), b)
			return err
		})
		if err == nil && n == 0 {
			err = errors.New("it ended")
		}
		if err != nil {
			return fmt.Errorf("bench: receive from a TCP stream: %w", err)
		}
		s.received.Add(int64(n))
	}
}

// received returns how many bytes have arrived, and an error if a stream does
// not run any more.
func (f *flood) received() (sum int64, err error) {
	for _, s := range f.streams {
		sum += s.received.Load()
		if failed := s.failure.Load(); failed != nil {
			err = errors.Join(err, *failed)
		}
	}
	return sum, err
}

// stop ends all streams and waits for them. What is still under way is lost.
func (f *flood) stop() {
	f.stopped.Store(true)
	for _, s := range f.streams {
		s.shut()
	}
	f.threads.Wait()
	for _, s := range f.streams {
		s.close()
	}
	f.streams = nil
}
