package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"campagnol/client"
	"campagnol/punch"
)

// A bundle is one socket made of streams, each to one rendezvous server, for an authority
// whose UDP does not get through. It ends with the last of them.
type bundle struct {
	streams map[netip.AddrPort]punch.Conn // by where the server is by UDP; not changed
	in      chan []punch.Datagram
	closed  chan struct{} // by Close
	over    chan struct{} // closed when all streams have ended
	close   func()
	readers sync.WaitGroup
}

var _ punch.Conn = (*bundle)(nil)

// openBundle opens a stream to each server, and returns an error if none can be opened.
// dial returns how one to a server of a name is.
func openBundle(ctx context.Context, servers []client.Server, dial streamDialer) (*bundle, error) {
	ctx, cancel := context.WithTimeout(ctx, joinOpening)
	defer cancel()
	b := &bundle{streams: map[netip.AddrPort]punch.Conn{}, in: make(chan []punch.Datagram), closed: make(chan struct{}), over: make(chan struct{})}
	b.close = sync.OnceFunc(func() { close(b.closed) })
	var mu sync.Mutex
	var failed error
	var opening sync.WaitGroup
	for _, s := range servers {
		opening.Go(func() {
			conn, err := dial(s.Name)(ctx, s.Addrs[0])
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				failed = err
			case b.streams[s.Addrs[0]] != nil: // two names of one server
				conn.Close()
			default:
				b.streams[s.Addrs[0]] = conn
			}
		})
	}
	opening.Wait()
	if len(b.streams) == 0 {
		return nil, failed
	}
	for _, conn := range b.streams {
		b.readers.Go(func() { b.read(conn) })
	}
	go func() {
		b.readers.Wait()
		close(b.over)
	}()
	return b, nil
}

// read hands on what comes by a stream, until that ends.
func (b *bundle) read(conn punch.Conn) {
	for {
		ds, err := conn.Receive()
		if err != nil {
			return
		}
		mine := make([]punch.Datagram, len(ds))
		for i, d := range ds {
			mine[i] = d
			mine[i].Data = bytes.Clone(d.Data)
		}
		select {
		case b.in <- mine:
		case <-b.closed:
			return
		}
	}
}

// Receive waits for datagrams, see [punch.Conn].
func (b *bundle) Receive() ([]punch.Datagram, error) {
	select {
	case ds := <-b.in:
		return ds, nil
	case <-b.closed:
		return nil, net.ErrClosed
	case <-b.over:
		return nil, errStreamsEnded
	}
}

var (
	// errStreamsEnded is why a bundle is of no use any more.
	errStreamsEnded = errors.New("the connections to the rendezvous servers have ended")

	// errNoStream is why nothing is sent to a server to which there is no stream.
	errNoStream = errors.New("there is no connection to that server")
)

// Send sends datagrams, see [punch.Conn].
func (b *bundle) Send(ds []punch.Datagram) (failed error) {
	for i, d := range ds {
		err := errNoStream
		if conn := b.streams[d.Addr]; conn != nil {
			err = conn.Send(ds[i : i+1])
		}
		if failed == nil {
			failed = err
		}
	}
	return failed
}

// LocalAddr returns no address: each stream has one of its own.
func (b *bundle) LocalAddr() netip.AddrPort { return netip.AddrPort{} }

// Close ends all streams, see [punch.Conn].
func (b *bundle) Close() error {
	b.close()
	for _, conn := range b.streams {
		conn.Close()
	}
	b.readers.Wait()
	return nil
}
