package udp

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"campagnol/punch"
)

// A Conn is a UDP socket, or the first of several at one address (see
// [Conn.More]). Receive belongs to one goroutine; all other methods are safe for
// concurrent use.
type Conn struct {
	more   []*Conn // the others
	uc     *net.UDPConn
	raw    syscall.RawConn
	log    *slog.Logger
	bound  netip.AddrPort
	local  netip.Addr // bound's, or zero if it is unspecified
	serves families
	zones  zones
	errq   errorQueue
	stats  linuxStats
	feat   Features // as opened

	// Features in use. Those that show only when they are used can go.
	gro, pktinfo, ecn         bool
	gso, recvBatch, sendBatch atomic.Bool

	recv *receiver

	// sendMu keeps one Send's datagrams together and guards send. It is held
	// while Send waits for room, as the descriptor's own lock would be; Close
	// ends the wait.
	sendMu sync.Mutex
	send   *sender
}

type linuxStats struct {
	received, reads, joined, truncated  atomic.Uint64
	sent, writes, cut, unsent, rerouted atomic.Uint64
}

// allFeatures is what Listen asks the kernel for.
var allFeatures = Features{
	RecvBatch: true, SendBatch: true, GRO: true, GSO: true,
	PacketInfo: true, ECN: true, ErrorQueue: true, DontFragment: true,
}

// Listen opens a socket, or as many at one address as cfg says.
func Listen(cfg Config) (*Conn, error) {
	c, err := open(cfg, allFeatures, payloadSize)
	if err != nil {
		return nil, err
	}
	cfg.Addr = c.bound // with the port that the kernel chose
	cfg.Log = nil      // the first has said it
	for 1+len(c.more) < cfg.Sockets {
		next, err := open(cfg, allFeatures, payloadSize)
		if err != nil {
			c.Close()
			return nil, err
		}
		next.errq.events = c.errq.events // one channel for all
		c.more = append(c.more, next)
	}
	return c, nil
}

// More returns the sockets beyond the first, each for a goroutine of its own:
// what comes from one address arrives at one of them, in order, and it does not
// matter by which one something is sent. Close closes them too; Stats counts what
// goes through all.
func (c *Conn) More() []*Conn { return c.more }

// open opens a socket that makes use of the features in want, as far as the
// kernel has them, and receives messages of up to size bytes.
func open(cfg Config, want Features, size int) (*Conn, error) {
	cfg = cfg.withDefaults()
	c, err := openOne(cfg, want, size)
	if errors.Is(err, errNotDual) {
		c, err = openOne(cfg.onlyIPv4(), want, size)
	}
	return c, err
}

func openOne(cfg Config, want Features, size int) (*Conn, error) {
	c := &Conn{log: cfg.Log, serves: cfg.families()}
	uc, err := listen(cfg, func(fd uintptr) (err error) {
		c.feat, err = setOptions(fd, cfg, want)
		return err
	})
	if err != nil {
		return nil, err
	}
	if c.raw, err = uc.SyscallConn(); err != nil {
		uc.Close()
		return nil, fmt.Errorf("udp: listen on %v: %w", cfg.Addr, err)
	}
	c.uc, c.bound = uc, localAddr(uc)
	if a := c.bound.Addr(); !a.IsUnspecified() {
		c.local = a
	}
	c.gro, c.pktinfo, c.ecn = c.feat.GRO, c.feat.PacketInfo, c.feat.ECN
	c.gso.Store(c.feat.GSO)
	c.recvBatch.Store(c.feat.RecvBatch)
	c.sendBatch.Store(c.feat.SendBatch)
	c.errq.events = make(chan PathError, pathErrors)
	c.errq.zones = &c.zones
	c.recv = newReceiver(c, cfg.Batch, size)
	c.send = newSender(c)
	logFeatures(c.log, c.bound, cfg, c.feat)
	return c, nil
}

// Receive waits for datagrams; see [punch.Conn].
func (c *Conn) Receive() ([]punch.Datagram, error) { return c.recv.receive() }

// Send sends ds; see [punch.Conn]. Apart from net.ErrClosed, an error is the
// syscall.Errno of the first datagram that the kernel refused. A datagram that
// was cut into segments may have been sent in part.
func (c *Conn) Send(ds []punch.Datagram) error {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	return c.send.send(ds)
}

// LocalAddr returns the bound address; its IP may be unspecified.
func (c *Conn) LocalAddr() netip.AddrPort { return c.bound }

// Close unblocks Receive and Send, which return net.ErrClosed.
func (c *Conn) Close() error {
	err := c.uc.Close()
	for _, o := range c.more {
		err = errors.Join(err, o.Close())
	}
	return err
}

// Errors returns the channel of what the network says about single
// destinations. It is never closed. Events that nobody takes are dropped when
// 64 wait. They come while Receive or Send is called.
func (c *Conn) Errors() <-chan PathError { return c.errq.events }

// Features returns what the socket makes use of at the moment.
func (c *Conn) Features() Features {
	f := c.feat
	f.GSO = c.gso.Load()
	f.RecvBatch = c.recvBatch.Load()
	f.SendBatch = c.sendBatch.Load()
	return f
}

// Stats returns what went through the socket.
func (c *Conn) Stats() Stats {
	s := Stats{
		Received:    c.stats.received.Load(),
		Reads:       c.stats.reads.Load(),
		Joined:      c.stats.joined.Load(),
		Truncated:   c.stats.truncated.Load(),
		Sent:        c.stats.sent.Load(),
		Writes:      c.stats.writes.Load(),
		Cut:         c.stats.cut.Load(),
		Unsent:      c.stats.unsent.Load(),
		Rerouted:    c.stats.rerouted.Load(),
		PathErrors:  c.errq.seen.Load(),
		PathDropped: c.errq.dropped.Load(),
	}
	// An error means that the socket is closed.
	_ = c.raw.Control(func(fd uintptr) { s.KernelDropped = kernelDrops(fd) })
	for _, o := range c.more {
		s.add(o.Stats())
	}
	return s
}

// lose stops the use of a feature that the kernel has turned out not to have,
// and says so once.
func (c *Conn) lose(feature *atomic.Bool, name string, errno unix.Errno) {
	if feature.CompareAndSwap(true, false) {
		c.log.Info("the kernel lacks a socket feature; a slower way is used",
			slog.Any("addr", c.bound), slog.String("missing", name), slog.Any("err", errno))
	}
}

// closed returns net.ErrClosed, bare, for an error that means it, and other
// errors with a prefix.
func (c *Conn) closed(op string, err error) error {
	if errors.Is(err, net.ErrClosed) {
		return net.ErrClosed
	}
	return fmt.Errorf("udp: %s on %v: %w", op, c.bound, err)
}
