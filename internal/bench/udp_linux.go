package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// udpBatch is how many datagrams one system call carries at most.
	udpBatch = 64

	// udpBuffer is the size of the sockets' buffers, in bytes: the receiver is
	// not the one to lose anything.
	udpBuffer = 32 << 20

	// udpLook is how often the receiver looks what has come. If it waited for
	// each datagram inside the kernel, whoever brings one would have to wake
	// it up, which costs more than all the rest of a datagram, and would count
	// as work of the tunnel. The buffer holds what comes in the meantime.
	udpLook = 500 * time.Microsecond

	// What is under way at the end of a trial is waited for until nothing has
	// come for drainQuiet, at most for drainPatience: some tunnels have
	// queues of seconds.
	drainQuiet    = 100 * time.Millisecond
	drainPatience = 5 * time.Second
)

// An mmsghdr is the kernel's struct of that name.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// A volley is a number of datagrams for one system call. Its pointers lead into
// itself: it is not copied.
type volley struct {
	buffers [udpBatch][]byte
	iovs    [udpBatch]unix.Iovec
	msgs    [udpBatch]mmsghdr
}

// newVolley returns a volley of datagrams of the given size.
func newVolley(size int) *volley {
	v := new(volley)
	for i := range v.msgs {
		v.buffers[i] = make([]byte, size)
		v.iovs[i].Base = &v.buffers[i][0]
		v.iovs[i].SetLen(size)
		v.msgs[i].hdr.Iov = &v.iovs[i]
		v.msgs[i].hdr.SetIovlen(1)
	}
	return v
}

// call sends or receives up to n of the datagrams, and returns how many.
func (v *volley) call(trap uintptr, s socket, n int, flags int) (int, error) {
	done, _, errno := unix.Syscall6(trap, uintptr(s), uintptr(unsafe.Pointer(&v.msgs[0])), uintptr(n), uintptr(flags), 0, 0)
	runtime.KeepAlive(v)
	if errno != 0 {
		return 0, errno
	}
	return int(done), nil
}

// A datagrams is a flow of datagrams from one host to another, for any number of
// trials. Owned by one goroutine.
type datagrams struct {
	size     int
	from, to socket
	token    atomic.Uint64 // of the current trial, which its datagrams begin with
	received atomic.Int64  // of it
	ended    atomic.Bool
	threads  sync.WaitGroup
	failure  atomic.Pointer[error] // of the receiver
}

// newDatagrams opens a flow of datagrams of the given size, without headers.
func newDatagrams(from, to endpoint, size int) (*datagrams, error) {
	d := &datagrams{size: size}
	var err error
	if d.from, err = newSocket(from.host, unix.SOCK_DGRAM); err != nil {
		return nil, err
	}
	if d.to, err = newSocket(to.host, unix.SOCK_DGRAM); err != nil {
		d.from.abort()
		return nil, err
	}
	if err := d.open(to.addr); err != nil {
		d.from.abort()
		d.to.abort()
		return nil, err
	}
	d.threads.Go(func() {
		runtime.LockOSThread()
		if err := d.receive(); err != nil {
			d.failure.Store(&err)
		}
	})
	return d, nil
}

// open prepares both sockets.
func (d *datagrams) open(addr netip.Addr) error {
	at, err := d.to.bind(addr)
	if err != nil {
		return err
	}
	return errors.Join(
		d.to.set(unix.SO_RCVBUFFORCE, udpBuffer),
		d.from.set(unix.SO_SNDBUFFORCE, udpBuffer),
		d.from.connect(at),
	)
}

// close ends the flow.
func (d *datagrams) close() {
	d.ended.Store(true)
	d.threads.Wait()
	d.from.abort()
	d.to.abort()
}

// receive counts datagrams of the current trial until the end.
func (d *datagrams) receive() error {
	v := newVolley(d.size + 1) // to notice one that is too long
	for !d.ended.Load() {
		n, err := v.call(unix.SYS_RECVMMSG, d.to, udpBatch, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			pause(udpLook)
			continue
		case err != nil:
			return fmt.Errorf("bench: receive datagrams: %w", err)
		}
		token, counted := d.token.Load(), 0
		for i := range n {
			if int(v.msgs[i].len) == d.size && binary.BigEndian.Uint64(v.buffers[i]) == token {
				counted++
			}
		}
		d.received.Add(int64(counted))
	}
	return nil
}

// trial sends at a rate for some time, and returns what became of it.
func (d *datagrams) trial(ctx context.Context, rate float64, long time.Duration) (t trial, err error) {
	token := rand.Uint64()
	d.token.Store(token)
	d.received.Store(0)
	var sent int
	var took time.Duration
	var sender sync.WaitGroup
	sender.Go(func() {
		// The thread, which send gives an exact clock, ends with the goroutine.
		runtime.LockOSThread()
		sent, took, err = d.send(ctx, token, rate, long)
	})
	sender.Wait()
	if err != nil {
		return t, err
	}
	if err := d.drain(ctx); err != nil {
		return t, err
	}
	received := d.received.Load()
	t.offered = float64(sent) / took.Seconds()
	t.delivered = float64(received) / took.Seconds()
	t.loss = 1 - float64(received)/float64(max(sent, 1))
	t.took = took.Seconds()
	return t, nil
}

// send sends, and returns how many datagrams in which time.
func (d *datagrams) send(ctx context.Context, token uint64, rate float64, long time.Duration) (sent int, took time.Duration, err error) {
	// Otherwise the kernel wakes a thread up to 50 µs late, to save energy.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return 0, 0, fmt.Errorf("bench: ask for an exact clock: %w", err)
	}
	v := newVolley(d.size)
	for _, b := range v.buffers {
		binary.BigEndian.PutUint64(b, token)
	}
	p := &pacer{rate: rate, begin: time.Now()}
	for now := p.begin; ; now = time.Now() {
		if took = now.Sub(p.begin); took >= long || ctx.Err() != nil {
			return sent, took, ctx.Err()
		}
		due := p.due(now, udpBatch)
		if due == 0 {
			pause(p.next(now).Sub(now))
			continue
		}
		n, err := v.call(unix.SYS_SENDMMSG, d.from, due, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EAGAIN):
			n = 1 // lost in a queue of the kernel, as in any router
		case err != nil:
			return sent, took, fmt.Errorf("bench: send datagrams: %w", err)
		}
		p.sent += n
		sent += n
	}
}

// pause waits inside the kernel.
func pause(d time.Duration) {
	ts := unix.NsecToTimespec(d.Nanoseconds())
	// If a signal ends it early, the pacer says so.
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil)
}

// drain waits until nothing of the trial arrives any more.
func (d *datagrams) drain(ctx context.Context) error {
	last, began := int64(-1), time.Now()
	for last != d.received.Load() && time.Since(began) < drainPatience {
		last = d.received.Load()
		if err := wait(ctx, drainQuiet); err != nil {
			return err
		}
	}
	if failed := d.failure.Load(); failed != nil {
		return *failed
	}
	return nil
}

// wait waits for a time, or for the end of the context.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
