package device

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"campagnol/tunnel/segment"
)

const (
	// maxPacket is the size of the largest packet: of IP, in a frame with more
	// tags than anybody has. The MTU can be changed at any time, and the kernel
	// cuts what does not fit without a word.
	maxPacket = 1<<16 + 64

	// maxPackets is how many packets one Read returns at most, the number of
	// messages that one system call of a socket takes.
	maxPackets = 64

	// batchSize is after how many bytes Read returns what it has: what one
	// datagram of a socket, with its segments, takes.
	batchSize = 64 << 10

	// arenaSize has room for a batch that lacks a byte, and a last packet of
	// any size, with its header.
	arenaSize = batchSize + maxPackets*64 + vnetLen + maxPacket
)

// A Kernel is a TUN or TAP device of the kernel. Read belongs to one goroutine; all
// other methods are safe for concurrent use.
type Kernel struct {
	name  string
	index int // of the interface, which may be renamed

	queue          // the first
	more  []*queue // the others

	link     segment.Link
	offloads Offloads
	vnet     int // length of the header before each packet; 0: there is none

	read, reads, written, refused, down, malformed atomic.Uint64

	closed atomic.Bool

	// mu guards the configuration.
	mu      sync.Mutex
	nl      *netlink.Handle
	persist bool // the interface stays after Close
	mine    mine
}

// A queue is one of the descriptors of the device, with the state of its Read and
// its Write.
type queue struct {
	dev  *Kernel
	file *os.File
	raw  syscall.RawConn
	in   reader
	out  writer
}

// reader is the state of Read.
type reader struct {
	arena   []byte
	used    int // bytes of arena
	packets []Packet
	err     error
	fn      func(fd uintptr) bool
}

// writer is the state of Write.
type writer struct {
	// mu keeps one Write's packets together. It is held during system calls, as
	// the descriptor's own lock would be; they do not wait for anything.
	mu      sync.Mutex
	packets []Packet
	err     error
	fn      func(fd uintptr) bool
	header  [vnetLen]byte
	pieces  []unix.Iovec
}

// Read waits for packets; see [Device]. It returns all that wait, up to 64,
// and never waits for more than one.
func (q *queue) Read() ([]Packet, error) {
	r := &q.in
	r.used, r.packets, r.err = 0, r.packets[:0], nil
	if err := q.raw.Read(r.fn); err != nil {
		return nil, q.ended("read", err)
	}
	if len(r.packets) == 0 {
		return nil, r.err
	}
	// An error after packets comes again.
	q.dev.read.Add(uint64(len(r.packets)))
	q.dev.reads.Add(1)
	return r.packets, nil
}

// Offloads returns what the kernel does for us.
func (k *Kernel) Offloads() Offloads { return k.offloads }

// readReady is called with the device's descriptor whenever there may be
// packets. It returns false to wait for them.
func (q *queue) readReady(fd uintptr) bool {
	r := &q.in
	for len(r.packets) < maxPackets && r.used < batchSize {
		n, err := readNow(fd, r.arena[r.used:r.used+q.dev.vnet+maxPacket])
		switch {
		case err == nil && n > q.dev.vnet:
			q.take(r.arena[r.used : r.used+n : r.used+n])
			r.used = (r.used + n + 63) &^ 63 // packets do not share cache lines
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return len(r.packets) > 0
		case err == nil:
			r.err = fmt.Errorf("device: read: %w", io.ErrUnexpectedEOF)
			return true
		case isGone(err):
			r.err = ErrGone
			return true
		default:
			r.err = os.NewSyscallError("device: read", err)
			return true
		}
	}
	return true
}

