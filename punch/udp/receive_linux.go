package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"campagnol/punch"
)

const (
	// payloadSize holds the largest datagram (65527 bytes over IPv6) and the
	// largest run that the kernel joins (64 KiB).
	payloadSize = 1 << 16

	// payloadStride sets the buffers of short datagrams 23 cache lines apart
	// (1472 bytes) in the cache. With a stride of a power of two they would all
	// compete for the same few lines.
	payloadStride = payloadSize + 1472

	// joinedBatch is the batch while the kernel joins datagrams: 8 of 64 KiB
	// are as much as the cache likes.
	joinedBatch = 8
)

// An mmsghdr is the kernel's struct of that name.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// A receiver is the state of Receive. One goroutine owns it.
//
// A batch has two sizes. While the kernel joins datagrams, 8 messages carry
// what is worth carrying. Joining may be impossible though it is enabled (the
// sender's pace, the interface); then a message is one datagram, and a large
// batch is what saves system calls. So a full batch without joined messages
// makes the next ones large, and a joined message makes them small again.
type receiver struct {
	c     *Conn
	size  int // bytes per buffer
	hdrs  []mmsghdr
	iovs  []unix.Iovec
	names []sockaddr
	ctrls []control
	bufs  [][]byte // allocated as far as batches went until now
	out   []punch.Datagram

	batch int // messages of the next call
	n     int // messages of the last call
	err   error
	woken bool // this call has waited before
	fn    func(fd uintptr) bool

	// For when the runtime does not wait; see poll.
	polls  int // in a row
	pollFd [1]unix.PollFd
	pollFn func(fd uintptr)
}

func newReceiver(c *Conn, batch, size int) *receiver {
	r := &receiver{
		c:     c,
		size:  size,
		hdrs:  make([]mmsghdr, batch),
		iovs:  make([]unix.Iovec, batch),
		names: make([]sockaddr, batch),
		ctrls: make([]control, batch),
		out:   make([]punch.Datagram, 0, batch),
		batch: batch,
	}
	if c.gro {
		r.batch = min(batch, joinedBatch)
	}
	r.fn, r.pollFn = r.read, r.poll // method values allocate: once
	return r
}

// receive waits for a batch of messages and returns the datagrams in it.
func (r *receiver) receive() ([]punch.Datagram, error) {
	for {
		r.prepare()
		r.n, r.err, r.woken = 0, nil, false
		err := r.c.raw.Read(r.fn)
		switch {
		case err == nil:
			r.polls = 0
		case !errors.Is(err, net.ErrClosed):
			err = r.c.raw.Control(r.pollFn)
		}
		if err != nil {
			return nil, r.c.closed("receive", err)
		}
		if r.err != nil {
			return nil, r.c.closed("receive", r.err)
		}
		if out := r.collect(); len(out) > 0 {
			return out, nil
		}
	}
}

// prepare resets what the kernel writes to, for the next r.batch messages.
func (r *receiver) prepare() {
	if len(r.bufs) < r.batch {
		r.grow()
	}
	for i := range r.batch {
		h := &r.hdrs[i].hdr
		h.Namelen = uint32(unsafe.Sizeof(r.names[i]))
		h.SetControllen(controlSize)
		h.Flags = 0
	}
}

// grow allocates buffers up to r.batch. What no datagram has touched takes
// address space only.
func (r *receiver) grow() {
	arena := make([]byte, (r.batch-len(r.bufs))*payloadStride)
	for i := len(r.bufs); i < r.batch; i++ {
		buf := arena[:r.size:r.size]
		arena = arena[payloadStride:]
		r.bufs = append(r.bufs, buf)
		r.iovs[i].Base = &buf[0]
		r.iovs[i].SetLen(len(buf))
		h := &r.hdrs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Control = &r.ctrls[i].b[0]
	}
}

// read is called with the socket's descriptor whenever the socket may be
// readable. It returns false to wait for that.
func (r *receiver) read(fd uintptr) bool {
	if r.c.errq.more.Load() {
		r.c.errq.drain(fd)
	}
	for {
		n, errno := r.call(fd)
		switch {
		case errno == 0:
			r.n = n
			return true
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			if r.woken {
				// What woke us may have been the error queue: local refusals
				// show nowhere else.
				r.c.errq.drain(fd)
			}
			r.woken = true
			return false
		case errno == unix.ENOSYS && r.c.recvBatch.Load():
			r.c.lose(&r.c.recvBatch, "recvmmsg", errno)
		case fromNetwork(errno):
			r.c.errq.drain(fd)
		default:
			r.err = os.NewSyscallError("recvmsg", errno)
			return true
		}
	}
}

