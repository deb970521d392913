package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/cli"
	"campagnol/punch"
	"campagnol/punch/local"
	"campagnol/punch/stream"
)

// How many connections of others are taken at tcp_port. What goes over them is for members
// only, but who connects is known later.
const (
	maxPeerConns     = 256
	maxOfPeerNetwork = 32
)

// listenTCP takes connections of other members, if the configuration says where; nil: it
// does not.
func (n *node) listenTCP(ctx context.Context, cfg *conf.Client, bind netip.Addr) (*stream.Listener, error) {
	if cfg.TCPPort == 0 {
		return nil, nil
	}
	at := netip.AddrPortFrom(bind, cfg.TCPPort)
	lc := net.ListenConfig{Control: toInterface(cfg.Interface)}
	l, err := lc.Listen(ctx, "tcp", at.String())
	if err != nil {
		return nil, cli.WithHint(fmt.Errorf("%s: tcp_port %d: %w", cfg.File, cfg.TCPPort, err),
			"another program may listen there: choose another tcp_port, or 0 to take no connections")
	}
	n.log.Info("Connections of other members are taken", "port", cfg.TCPPort)
	return stream.Listen(l, stream.ListenConfig{MaxConns: maxPeerConns, MaxOfNetwork: maxOfPeerNetwork, Log: n.log}), nil
}

// accepting adds the Listener to a configuration of the client, if there is one.
func (p *parts) accepting(cfg client.Config) client.Config {
	if p.accept != nil { // not a nil *stream.Listener in an interface
		cfg.Accept = p.accept
	}
	return cfg
}

// peerDialer returns how the client connects to peers: directly, and by the way that the
// socket takes.
func (p *parts) peerDialer(n *node) func(context.Context, netip.AddrPort) (punch.StreamConn, error) {
	d := net.Dialer{Control: toInterface(p.cfg.Interface)}
	bind := p.where.bind.Addr()
	return func(ctx context.Context, at netip.AddrPort) (punch.StreamConn, error) {
		d := d
		if !bind.IsUnspecified() && bind.Is4() == at.Addr().Is4() {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(bind, 0))
		}
		conn, err := stream.Dial(ctx, stream.Config{Addr: at, As: stream.Zone(at), DialContext: d.DialContext, Log: n.log})
		if err != nil {
			return nil, err // not a nil *stream.Conn in an interface
		}
		return conn, nil
	}
}

// configuredTCP returns where the configuration says that peers can connect to us.
func configuredTCP(cfg *conf.Client) (list []punch.Candidate) {
	if cfg.TCPPort == 0 {
		return nil
	}
	for _, e := range cfg.ExternalTCP {
		at := e.Addr
		if at.Port() == 0 {
			at = netip.AddrPortFrom(at.Addr(), cfg.TCPPort)
		}
		list = append(list, punch.Candidate{Addr: at, Kind: punch.Stream, Scope: e.Scope})
	}
	return list
}

// ownTCP returns at which of our own addresses peers are told that they can connect to us:
// none if the configuration names others.
func (a *addresses) ownTCP(cfg *conf.Client, s local.State) (list []punch.Candidate) {
	if seenPort(cfg) == 0 {
		return nil
	}
	for _, n := range a.hosts(cfg, s, cfg.TCPPort) {
		n.Kind = punch.Stream
		list = append(list, n)
	}
	return list
}

// seenPort returns the port at which we take connections, if peers are to try it at our own
// addresses; 0: they are not.
func seenPort(cfg *conf.Client) uint16 {
	if len(cfg.ExternalTCP) > 0 {
		return 0
	}
	return cfg.TCPPort
}
