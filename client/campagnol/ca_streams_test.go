package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"campagnol/client"
	"campagnol/punch"
)

// TestBundle: what is said to a server goes by its stream, what comes by any of them is
// received, and the end of the last is the end.
func TestBundle(t *testing.T) {
	first, second, none := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"), netip.MustParseAddrPort("192.0.2.3:3")
	conns := map[netip.AddrPort]punch.Conn{}
	for _, at := range []netip.AddrPort{first, second} {
		conns[at] = newToldConn(func(d punch.Datagram) []punch.Datagram {
			return []punch.Datagram{{Addr: at, Data: slices.Concat(d.Data, []byte(" heard"))}}
		})
	}
	refused := errors.New("connection refused")
	dial := func(string) func(context.Context, netip.AddrPort) (punch.Conn, error) {
		return func(_ context.Context, as netip.AddrPort) (punch.Conn, error) {
			if c := conns[as]; c != nil {
				return c, nil
			}
			return nil, refused
		}
	}
	var servers []client.Server
	for _, at := range []netip.AddrPort{first, none, second} {
		servers = append(servers, client.Server{Name: at.String(), Addrs: []netip.AddrPort{at}})
	}
	if _, err := openBundle(t.Context(), servers[1:2], dial); !errors.Is(err, refused) {
		t.Errorf("no stream at all: %v, want %v", err, refused)
	}
	b, err := openBundle(t.Context(), servers, dial)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, at := range []netip.AddrPort{second, first} {
		if err := b.Send([]punch.Datagram{{Addr: at, Data: []byte("word")}}); err != nil {
			t.Fatal(err)
		}
		ds, err := b.Receive()
		if err != nil || len(ds) != 1 || ds[0].Addr != at || string(ds[0].Data) != "word heard" {
			t.Errorf("from %v: %v, %v", at, ds, err)
		}
	}
	if err := b.Send([]punch.Datagram{{Addr: none}, {Addr: first, Data: []byte("last")}}); !errors.Is(err, errNoStream) {
		t.Errorf("to a server without a stream: %v", err)
	}
	if ds, err := b.Receive(); err != nil || !strings.HasPrefix(string(ds[0].Data), "last") {
		t.Errorf("what follows is lost: %v, %v", ds, err)
	}
	conns[first].Close()
	if err := b.Send([]punch.Datagram{{Addr: second, Data: []byte("on")}}); err != nil {
		t.Errorf("one of two has ended: %v", err)
	}
	if _, err := b.Receive(); err != nil {
		t.Errorf("one of two has ended: %v", err)
	}
	conns[second].Close()
	if _, err := b.Receive(); !errors.Is(err, errStreamsEnded) {
		t.Errorf("both have ended: %v", err)
	}
	b.Close()
	if _, err := b.Receive(); !errors.Is(err, net.ErrClosed) && !errors.Is(err, errStreamsEnded) {
		t.Errorf("after Close: %v", err)
	}
}
