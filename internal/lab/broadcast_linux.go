package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Broadcast sends one UDP datagram from a node to a broadcast address and
// returns what became of it at each of the receivers, in their order. It
// returns as soon as all have it, and at the latest when the context ends;
// that some do not have it is not an error.
func Broadcast(ctx context.Context, from *Node, dst netip.AddrPort, to ...*Node) ([]Delivery, error) {
	conns := make([]*net.UDPConn, len(to))
	for i, n := range to {
		c, err := n.ListenUDP(netip.AddrPortFrom(unspecified(dst.Addr()), dst.Port()))
		if err != nil {
			return nil, err
		}
		defer c.Close()
		conns[i] = c
	}
	out, err := from.ListenUDP(netip.AddrPortFrom(unspecified(dst.Addr()), 0))
	if err != nil {
		return nil, err
	}
	defer out.Close()

	token := []byte(rand.Text())
	start := time.Now()
	if _, err := out.WriteToUDPAddrPort(token, dst); err != nil {
		return nil, from.wrap("broadcast", err)
	}
	all := make([]Delivery, len(to))
	errs := make([]error, len(to))
	var receivers sync.WaitGroup
	for i, c := range conns {
		receivers.Go(func() {
			all[i], errs[i] = awaitToken(ctx, c, token, start)
			all[i].Node = to[i].name
			errs[i] = to[i].wrap("receive broadcast", errs[i])
		})
	}
	receivers.Wait()
	return all, errors.Join(errs...)
}

// awaitToken waits for a datagram with the given content, and takes the copies
// that are there already.
func awaitToken(ctx context.Context, c *net.UDPConn, token []byte, start time.Time) (Delivery, error) {
	d := Delivery{After: Lost}
	defer context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })()
	b := make([]byte, len(token)+1)
	for {
		n, src, err := c.ReadFromUDPAddrPort(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return d, nil
		}
		if err != nil {
			return d, err
		}
		if !bytes.Equal(b[:n], token) {
			continue // something of an earlier run
		}
		d.Copies++
		if d.Copies > 1 {
			continue
		}
		d.After = time.Since(start)
		d.Source = netip.AddrPortFrom(src.Addr().Unmap(), src.Port())
		if err := c.SetReadDeadline(time.Now().Add(copyPatience)); err != nil {
			return d, err
		}
	}
}

// copyPatience is how long a receiver that has a broadcast looks for copies of
// it.
const copyPatience = 20 * time.Millisecond
