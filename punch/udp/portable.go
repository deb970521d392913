package udp

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"

	"campagnol/punch"
)

// A Portable is a UDP socket that needs nothing but the standard library: one
// call moves one datagram. Its methods are those of [Conn].
type Portable struct {
	uc    *net.UDPConn
	bound netip.AddrPort
	local netip.Addr // of every datagram; zero if bound to all addresses
	buf   []byte     // borrowed by the caller of Receive
	out   [1]punch.Datagram
	feat  Features
	stats portableStats
}

type portableStats struct {
	received, sent, writes, unsent, pathErrors atomic.Uint64
}

// ListenPortable opens a Portable. Config.Batch has no meaning for it, and
// Config.Device is refused.
func ListenPortable(cfg Config) (*Portable, error) {
	cfg = cfg.withDefaults()
	if cfg.Device != "" {
		return nil, fmt.Errorf("udp: listen on %v: this system cannot bind a socket to interface %q: give the interface's address instead: %w",
			cfg.Addr, cfg.Device, errors.ErrUnsupported)
	}
	c, err := listenPortable(cfg)
	if errors.Is(err, errNotDual) {
		c, err = listenPortable(cfg.onlyIPv4())
	}
	return c, err
}

func listenPortable(cfg Config) (*Portable, error) {
	c := &Portable{buf: make([]byte, 1<<16)}
	uc, err := listen(cfg, func(fd uintptr) error {
		c.feat.DontFragment = dontFragment(fd, cfg.families()) == nil
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.feat.IPv4, c.feat.IPv6 = cfg.families().ip4, cfg.families().ip6
	c.uc, c.bound = uc, localAddr(uc)
	if a := c.bound.Addr(); !a.IsUnspecified() {
		c.local = a
	}
	if err := errors.Join(uc.SetReadBuffer(cfg.RcvBuf), uc.SetWriteBuffer(cfg.SndBuf)); err != nil {
		cfg.Log.Warn("the socket's buffers stay small; bursts will be lost", slog.Any("addr", c.bound), slog.Any("err", err))
	}
	return c, nil
}

// Receive waits for a datagram; see [punch.Conn].
func (c *Portable) Receive() ([]punch.Datagram, error) {
	for {
		n, from, err := c.uc.ReadFromUDPAddrPort(c.buf)
		switch {
		case err == nil:
			c.stats.received.Add(1)
			c.out[0] = punch.Datagram{
				Addr:  netip.AddrPortFrom(from.Addr().Unmap(), from.Port()),
				Data:  c.buf[:n],
				Local: c.local,
			}
			return c.out[:], nil
		case errors.Is(err, net.ErrClosed):
			return nil, net.ErrClosed
		case isFromNetwork(err):
			c.stats.pathErrors.Add(1)
		default:
			return nil, fmt.Errorf("udp: receive on %v: %w", c.bound, err)
		}
	}
}

// Send sends ds; see [punch.Conn].
func (c *Portable) Send(ds []punch.Datagram) error {
	var first error
	for _, d := range ds {
		for payload := range d.Segments {
			_, err := c.uc.WriteToUDPAddrPort(payload, netip.AddrPortFrom(d.Addr.Addr().Unmap(), d.Addr.Port()))
			if errors.Is(err, net.ErrClosed) {
				return net.ErrClosed
			}
			c.stats.writes.Add(1)
			if err == nil {
				c.stats.sent.Add(1)
				continue
			}
			c.stats.unsent.Add(1)
			if first == nil {
				first = err
			}
		}
	}
	return first
}

// LocalAddr returns the bound address; its IP may be unspecified.
func (c *Portable) LocalAddr() netip.AddrPort { return c.bound }

// Close unblocks Receive and Send, which return net.ErrClosed.
func (c *Portable) Close() error { return c.uc.Close() }

// More returns that there are no sockets beyond the first.
func (c *Portable) More() []*Portable { return nil }

// Errors returns nil: what ICMP says is not told here.
func (c *Portable) Errors() <-chan PathError { return nil }

// Features returns what the socket makes use of.
func (c *Portable) Features() Features { return c.feat }

// Stats returns what went through the socket.
func (c *Portable) Stats() Stats {
	n := c.stats.received.Load()
	return Stats{
		Received:   n,
		Reads:      n,
		Sent:       c.stats.sent.Load(),
		Writes:     c.stats.writes.Load(),
		Unsent:     c.stats.unsent.Load(),
		PathErrors: c.stats.pathErrors.Load(),
	}
}