const (
	pollTime = 10 // milliseconds; Close waits as long
	maxPolls = 16
)

// poll waits for datagrams in place of the runtime. That refuses to wait for a
// descriptor about which the kernel has reported nothing but an error, until
// the next report ("not pollable"). Such is a socket whose send buffer is full
// when an ICMP message comes in. There is a next report when the buffer has
// room again; until then a thread waits here.
func (r *receiver) poll(fd uintptr) {
	r.c.errq.drain(fd)
	r.pollFd[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN | unix.POLLOUT}
	if r.polls++; r.polls > maxPolls {
		// There is room, and the runtime has not heard of it: do not insist.
		r.pollFd[0].Events = unix.POLLIN
	}
	_, _ = unix.Poll(r.pollFd[:], pollTime) // read finds out
	r.woken = true
	r.read(fd)
}

// call asks the kernel once, for as many messages as it can give in one call.
//
// It does not wait, so the scheduler need not hear of it. If it did, the first
// call after a pause would wake its monitoring thread, which competes with us and
// with those who wait for the packet: a quarter of what a tunnel adds to a ping.
func (r *receiver) call(fd uintptr) (int, unix.Errno) {
	if r.c.recvBatch.Load() {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd,
			uintptr(unsafe.Pointer(&r.hdrs[0])), uintptr(r.batch), unix.MSG_DONTWAIT, 0, 0)
		return int(n), errno
	}
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&r.hdrs[0].hdr)), unix.MSG_DONTWAIT)
	r.hdrs[0].len = uint32(n)
	return 1, errno
}

// collect turns the messages of the last call into datagrams, and decides how
// large the next batch is.
func (r *receiver) collect() []punch.Datagram {
	r.out = r.out[:0]
	var datagrams, joined, truncated uint64
	for i := range r.n {
		d, ok := r.datagram(i)
		if !ok {
			truncated++
			continue
		}
		k := uint64(1)
		if d.Segment > 0 {
			k = uint64((len(d.Data) + d.Segment - 1) / d.Segment)
			joined++
		}
		datagrams += k
		r.out = append(r.out, d)
	}
	s := &r.c.stats
	s.received.Add(datagrams)
	if len(r.out) > 0 {
		s.reads.Add(1)
	}
	if joined > 0 {
		s.joined.Add(joined)
	}
	if truncated > 0 {
		s.truncated.Add(truncated)
	}
	switch {
	case joined > 0:
		r.batch = min(len(r.hdrs), joinedBatch)
	case r.n == r.batch && r.c.recvBatch.Load():
		r.batch = len(r.hdrs)
	}
	return r.out
}

// datagram returns message i, and false if a part of it is missing.
func (r *receiver) datagram(i int) (punch.Datagram, bool) {
	h := &r.hdrs[i]
	if h.hdr.Flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		return punch.Datagram{}, false
	}
	d := punch.Datagram{
		Addr:  getAddr(&r.names[i], h.hdr.Namelen, &r.c.zones),
		Data:  r.bufs[i][:h.len],
		Local: r.c.local,
	}
	if n := min(int(h.hdr.Controllen), controlSize); n > 0 {
		ctl := parseControl(r.ctrls[i].b[:n])
		if ctl.segment > 0 && ctl.segment < len(d.Data) {
			d.Segment = ctl.segment
		}
		d.ECN = ctl.ecn
		if ctl.local.IsValid() && !d.Local.IsValid() {
			d.Local = r.c.withZone(ctl.local, ctl.ifindex)
		}
	}
	return d, d.Addr.IsValid()
}

// withZone adds to a link-local address the interface it belongs to.
func (c *Conn) withZone(a netip.Addr, ifindex uint32) netip.Addr {
	if a.Is6() && a.IsLinkLocalUnicast() {
		return a.WithZone(c.zones.name(ifindex))
	}
	return a
}
