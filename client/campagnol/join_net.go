package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"campagnol/internal/cli"
	"campagnol/pki/enroll"
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

// joinExchange runs an exchange with the authority by a rendezvous server, to its
// end. say is told what is going on.
func joinExchange(ctx context.Context, rand io.Reader, ex *enroll.Exchange, servers []netip.AddrPort, say func(string)) error {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	g := newJoinGate(time.Now(), rand, ex, servers)
	received := make(chan joinDatagram, 16)
	var reader sync.WaitGroup
	reader.Go(func() { joinRead(conn, received) })
	defer reader.Wait()
	defer conn.Close()
	said := ""
	for {
		now := time.Now()
		for _, d := range g.advance(now, nil) {
			if _, err := conn.WriteToUDPAddrPort(d.data, d.addr); err != nil {
				g.said.sendErr = err
			}
		}
		if p := g.phase(); p != said {
			said = p
			say(p)
		}
		if over, err := g.over(now); over {
			return err
		}
		// Not later than a second: over depends on the time as well.
		timer := time.NewTimer(min(time.Until(g.due), time.Second))
		select {
		case d := <-received:
			g.receive(time.Now(), d)
		case <-timer.C:
		case <-ctx.Done():
			return errors.New("join: interrupted; the same command goes on where it was")
		}
		timer.Stop()
	}
}

// joinRead hands on what comes, until the socket is closed. What nobody takes in
// time is dropped, as networks do.
func joinRead(conn *net.UDPConn, to chan<- joinDatagram) {
	for {
		b := make([]byte, wire.MaxApply+64)
		n, addr, err := conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // of a datagram that was sent before
		}
		select {
		case to <- joinDatagram{addr, b[:n]}:
		default:
		}
	}
}
