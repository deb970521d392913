package names

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// serve starts a server at a port of the loopback, for whoever allow lets ask.
func serve(t *testing.T, allow func(netip.Addr) bool) netip.AddrPort {
	t.Helper()
	book := NewBook(zoneOf(), func(context.Context) *Zone { return zoneOf(entry("bob", "10.9.0.2")) })
	s, err := Listen([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, book, allow, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s.Addrs()[0]
}

func anybody(netip.Addr) bool { return true }

func TestServer(t *testing.T) {
	at := serve(t, anybody)
	for _, network := range []string{"udp", "tcp"} {
		c := dns.Client{Net: network, Timeout: 10 * time.Second}
		for name, want := range map[string]string{"bob.vpn.example.": "NOERROR aa A 10.9.0.2", "dave.vpn.example.": "NXDOMAIN aa | SOA vpn.example.", "example.org.": "REFUSED"} {
			m, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), at.String())
			if err != nil {
				t.Fatalf("%s: %v", network, err)
			}
			if got := said(m); got != want {
				t.Errorf("%s: %s: %s, want %s", network, name, got, want)
			}
		}
	}
}

// TestServerHostile: garbage over UDP and TCP gets no answer that matters, and the
// server goes on.
func TestServerHostile(t *testing.T) {
	at := serve(t, anybody)
	udp, err := net.Dial("udp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	long := bytes.Repeat([]byte{0xc0, 0x0c}, 1000) // names that point at themselves
	for _, b := range [][]byte{{}, {0}, make([]byte, 12), bytes.Repeat([]byte{0xff}, 100), append(make([]byte, 12), long...), append([]byte{0, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0}, long...)} {
		if _, err := udp.Write(b); err != nil {
			t.Fatal(err)
		}
		tcp, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tcp.Write(append([]byte{byte(len(b) >> 8), byte(len(b))}, b...)); err != nil {
			t.Fatal(err)
		}
		tcp.Close()
	}
	m, err := dns.Exchange(new(dns.Msg).SetQuestion("bob.vpn.example.", dns.TypeA), at.String())
	if err != nil || said(m) != "NOERROR aa A 10.9.0.2" {
		t.Errorf("afterwards: %s, %v", said(m), err)
	}
}

// TestServerConnections: so many connections are served at a time, and no more; an end
// of one makes room.
func TestServerConnections(t *testing.T) {
	at := serve(t, anybody)
	var conns []net.Conn
	for range maxConns {
		c, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	answered := make(chan error, 1)
	go func() {
		c := dns.Client{Net: "tcp", Timeout: 30 * time.Second}
		_, _, err := c.Exchange(new(dns.Msg).SetQuestion("bob.vpn.example.", dns.TypeA), at.String())
		answered <- err
	}()
	for _, c := range conns {
		c.Close()
	}
	if err := <-answered; err != nil {
		t.Errorf("there is room, and no answer: %v", err)
	}
}

// TestServerAllow: who may not ask hears nothing, and others are not kept out by that.
func TestServerAllow(t *testing.T) {
	var open atomic.Bool
	at := serve(t, func(from netip.Addr) bool { return open.Load() && from == netip.MustParseAddr("127.0.0.1") })
	conn, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	q, err := new(dns.Msg).SetQuestion("bob.vpn.example.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	q = append([]byte{0, byte(len(q))}, q...)
	if _, err := conn.Write(q); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	// The end of the connection is the end of all that could be said.
	if b, err := io.ReadAll(conn); err != nil || len(b) > 0 {
		t.Errorf("%d bytes, %v; want nothing", len(b), err)
	}
	open.Store(true)
	m, err := dns.Exchange(new(dns.Msg).SetQuestion("bob.vpn.example.", dns.TypeA), at.String())
	if err != nil || said(m) != "NOERROR aa A 10.9.0.2" {
		t.Errorf("one who may ask: %s, %v", said(m), err)
	}
}

// TestListenTaken: a port that is taken is an error that says so, and other addresses
// are served all the same.
func TestListenTaken(t *testing.T) {
	taken, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := taken.LocalAddr().(*net.UDPAddr).AddrPort()
	s, err := Listen([]netip.AddrPort{at}, nil, anybody, slog.New(slog.DiscardHandler))
	if !errors.Is(err, syscall.EADDRINUSE) || s != nil {
		t.Errorf("%v, %v", s, err)
	}
	s, err = Listen([]netip.AddrPort{at, netip.MustParseAddrPort("127.0.0.1:0")}, nil, anybody, slog.New(slog.DiscardHandler))
	if err == nil || s == nil {
		t.Fatalf("%v, %v; want a server and an error", s, err)
	}
	defer s.Close()
	if n := len(s.Addrs()); n != 1 {
		t.Errorf("%d addresses, want 1", n)
	}
}
