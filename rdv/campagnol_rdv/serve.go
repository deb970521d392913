package main

import (
	"context"
	"net/netip"

	"campagnol/internal/service"
	"campagnol/punch/udp"
	"campagnol/rdv"
)

// start opens the socket and makes the server.
func (o *options) start(_ context.Context, s *service.Starting) (*service.Running, error) {
	for _, w := range o.Warnings() {
		s.Warn(w, "")
	}
	conn, err := udp.Listen(udp.Config{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), o.Port), Log: s.Log})
	if err != nil {
		return nil, err
	}
	server := rdv.New(rdv.Config{
		Conn:       conn,
		MaxClients: o.MaxClients,
		Log:        s.Log,
		// The original keeps its messages out of syslog, and so do we: a
		// daemon with -d would fill it.
		LogMessages: o.debug > 0 && !o.Daemon,
	})
	return &service.Running{Serve: server.Run}, nil
}
