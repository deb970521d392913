package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/punch"
	"campagnol/punch/stream"
	"campagnol/punch/turn"
	"campagnol/punch/udp"
)

// relayBuffer is the size of the buffers of a socket to a relay, by which much may go,
// in bytes.
const relayBuffer = 4 << 20

// allocate gets us an address at a relay, by the first of its addresses that answers.
func (n *node) allocate(ctx context.Context, s client.TURNServer) (client.Allocation, error) {
	v := n.view.Load() // who is trusted may have changed since the last
	var errs []error
	for _, at := range s.Addrs {
		conn, err := n.wayToRelay(ctx, v, s, at)
		if err == nil {
			var a *turn.Conn
			if a, err = turn.Allocate(ctx, turn.Config{
				Server: at, Conn: conn, Reliable: s.Transport == client.TransportTCP, Transport: transportOf(&s), User: s.User, Password: s.Password, Log: n.log,
			}); err == nil {
				return a, nil
			}
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// transportOf returns how a relay is reached, for people.
func transportOf(s *client.TURNServer) string {
	if s.TLS {
		return "tls"
	}
	return s.Transport
}

// wayToRelay opens a way to a relay at an address: a socket, or a stream.
func (n *node) wayToRelay(ctx context.Context, v *view, s client.TURNServer, at netip.AddrPort) (punch.Conn, error) {
	if s.Transport == client.TransportUDP {
		return openRelaySocket(v.cfg, v.where.bind.Addr())
	}
	cfg := stream.Config{Addr: at, Name: s.Name, Proxy: v.cfg.HTTPProxy, Log: n.log}
	switch {
	case s.TLS && s.RDV:
		cfg.Name, cfg.TLS = streamName(s.Name), v.trust.streamTLS()
	case s.TLS:
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.Name}
	}
	return dialStream(ctx, cfg)
}

// openRelaySocket opens a socket to a relay, which knows us by it.
func openRelaySocket(cfg *conf.Client, bind netip.Addr) (punch.Conn, error) {
	conn, err := udp.Listen(udp.Config{Addr: netip.AddrPortFrom(bind, 0), Dual: true, Device: cfg.Interface, RcvBuf: relayBuffer, SndBuf: relayBuffer})
	if err != nil {
		return nil, err
	}
	return conn, nil
}
