package udp

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"campagnol/punch"
)

const (
	// sendBatch is how many messages one sendmmsg carries at most.
	sendBatch = 64

	// maxSegments is UDP_MAX_SEGMENTS of the kernels before 6.9.
	maxSegments = 64

	// maxTries is how often a message is offered to the kernel. A refusal may
	// be what ICMP said about another message, which is reported once.
	maxTries = 3
)

// A position is a place in the datagrams of one Send.
type position struct {
	i   int // datagram
	off int // offset in its Data
}

func (p position) before(q position) bool { return p.i < q.i || p.i == q.i && p.off < q.off }

// A message is what one entry of a batch holds.
type message struct {
	start, end position
	count      int  // datagrams in it
	cut        bool // the kernel is asked to cut it
	local      bool // the kernel is asked to send from Datagram.Local
	rerouted   bool // the kernel has refused that
}

// A sender is the state of a Send. Conn.sendMu guards it.
type sender struct {
	c     *Conn
	ds    []punch.Datagram
	hdrs  [sendBatch]mmsghdr
	iovs  [sendBatch]unix.Iovec
	names [sendBatch]sockaddr
	ctrls [sendBatch]control
	msgs  [sendBatch]message

	base, n int      // messages base..n-1 wait to be sent
	next    position // of the first datagram that is in no message
	tries   int      // refusals of message base

	// Fallbacks in force for the datagrams before these positions.
	uncutUntil   position // one message per payload
	nolocalUntil position // from whatever address the kernel chooses

	first error
	fn    func(fd uintptr) bool
}

func newSender(c *Conn) *sender {
	s := &sender{c: c}
	for i := range s.hdrs {
		h := &s.hdrs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&s.names[i]))
		h.Iov = &s.iovs[i]
		h.SetIovlen(1)
	}
	s.fn = s.write // a method value allocates: once
	return s
}

// send sends ds and returns the first error.
func (s *sender) send(ds []punch.Datagram) error {
	s.ds, s.first = ds, nil
	s.base, s.n, s.tries = 0, 0, 0
	s.next, s.uncutUntil, s.nolocalUntil = position{}, position{}, position{}
	err := s.c.raw.Write(s.fn)
	s.ds = nil
	for i := range s.iovs {
		s.iovs[i].Base = nil // do not hold on to the caller's bytes
	}
	if err != nil {
		return s.c.closed("send", err)
	}
	return s.first
}

// write is called with the socket's descriptor whenever the socket may have
// room. It returns false to wait for that.
func (s *sender) write(fd uintptr) bool {
	for {
		if s.base == s.n {
			if s.fill(); s.n == 0 {
				return true
			}
		}
		n, errno := s.call(fd)
		switch errno {
		case 0:
			if s.sent(n); s.base < s.n {
				// The kernel does not tell what stopped it, and has forgotten
				// it if it was an ICMP message.
				s.c.errq.drain(fd)
			}
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		case unix.ENOSYS:
			if !s.c.sendBatch.Load() {
				s.refused(errno)
				continue
			}
			s.c.lose(&s.c.sendBatch, "sendmmsg", errno)
		default:
			s.failed(fd, errno)
		}
	}
}

// call offers the waiting messages to the kernel and returns how many of them
// it took. The scheduler does not hear of the system call: see receiver.call.
func (s *sender) call(fd uintptr) (int, unix.Errno) {
	first := unsafe.Pointer(&s.hdrs[s.base])
	if s.c.sendBatch.Load() {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(first), uintptr(s.n-s.base), unix.MSG_DONTWAIT, 0, 0)
		return int(n), errno
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(first), unix.MSG_DONTWAIT)
	return 1, errno
}

// sent drops n messages from the batch.
func (s *sender) sent(n int) {
	var datagrams, cut, rerouted uint64
	for _, m := range s.msgs[s.base : s.base+n] {
		datagrams += uint64(m.count)
		if m.cut {
			cut++
		}
		if m.rerouted {
			rerouted++
		}
	}
	s.base += n
	s.tries = 0
	s.c.stats.writes.Add(1)
	s.c.stats.sent.Add(datagrams)
	if cut > 0 {
		s.c.stats.cut.Add(cut)
	}
	if rerouted > 0 {
		s.c.stats.rerouted.Add(rerouted)
	}
}

