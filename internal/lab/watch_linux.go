package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"campagnol/internal/lab/clock"
	"campagnol/internal/lab/frame"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// WatchOptions say what a Watch sees.
type WatchOptions struct {
	// Filter is a program that the kernel runs for every frame, so that what
	// does not matter costs nothing: see [FilterGroups] and [FilterUDP]. nil
	// is everything. The program sees frames without their outermost VLAN
	// tag, which the kernel keeps elsewhere.
	Filter []bpf.RawInstruction

	// Incoming leaves out what the node itself sends.
	Incoming bool
}

// A Sighting is a frame that was seen on an interface.
type Sighting struct {
	At       clock.Instant // when the kernel had it
	Outgoing bool          // the node sent it, itself or as a bridge
	Raw      []byte        // as on the wire, with all VLAN tags
	Frame    frame.Frame   // what Raw says; refers to it
	Err      error         // why that is not everything
}

// String describes the sighting in a line.
func (s Sighting) String() string {
	direction := "in "
	if s.Outgoing {
		direction = "out"
	}
	text := fmt.Sprintf("%v %s %v", s.At, direction, s.Frame)
	if s.Err != nil {
		text += " (" + s.Err.Error() + ")"
	}
	return text
}

// A Watch sees the frames of one interface, and can send frames of its own
// there, as they are: a kernel without the driver for VLANs has no other way to
// tagged frames. It is safe for concurrent use.
type Watch struct {
	on   Interface
	file *os.File // an AF_PACKET socket
	conn syscall.RawConn

	mu      sync.Mutex // protects the following
	seen    []Sighting
	dropped int           // for which the socket had no room
	news    chan struct{} // closed when there is more to see, or no more

	ended chan struct{} // closed at the end of the reader
}

// watchBuffer is the socket's memory: room for a storm while we do not run.
const watchBuffer = 8 << 20

// watchFrame is the largest frame, one that the kernel would cut later and its
// tags included.
const watchFrame = 1<<16 + 64

// Watch sees what goes through the interface from now on. It ends with
// [Watch.Close], which has to be called: a lab does not know its watches.
func (i Interface) Watch(o WatchOptions) (*Watch, error) {
	index, err := i.Index()
	if err != nil {
		return nil, err
	}
	fd := -1
	err = i.ns.do(func() (err error) {
		fd, err = packetSocket(index, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lab: watch %s in namespace %s: %w", i.name, i.ns.name, err)
	}
	w := &Watch{on: i, file: os.NewFile(uintptr(fd), "watch"), news: make(chan struct{}), ended: make(chan struct{})}
	if w.conn, err = w.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	go w.read()
	return w, nil
}

// packetSocket makes a socket that sees what the options say. It is bound last:
// until then it sees nothing, so that nothing gets past the filter.
func packetSocket(index int, o WatchOptions) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	for _, opt := range []struct{ level, name, value int }{
		{unix.SOL_PACKET, unix.PACKET_AUXDATA, 1},
		{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1},
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer},
	} {
		if err := unix.SetsockoptInt(fd, opt.level, opt.name, opt.value); err != nil {
			return -1, os.NewSyscallError("setsockopt", err)
		}
	}
	if o.Incoming {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return -1, os.NewSyscallError("setsockopt", err)
		}
	}
	if len(o.Filter) > 0 {
		filter := make([]unix.SockFilter, len(o.Filter))
		for i, f := range o.Filter {
			filter[i] = unix.SockFilter{Code: f.Op, Jt: f.Jt, Jf: f.Jf, K: f.K}
		}
		program := unix.SockFprog{Len: uint16(len(filter)), Filter: unsafe.SliceData(filter)}
		if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
			return -1, os.NewSyscallError("attach the filter", err)
		}
	}
	// The protocol is in the network's byte order.
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}); err != nil {
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

// read takes frames until the socket is closed, or its interface is gone.
func (w *Watch) read() {
	defer func() {
		w.mu.Lock()
		close(w.news)
		w.news = nil
		w.mu.Unlock()
		close(w.ended)
	}()
	b, oob := make([]byte, watchFrame), make([]byte, 256)
	for {
		var n, oobn int
		var from unix.Sockaddr
		var err error
		ready := w.conn.Read(func(fd uintptr) bool {
			n, oobn, _, from, err = unix.Recvmsg(int(fd), b, oob, 0)
			return err != unix.EAGAIN
		})
		switch {
		case ready != nil: // closed
			return
		case err == unix.ENETDOWN:
			continue // said once each time that the interface goes down
		case err != nil:
			return
		}
		w.add(newSighting(b[:n], oob[:oobn], from))
	}
}

// newSighting makes a sighting of what a socket read; it copies b.
func newSighting(b, oob []byte, from unix.Sockaddr) Sighting {
	s := Sighting{}
	if sa, ok := from.(*unix.SockaddrLinklayer); ok {
		s.Outgoing = sa.Pkttype == unix.PACKET_OUTGOING
	}
	aux := parsePacketAux(oob)
	s.At = clock.Now()
	if !aux.stamp.IsZero() {
		s.At = clock.OfStamp(aux.stamp)
	}
	if aux.tagged {
		s.Raw = frame.InsertTag(b, aux.tag)
	} else {
		s.Raw = append([]byte(nil), b...)
	}
	s.Frame, s.Err = frame.Parse(s.Raw)
	return s
}

// packetAux is what the kernel tells besides the frame.
type packetAux struct {
	stamp  time.Time
	tagged bool
	tag    frame.Tag // the outermost, which is not in the frame
}

// parsePacketAux reads control messages.
func parsePacketAux(oob []byte) (aux packetAux) {
	const (
		auxSize     = 20 // struct tpacket_auxdata of linux/if_packet.h
		statusTag   = 1 << 4
		statusProto = 1 << 6
	)
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return aux
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})):
			t := (*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
			aux.stamp = time.Unix(t.Unix())
		case m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= auxSize:
			status := binary.NativeEndian.Uint32(m.Data)
			aux.tagged = status&statusTag != 0
			tpid := uint16(frame.TPIDCustomer)
			if status&statusProto != 0 {
				tpid = binary.NativeEndian.Uint16(m.Data[18:])
			}
			aux.tag = frame.NewTag(tpid, binary.NativeEndian.Uint16(m.Data[16:]))
		}
	}
	return aux
}

