package stream

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"campagnol/pki/pkitest"
	"campagnol/punch"
)

// A memListener has connections in memory, which take as much as is read from them. It
// obeys the clock of testing/synctest.
type memListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemListener() *memListener {
	return &memListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		if c == nil {
			return nil, errors.New("too many open files")
		}
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (*memListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 443} }

// dial returns a connection that comes from an address.
func (l *memListener) dial(from string) net.Conn {
	near, far := net.Pipe()
	l.conns <- &memConn{far, netip.MustParseAddrPort(from)}
	return near
}

// A memConn is the server's end of one.
type memConn struct {
	net.Conn
	from netip.AddrPort
}

func (c *memConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.from) }
func (*memConn) LocalAddr() net.Addr    { return (*memListener)(nil).Addr() }

// echoing starts a Listener that sends everything back. It is closed in the end.
func echoing(t testing.TB, l net.Listener, cfg ListenConfig) *Listener {
	t.Helper()
	s := Listen(l, cfg)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			ds, err := s.Receive()
			if err != nil {
				if err != net.ErrClosed {
					t.Errorf("Receive: %v", err)
				}
				return
			}
			s.Send(ds) // who has left gets nothing
		}
	})
	t.Cleanup(func() {
		s.Close()
		wg.Wait()
	})
	return s
}

// listenTCP returns a listener of the kernel.
func listenTCP(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// serverTLS returns the TLS of a server, and that of clients who trust it.
func serverTLS(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	ca := pkitest.NewCA(t, "ca", time.Now())
	leaf := ca.Issue(t, "rdv.example.org", func(c *x509.Certificate) { c.DNSNames = []string{"rdv.example.org"} })
	cert := tls.Certificate{PrivateKey: leaf.Key}
	for _, c := range leaf.Chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	return ServerTLS(func() *tls.Certificate { return &cert }), &tls.Config{RootCAs: roots}
}

// dialTo connects to a Listener.
func dialTo(t testing.TB, s *Listener, cfg Config) *Conn {
	t.Helper()
	cfg.Addr = s.LocalAddr()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	c, err := Dial(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// exchange sends datagrams, and wants them back.
func exchange(t testing.TB, c punch.Conn, at netip.AddrPort, ds ...[]byte) {
	t.Helper()
	var out []punch.Datagram
	for _, d := range ds {
		out = append(out, punch.Datagram{Addr: at, Data: d})
	}
	if err := c.Send(out); err != nil {
		t.Fatalf("Send: %v", err)
	}
	for len(ds) > 0 {
		in, err := c.Receive()
		if err != nil {
			t.Fatalf("Receive: %v", err)
		}
		for _, d := range in {
			if d.Addr != at {
				t.Errorf("a datagram from %v, want %v", d.Addr, at)
			}
		}
		for _, got := range payloads(in) {
			if len(ds) == 0 || !bytes.Equal(got, ds[0]) {
				t.Fatalf("got %.20x of %d bytes", got, len(got))
			}
			ds = ds[1:]
		}
	}
}

// hello is a datagram, and mixed are some of all kinds.
var (
	hello = []byte{15, 1, 1, 0}
	mixed = [][]byte{hello, channelOf(0x4000, 7, 1), channelOf(0x4000, 7, 2), bytes.Repeat([]byte{23}, 30000), {}, channelOf(0x4001, 0, 0)}
)