// failed decides what to do about the first waiting message, which the kernel
// refused: take a slower way, try again, or drop it.
func (s *sender) failed(fd uintptr, errno unix.Errno) {
	m := s.msgs[s.base]
	// An ICMP message about another datagram is reported once, and not again
	// when this one is tried again.
	other := fromICMP(errno) && !s.c.errq.drain(fd) && s.tries+1 < maxTries
	switch {
	case m.cut && errno == unix.EIO:
		// The interface does no checksums (kernels before 6.11 need that).
		s.c.lose(&s.c.gso, "gso", errno)
		s.refill(m.start)
	case m.local && (errno == unix.EINVAL || errno == unix.ENETUNREACH && !other):
		// The host may have lost the address (IPv6, IPv4).
		s.nolocalUntil = m.end
		s.refill(m.start)
	case m.cut && (errno == unix.EINVAL || errno == unix.EMSGSIZE && !other):
		// The payloads exceed the interface's MTU, though the last one may
		// fit; nothing is known about the address.
		s.uncutUntil, s.nolocalUntil = m.end, position{}
		s.refill(m.start)
	case other:
		s.tries++
	default:
		s.refused(errno)
	}
}

// refused drops the first waiting message.
func (s *sender) refused(errno unix.Errno) {
	m := s.msgs[s.base]
	if m.local || s.ds[m.start.i].Addr.Addr().Zone() != "" {
		s.c.zones.forget()
	}
	s.note(errno)
	s.base++
	s.tries = 0
}

func (s *sender) note(errno unix.Errno) {
	s.c.stats.unsent.Add(1)
	if s.first == nil {
		s.first = errno
	}
}

// refill makes the messages from p on anew.
func (s *sender) refill(p position) {
	s.base, s.n, s.tries = 0, 0, 0
	s.next = p
}

// fill makes messages of the next datagrams.
func (s *sender) fill() {
	s.base, s.n = 0, 0
	for s.n < sendBatch && s.next.i < len(s.ds) {
		d := &s.ds[s.next.i]
		to := netip.AddrPortFrom(d.Addr.Addr().Unmap(), d.Addr.Port())
		if errno := s.c.check(to.Addr()); errno != 0 {
			s.note(errno)
			s.next = position{i: s.next.i + 1}
			continue
		}
		s.put(s.n, d, to)
		s.n++
	}
}

// check returns why nothing can be sent to a, or 0.
func (c *Conn) check(a netip.Addr) unix.Errno {
	switch {
	case !c.serves.has(a):
		return unix.EAFNOSUPPORT
	case a.Zone() != "" && c.zones.index(a.Zone()) == 0:
		return unix.ENODEV // the kernel would choose some interface
	}
	return 0
}

// put makes entry k of the batch from the next bytes of d, which goes to to.
func (s *sender) put(k int, d *punch.Datagram, to netip.AddrPort) {
	m := message{start: s.next}
	data, seg := s.chunk(d)
	m.cut = seg > 0
	m.count = 1
	if m.cut {
		m.count = (len(data) + seg - 1) / seg
	}
	s.next.off += len(data)
	if s.next.off >= len(d.Data) {
		s.next = position{i: s.next.i + 1}
	}
	m.end = s.next

	h := &s.hdrs[k].hdr
	h.Namelen = putAddr(&s.names[k], to, &s.c.zones)
	s.iovs[k].Base = unsafe.SliceData(data)
	s.iovs[k].SetLen(len(data))
	n := 0
	if m.cut {
		n = s.ctrls[k].addSegment(n, seg)
	}
	if local := d.Local.Unmap(); s.wantsLocal(local, to.Addr()) {
		m.rerouted = m.start.before(s.nolocalUntil)
		m.local = !m.rerouted
		if m.local {
			n = s.ctrls[k].addLocal(n, local, s.c.ifindex(local))
		}
	}
	if d.ECN != 0 && s.c.ecn {
		n = s.ctrls[k].addECN(n, to.Addr().Is4(), d.ECN&ecnMask)
	}
	h.Control = nil
	if n > 0 {
		h.Control = &s.ctrls[k].b[0]
	}
	h.SetControllen(n)
	s.msgs[k] = m
}

// wantsLocal reports whether the kernel has to be told to send from local to to.
func (s *sender) wantsLocal(local, to netip.Addr) bool {
	return local.IsValid() && !s.c.local.IsValid() && s.c.pktinfo && local.Is4() == to.Is4()
}

// ifindex returns the interface that a link-local address belongs to.
func (c *Conn) ifindex(a netip.Addr) uint32 {
	if a.Zone() == "" {
		return 0
	}
	return c.zones.index(a.Zone())
}

// chunk returns the bytes of d from the next position on that go in one
// message, and the size of its payloads, 0 if it is a single one.
func (s *sender) chunk(d *punch.Datagram) (data []byte, segment int) {
	rest := d.Data[s.next.off:]
	if d.Segment <= 0 || len(d.Data) <= d.Segment {
		return rest, 0
	}
	k := 1
	if s.c.gso.Load() && !s.next.before(s.uncutUntil) {
		k = max(1, min(maxSegments, maxPayload/d.Segment))
	}
	data = rest[:min(k*d.Segment, len(rest))]
	if len(data) <= d.Segment {
		return data, 0
	}
	return data, d.Segment
}