func (w *Watch) add(s Sighting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, s)
	close(w.news)
	w.news = make(chan struct{})
}

// Send sends a frame as it is.
func (w *Watch) Send(b []byte) error {
	var err error
	ready := w.conn.Write(func(fd uintptr) bool {
		_, err = unix.Write(int(fd), b)
		return err != unix.EAGAIN
	})
	if ready != nil {
		err = os.ErrClosed
	}
	if err != nil {
		return fmt.Errorf("lab: send a frame on %s in namespace %s: %w", w.on.name, w.on.ns.name, err)
	}
	return nil
}

// Seen returns everything that was seen so far, in the order in which it was
// read.
func (w *Watch) Seen() []Sighting {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[:len(w.seen):len(w.seen)]
}

// Count returns how many of the frames seen so far match.
func (w *Watch) Count(match func(Sighting) bool) (n int) {
	for _, s := range w.Seen() {
		if match(s) {
			n++
		}
	}
	return n
}

// Await returns the first frame that matches and was seen at since or later. It
// waits for it until the context ends.
func (w *Watch) Await(ctx context.Context, since clock.Instant, match func(Sighting) bool) (Sighting, error) {
	for next := 0; ; {
		w.mu.Lock()
		seen, news := w.seen, w.news
		w.mu.Unlock()
		for _, s := range seen[next:] {
			if s.At >= since && match(s) {
				return s, nil
			}
		}
		next = len(seen)
		if news == nil {
			return Sighting{}, fmt.Errorf("lab: watch %s in namespace %s: %w", w.on.name, w.on.ns.name, os.ErrClosed)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return Sighting{}, fmt.Errorf("lab: %s in namespace %s did not see the frame among %d: %w", w.on.name, w.on.ns.name, next, context.Cause(ctx))
		}
	}
}

// Dropped returns how many frames the socket had no room for: a test that
// counts frames checks that there are none.
func (w *Watch) Dropped() (int, error) {
	var stats *unix.TpacketStats
	var err error
	if ready := w.conn.Control(func(fd uintptr) {
		stats, err = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
	}); ready != nil {
		return 0, os.ErrClosed
	}
	if err != nil {
		return 0, os.NewSyscallError("getsockopt", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropped += int(stats.Drops) // which the kernel sets to zero
	return w.dropped, nil
}

// Close ends the watch and waits for its reader. What was seen stays.
func (w *Watch) Close() error {
	err := w.file.Close()
	<-w.ended
	return err
}
