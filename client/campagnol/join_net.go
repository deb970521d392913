package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"time"

	"campagnol/internal/cli"
	"campagnol/pki/enroll"
	"campagnol/punch"
	"campagnol/punch/stream"
	"campagnol/rdv/wire"
)

// joinServers returns the addresses of HOST:PORT, of both families.
func joinServers(ctx context.Context, server string) ([]netip.AddrPort, error) {
	host, text, err := net.SplitHostPort(server)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("join: the rendezvous server %q: %w", server, err)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(ips) == 0 {
		reason := "it has no address"
		var dns *net.DNSError
		if errors.As(err, &dns) {
			reason = dns.Err
		}
		return nil, cli.WithHint(fmt.Errorf("join: the rendezvous server %q cannot be resolved: %s", host, reason),
			"check the network and the name servers of this host, or name the server by its address: --rdv ADDRESS:PORT")
	}
	var addrs []netip.AddrPort
	for _, ip := range ips {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return addrs, nil
}

// A joinNet is how datagrams go to a rendezvous server and come from it: by UDP and,
// where its answers do not get through, by TLS to the same addresses.
type joinNet struct {
	udp      *net.UDPConn
	dial     func(ctx context.Context, as netip.AddrPort) (punch.Conn, error) // opens a stream; nil: none are
	received chan joinDatagram
	ends     chan joinStream
	streams  map[netip.AddrPort]punch.Conn // that are open, by the address by which they are known
	opening  int
	again    time.Time // when to open streams next

	running context.Context // of the opening of streams
	stop    context.CancelFunc
	workers sync.WaitGroup
}

// A joinStream is a stream that was opened, or one that has ended, or why there is none.
type joinStream struct {
	as   netip.AddrPort
	conn punch.Conn // nil: none
	err  error      // not nil: it has ended, or was not opened
}

const (
	// joinPatience is how long nothing may have come by UDP before streams are opened:
	// as long as a client waits.
	joinPatience = 1200 * time.Millisecond

	joinOpening   = 5 * time.Second // for a stream to open
	joinOpenAgain = 5 * time.Second // after streams that have not helped
)

// newJoinNet opens a socket. close ends all that it starts.
func newJoinNet(dial func(context.Context, netip.AddrPort) (punch.Conn, error)) (*joinNet, error) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	n := &joinNet{udp: conn, dial: dial, received: make(chan joinDatagram, 16), ends: make(chan joinStream), streams: map[netip.AddrPort]punch.Conn{}}
	n.running, n.stop = context.WithCancel(context.Background())
	n.workers.Go(n.read)
	return n, nil
}

func (n *joinNet) close() {
	n.stop()
	n.udp.Close()
	for _, c := range n.streams {
		c.Close()
	}
	n.workers.Wait()
}

// send sends a datagram: by the stream, where there is one.
func (n *joinNet) send(d joinDatagram) error {
	if c := n.streams[d.addr]; c != nil {
		return c.Send([]punch.Datagram{{Addr: d.addr, Data: d.data}})
	}
	_, err := n.udp.WriteToUDPAddrPort(d.data, d.addr)
	return err
}

// deliver hands on what has come. What nobody takes in time is dropped, as networks do.
func (n *joinNet) deliver(d joinDatagram) {
	select {
	case n.received <- d:
	default:
	}
}

// read delivers what comes by UDP, until the socket is closed.
func (n *joinNet) read() {
	for {
		b := make([]byte, wire.MaxApply+64)
		k, addr, err := n.udp.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil { // else of a datagram that was sent before
			n.deliver(joinDatagram{addr: netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), data: b[:k]})
		}
	}
}