// readNow reads from a descriptor that does not make us wait, so the scheduler
// need not hear of it: that would wake its monitoring thread after each pause.
// Writes are made in the same way.
func readNow(fd uintptr, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// take adds what was read in one call to the batch.
func (q *queue) take(b []byte) {
	p := Packet{Data: b}
	if q.dev.vnet > 0 {
		var ok bool
		if p, ok = parseVnet(b); !ok {
			q.dev.malformed.Add(1)
			return
		}
	}
	q.in.packets = append(q.in.packets, p)
}

// Write hands ps to the kernel; see [Device].
func (q *queue) Write(ps []Packet) error {
	w := &q.out
	w.mu.Lock()
	defer w.mu.Unlock()
	w.packets, w.err = ps, nil
	err := q.raw.Write(w.fn)
	w.packets = nil // do not hold on to the caller's bytes
	if err != nil {
		return q.ended("write", err)
	}
	return w.err
}

// writeReady is called with the device's descriptor whenever it may take
// packets. It returns false to wait for that.
func (q *queue) writeReady(fd uintptr) bool {
	w := &q.out
	var written uint64
	defer func() { q.dev.written.Add(written) }()
	for ; len(w.packets) > 0; w.packets = w.packets[1:] {
		err := q.writePacket(fd, &w.packets[0])
		switch {
		case err == nil:
			written++
		case err == unix.EAGAIN:
			return false
		case isGone(err):
			return q.lose(ErrGone)
		case err == unix.EIO || err == unix.ENETDOWN:
			return q.lose(ErrDown)
		default:
			// EINVAL: not IP, or no frame. Others: out of memory, longer than the kernel
			// can hold. The next one may do.
			q.dev.refused.Add(1)
			w.err = ErrRefused
		}
	}
	return true
}

// lose gives up the packets that still wait to be written.
func (q *queue) lose(err error) bool {
	q.dev.down.Add(uint64(len(q.out.packets)))
	q.out.err = err
	return true
}

// writePacket writes one packet, large or not.
func (q *queue) writePacket(fd uintptr, p *Packet) error {
	if len(p.Data) == 0 {
		return unix.EINVAL
	}
	for {
		var err error
		if q.dev.vnet == 0 {
			_, err = unix.Write(int(fd), p.Data)
		} else {
			err = q.out.writeVnet(fd, p)
		}
		if err != unix.EINTR {
			return err
		}
	}
}

// isGone reports whether err means that there is no interface any more behind
// the descriptor.
func isGone(err error) bool {
	return err == unix.EBADFD || err == unix.ENODEV || err == unix.ENXIO
}

// ended returns why the runtime refuses to wait for the device: it was closed,
// or the interface is gone, which has made the descriptor useless for waiting.
func (q *queue) ended(op string, err error) error {
	if q.dev.closed.Load() {
		return os.ErrClosed
	}
	attached := true
	if cerr := q.raw.Control(func(fd uintptr) { attached = isAttached(fd) }); cerr == nil && !attached {
		return ErrGone
	}
	return fmt.Errorf("device: %s: %w", op, err)
}

// isAttached reports whether there is an interface behind the descriptor.
func isAttached(fd uintptr) bool {
	var req [40]byte // struct ifreq
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.TUNGETIFF, uintptr(unsafe.Pointer(&req)))
	return errno == 0
}

// Link returns what the device carries.
func (k *Kernel) Link() segment.Link { return k.link }

// HardwareAddr returns the address that the interface of an Ethernet device has
// now. An administrator can change it at any time. An IP device has none: an error.
func (k *Kernel) HardwareAddr() (net.HardwareAddr, error) {
	if k.link != segment.Ethernet {
		return nil, errNoHardwareAddr
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed.Load() {
		return nil, fmt.Errorf("device: hardware address of %s: %w", k.name, os.ErrClosed)
	}
	link, err := k.nl.LinkByIndex(k.index)
	if err != nil {
		return nil, fmt.Errorf("device: hardware address of %s: %w%s", k.name, err, hint(err))
	}
	return link.Attrs().HardwareAddr, nil
}

// Name returns the name that the interface had when it was opened.
func (k *Kernel) Name() string { return k.name }

// Stats returns what went through the device.
func (k *Kernel) Stats() Stats {
	return Stats{
		Read:    k.read.Load(),
		Reads:   k.reads.Load(),
		Written: k.written.Load(),
		Refused: k.refused.Load(),
		Down:    k.down.Load(),

		Malformed: k.malformed.Load(),
	}
}

// Close removes the interface, or, if it existed before Open, what Configure
// did to it, and unblocks Read.
func (k *Kernel) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed.Swap(true) {
		return nil
	}
	if k.persist {
		_ = k.dropRoutes(nil)
		_ = k.removeMine(nil) // whoever deletes the interface does it too
		_ = k.unsetForwarding()
	}
	k.nl.Close()
	return k.closeFiles()
}

// closeFiles closes all queues.
func (k *Kernel) closeFiles() error {
	err := k.file.Close()
	for _, q := range k.more {
		err = errors.Join(err, q.file.Close())
	}
	return err
}

// More returns the queues beyond the first; see [Device].
func (k *Kernel) More() []Queue {
	var qs []Queue
	for _, q := range k.more {
		qs = append(qs, q)
	}
	return qs
}
