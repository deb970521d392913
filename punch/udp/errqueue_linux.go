package udp

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An errorQueue reads what the kernel keeps apart for a socket with IP_RECVERR:
// ICMP messages and local refusals, each with the destination it is about.
//
// With that option, an ICMP message about one destination also makes one
// (any) later call on the socket fail. Whoever sees such a failure drains the
// queue and tries again. The queue has to be drained, since it takes its
// memory from the receive buffer.
//
// It is safe for concurrent use.
type errorQueue struct {
	events  chan PathError
	seen    atomic.Uint64
	dropped atomic.Uint64
	more    atomic.Bool // the last drain did not come to the end
	zones   *zones

	mu   sync.Mutex // guards the rest; a drain does not wait
	hdr  unix.Msghdr
	name sockaddr
	ctrl control
}

// pathErrors is how many events wait for whoever reads Errors.
const pathErrors = 64

// drainLimit is how many messages one drain reads, so that a flood of ICMP
// messages does not keep the caller from its datagrams.
const drainLimit = 256

// drain moves what is in the queue of socket fd to events. It reports whether
// a refusal of this host itself was among it.
func (q *errorQueue) drain(fd uintptr) (local bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for range drainLimit {
		q.hdr.Name = (*byte)(unsafe.Pointer(&q.name))
		q.hdr.Namelen = uint32(unsafe.Sizeof(q.name))
		q.hdr.Control = &q.ctrl.b[0]
		q.hdr.SetControllen(controlSize)
		_, _, errno := unix.Syscall(unix.SYS_RECVMSG, fd,
			uintptr(unsafe.Pointer(&q.hdr)), unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		switch errno {
		case 0:
			local = q.post() || local
		case unix.EINTR:
		default: // EAGAIN: empty
			q.more.Store(false)
			return local
		}
	}
	q.more.Store(true)
	return local
}

// post turns the message that was read into an event, and reports whether it
// is a refusal of this host.
func (q *errorQueue) post() (local bool) {
	cause, from, ok := parseCause(q.ctrl.b[:min(int(q.hdr.Controllen), controlSize)])
	if !ok {
		return false
	}
	e := pathError(cause, from, getAddr(&q.name, q.hdr.Namelen, q.zones))
	q.seen.Add(1)
	select {
	case q.events <- e:
	default:
		q.dropped.Add(1)
	}
	return cause.Origin == unix.SO_EE_ORIGIN_LOCAL
}

func pathError(cause unix.SockExtendedErr, from netip.Addr, to netip.AddrPort) PathError {
	e := PathError{Addr: to, Err: unix.Errno(cause.Errno)}
	if cause.Origin != unix.SO_EE_ORIGIN_LOCAL {
		e.From = from
	}
	if unix.Errno(cause.Errno) == unix.EMSGSIZE {
		// More than 65575 (an IPv6 packet with the largest payload) is nonsense.
		e.MTU = int(min(cause.Info, 1<<16+40))
	}
	return e
}
