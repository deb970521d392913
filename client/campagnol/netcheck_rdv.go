package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"campagnol/conf"
	"campagnol/punch"
	"campagnol/rdv/wire"
)

// probeRetry is how long the rendezvous server has to answer before it is asked again.
const probeRetry = 300 * time.Millisecond

// probeRDV asks a rendezvous server, from a socket of its own, whether it is there: a
// PING, which all of them answer, whoever sends it; and a KNOCK, which Campagnol 0.3.5
// ignores. Neither registers anything.
func probeRDV(ctx context.Context, cfg *conf.Client, bind netip.AddrPort, at netip.AddrPort) (*rdvReport, error) {
	conn, err := openSocket(cfg, bind)
	if err != nil {
		return nil, fmt.Errorf("netcheck: %w", err)
	}
	return probeBy(ctx, conn, at)
}

// probeBy is probeRDV by a socket, or over a stream, which it closes.
func probeBy(ctx context.Context, conn punch.Conn, at netip.AddrPort) (*rdvReport, error) {
	r := &rdvReport{Addr: at, Channel: "unknown"}
	heard := make(chan []byte, 8)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		readFrom(conn, at, heard)
	}()
	defer func() {
		conn.Close()
		<-ended
	}()
	start := time.Now()
	ask := time.NewTicker(probeRetry)
	defer ask.Stop()
	over := time.NewTimer(probeTime)
	defer over.Stop()
	say := func() {
		// That it cannot be sent shows in that nothing comes back.
		_ = conn.Send([]punch.Datagram{
			{Addr: at, Data: wire.GateMessage{Type: wire.Knock, Version: wire.GateVersion}.Append(nil)},
			{Addr: at, Data: wire.Message{Type: wire.Ping}.Append(nil)},
		})
	}
	say()
	for asked := start; ; {
		select {
		case b := <-heard:
			if !r.hear(b) {
				continue
			}
			if r.RTT == 0 {
				r.RTT = millis(time.Since(asked))
			}
			if r.Channel != "unknown" {
				return r, nil
			}
			over.Reset(probeRetry) // what it says to the KNOCK is not far
		case <-ask.C:
			if !r.Reachable {
				asked = time.Now()
				say()
			}
		case <-over.C:
			return r, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// hear takes a datagram from the server, and reports whether it is an answer.
func (r *rdvReport) hear(b []byte) bool {
	switch wire.KindOf(b) {
	case wire.KindGate:
		g, err := wire.ParseGate(b)
		switch {
		case err == nil && g.Type == wire.Cookie:
			r.Channel = "yes"
		case err == nil && g.Type == wire.Closed:
			r.Channel = "no"
		default:
			return false
		}
	case wire.KindRendezvous:
		m, err := wire.Parse(b)
		if err != nil || m.Type != wire.Pong && m.Type != wire.Reconnect {
			return false
		}
	default:
		return false
	}
	r.Reachable = true
	return true
}

// readFrom hands on the datagrams of one endpoint, as far as somebody takes them,
// until the socket is closed.
func readFrom(conn punch.Conn, from netip.AddrPort, to chan<- []byte) {
	for {
		ds, err := conn.Receive()
		if errors.Is(err, net.ErrClosed) || err != nil {
			return
		}
		for _, d := range ds {
			if d.Addr != from {
				continue
			}
			d.Segments(func(b []byte) bool {
				select {
				case to <- append([]byte(nil), b...):
				default:
				}
				return true
			})
		}
	}
}