// open begins to open a stream to each server, if it is time for that.
func (n *joinNet) open(now time.Time, servers []netip.AddrPort) {
	if n.dial == nil || n.opening > 0 || now.Before(n.again) {
		return
	}
	n.again = now.Add(joinOpenAgain)
	for _, as := range servers {
		if n.streams[as] != nil {
			continue
		}
		n.opening++
		n.workers.Go(func() {
			ctx, cancel := context.WithTimeout(n.running, joinOpening)
			defer cancel()
			conn, err := n.dial(ctx, as)
			n.end(joinStream{as, conn, err})
		})
	}
}

// end tells the owner about a stream.
func (n *joinNet) end(s joinStream) {
	select {
	case n.ends <- s:
	case <-n.running.Done():
		if s.conn != nil {
			s.conn.Close()
		}
	}
}

// take takes what end has told, and reports whether a stream is open now.
func (n *joinNet) take(s joinStream) bool {
	if n.streams[s.as] != nil && n.streams[s.as] == s.conn { // it has ended
		s.conn.Close()
		delete(n.streams, s.as)
		return false
	}
	n.opening--
	if s.err != nil {
		return false
	}
	n.streams[s.as] = s.conn
	n.workers.Go(func() {
		for {
			ds, err := s.conn.Receive()
			for _, d := range ds {
				n.deliver(joinDatagram{addr: s.as, data: bytes.Clone(d.Data), stream: true})
			}
			if err != nil {
				n.end(joinStream{s.as, s.conn, err})
				return
			}
		}
	})
	return true
}

// of reports whether a datagram has come by the way by which its server is spoken to.
func (n *joinNet) of(d joinDatagram) bool { return d.stream == (n.streams[d.addr] != nil) }

// joinExchange runs an exchange with the authority by a rendezvous server, to its
// end. say is told what is going on. dial is that of a [joinNet].
func joinExchange(ctx context.Context, rand io.Reader, ex *enroll.Exchange, servers []netip.AddrPort, dial func(context.Context, netip.AddrPort) (punch.Conn, error), say func(string)) error {
	n, err := newJoinNet(dial)
	if err != nil {
		return err
	}
	defer n.close()
	g := newJoinGate(time.Now(), rand, ex, servers)
	said := ""
	for {
		now := time.Now()
		for _, d := range g.advance(now, nil) {
			if err := n.send(d); err != nil {
				g.said.sendErr = err
			}
		}
		if g.deaf(now) {
			n.open(now, g.servers)
		}
		if p := g.phase(); p != said {
			said = p
			say(p)
		}
		if over, err := g.over(now); over {
			return err
		}
		// Not later than a fifth of a second: over and deaf depend on the time as well.
		timer := time.NewTimer(min(time.Until(g.due), 200*time.Millisecond))
		select {
		case d := <-n.received:
			if n.of(d) {
				g.receive(time.Now(), d)
			}
		case s := <-n.ends:
			g.reached(time.Now(), s.as, n.take(s), s.err)
		case <-timer.C:
		case <-ctx.Done():
			return errors.New("join: interrupted; the same command goes on where it was")
		}
		timer.Stop()
	}
}

// A streamDialer returns how streams are opened to the server of a name.
type streamDialer func(server string) func(ctx context.Context, as netip.AddrPort) (punch.Conn, error)

// sealedStreams returns how streams are opened at a TCP port of servers, maybe by a proxy;
// nil if that is 0. Who answers there is not verified, and learns nothing of us, as by
// UDP: what is said is sealed between this host and the authority (package pki/enroll), or
// in a channel between the authority and the server (package rdv/channel).
func sealedStreams(port uint16, proxy *url.URL) streamDialer {
	if port == 0 {
		return nil
	}
	return func(server string) func(context.Context, netip.AddrPort) (punch.Conn, error) {
		return func(ctx context.Context, as netip.AddrPort) (punch.Conn, error) {
			return dialStream(ctx, stream.Config{
				Addr: netip.AddrPortFrom(as.Addr(), port), As: as, Name: streamName(server), Proxy: proxy,
				TLS: &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true},
			})
		}
	}
}
