package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"campagnol/punch"
)

// Protocol is what clients of this package offer by ALPN (RFC 7301).
const Protocol = "campagnol-stream/1"

// Config says whereto to connect, and how.
type Config struct {
	// Addr is the server's address.
	Addr netip.AddrPort

	// As is the address that all datagrams have; the zero AddrPort: Addr.
	As netip.AddrPort

	// Name is the server's name, for TLS (SNI) and people; "" is none.
	Name string

	// TLS has how the server proves who it is; it is not changed. nil: plain TCP.
	TLS *tls.Config

	// Proxy is an HTTP proxy, by http or https, which is asked to connect to Addr; its
	// user and password go there as Basic credentials (RFC 7617). nil: there is none.
	Proxy *url.URL

	// ProxyTLS is how a proxy with https proves who it is; nil: to the system's
	// authorities, by its name.
	ProxyTLS *tls.Config

	// DialContext makes TCP connections; nil is that of net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// Log takes that a connection stands, and why it has ended; nil means nowhere.
	Log *slog.Logger
}

// where returns the server for people.
func (cfg *Config) where() string {
	if cfg.Name == "" {
		return cfg.Addr.String()
	}
	return fmt.Sprintf("%s (%v)", cfg.Name, cfg.Addr)
}

// A Conn is the client's end of a connection: a punch.Conn with one other end. A
// connection that is dead is noticed after ten seconds or so. The server ends one over
// which it hears nothing for 5 s at the beginning, or for a minute.
type Conn struct {
	cfg    Config
	pipe   *pipe
	counts counters
	local  netip.AddrPort
	writer sync.WaitGroup
}

var _ punch.StreamConn = (*Conn)(nil)

// Dial connects to a server. ctx bounds that, and has no effect on the connection.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Addr = unmapped(cfg.Addr)
	raw, conn, err := cfg.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream: %s: %w", cfg.where(), err)
	}
	if !cfg.As.IsValid() {
		cfg.As = cfg.Addr
	}
	c := &Conn{cfg: cfg, local: addrPort(raw.LocalAddr())}
	c.pipe = newPipe(conn, raw, cfg.As, &c.counts)
	// The address is for sockets that have several.
	c.pipe.in.local = netip.Addr{}
	c.writer.Go(c.pipe.write)
	cfg.Log.DebugContext(ctx, "Connected to {addr}", "addr", cfg.Addr, "name", cfg.Name, "tls", cfg.TLS != nil, "proxy", cfg.Proxy != nil)
	return c, nil
}

// connect returns a connection to the server, and the one of TCP below it.
func (cfg *Config) connect(ctx context.Context) (raw, conn net.Conn, err error) {
	dial := cfg.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	addr := cfg.Addr.String()
	if cfg.Proxy != nil {
		if addr, err = proxyAddr(cfg.Proxy); err != nil {
			return nil, nil, err
		}
	}
	below, err := dial(ctx, "tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	setOptions(below)
	// Whatever is said until the connection stands ends with ctx.
	stop := context.AfterFunc(ctx, func() { below.SetDeadline(time.Unix(1, 0)) })
	conn, err = cfg.secure(ctx, below)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		below.Close()
		if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return nil, nil, err
	}
	return below, conn, nil
}

// secure goes through the proxy, and begins TLS.
func (cfg *Config) secure(ctx context.Context, conn net.Conn) (net.Conn, error) {
	var err error
	if cfg.Proxy != nil {
		if conn, err = cfg.tunnel(ctx, conn); err != nil {
			return nil, err
		}
	}
	if cfg.TLS == nil {
		return conn, nil
	}
	t := cfg.TLS.Clone()
	t.MinVersion = tls.VersionTLS13
	if t.ServerName == "" {
		t.ServerName = cfg.Name
	}
	if !slices.Contains(t.NextProtos, Protocol) {
		t.NextProtos = append(slices.Clone(t.NextProtos), Protocol)
	}
	secured := tls.Client(conn, t)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", explain(err))
	}
	return secured, nil
}

// Receive waits for datagrams, see [punch.Conn]. An error other than net.ErrClosed says
// why the connection has ended.
func (c *Conn) Receive() ([]punch.Datagram, error) {
	ds, err := c.pipe.receive()
	switch {
	case err == nil:
		return ds, nil
	case err == net.ErrClosed:
		return nil, err
	}
	err = fmt.Errorf("stream: %s: %w", c.cfg.where(), explain(err))
	c.cfg.Log.Debug("Connection to {addr} is over", "addr", c.cfg.Addr, "err", err)
	return nil, err
}

// errOther says that a datagram is for somebody else.
var errOther = errors.New("stream: the other end of the connection is another one")

// Send queues datagrams for the server. It does not wait, and what is dropped because it
// has waited too long is no error.
func (c *Conn) Send(ds []punch.Datagram) error {
	var first error
	now := time.Now()
	for i := range ds {
		err := errOther
		if ds[i].Addr == c.cfg.As || unmapped(ds[i].Addr) == c.cfg.As {
			err = c.pipe.send(now, &ds[i])
		}
		if first == nil {
			first = err
		}
	}
	c.pipe.out.signal()
	return first
}

// Transport returns "tls" or "tcp".
func (c *Conn) Transport() string {
	if c.cfg.TLS != nil {
		return "tls"
	}
	return "tcp"
}

// LocalAddr returns the address of this end of the connection, which no datagram has.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// Stats returns what c has counted. It is safe for concurrent use.
func (c *Conn) Stats() Stats { return c.counts.stats() }

// Close ends the connection. What was sent before gets a moment to leave.
func (c *Conn) Close() error {
	c.pipe.end(net.ErrClosed)
	c.writer.Wait()
	return nil
}
