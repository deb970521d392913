package main

import (
	"context"
	"net/netip"
	"time"

	"campagnol/internal/service"
	"campagnol/internal/version"
	"campagnol/punch/udp"
	"campagnol/rdv"
)

// start opens the socket and makes the server.
func (o *options) start(ctx context.Context, s *service.Starting) (*service.Running, error) {
	for _, w := range o.Warnings() {
		s.Warn(w, "")
	}
	if err := o.auth.authority.open(&o.auth, time.Now(), o.Daemon, s.Log); err != nil {
		return nil, err
	}
	trust, err := o.auth.load(ctx, time.Now(), false, s.Log, s.Warn)
	if err != nil {
		return nil, err
	}
	if o.auth.chosen == rdv.Open && trust != nil {
		s.Warn("with --auth open the certificate has no use: clients are not authenticated", "leave --auth out")
	}
	state, err := o.auth.openState()
	if err != nil {
		return nil, err
	}
	// Clients of the original come by IPv4, those with a channel by either family.
	where := udp.Config{Addr: netip.AddrPortFrom(netip.IPv6Unspecified(), o.Port), Dual: true, Log: s.Log}
	conn, err := udp.Listen(where)
	if err != nil {
		return nil, err
	}
	cfg := rdv.Config{
		Conn:       conn,
		Mode:       o.auth.chosen,
		Trust:      trust,
		Software:   program + " " + version.Version,
		Authority:  o.auth.authority.serving(),
		State:      state,
		MaxClients: o.MaxClients,
		Log:        s.Log,
		// The original keeps its messages out of syslog, and so do we: a
		// daemon with -d would fill it.
		LogMessages: o.debug > 0 && !o.Daemon,
	}
	if err := o.stun.open(&cfg, where, s); err != nil {
		conn.Close()
		return nil, err
	}
	if err := o.relay.open(&cfg, s); err != nil {
		return nil, err
	}
	server := rdv.New(cfg)
	return &service.Running{Serve: o.auth.serve(s, server), Signals: o.auth.signals()}, nil
}
