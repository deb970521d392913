package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"campagnol/internal/cli"
	"campagnol/internal/service"
	"campagnol/internal/version"
	"campagnol/punch"
	"campagnol/punch/udp"
	"campagnol/rdv"
)

// start opens the sockets and makes the server.
func (o *options) start(ctx context.Context, s *service.Starting) (*service.Running, error) {
	for _, w := range o.Warnings() {
		s.Warn(w, "")
	}
	if err := o.audit.open(o.control.group, s); err != nil {
		return nil, fmt.Errorf("option --audit-log: %w", err)
	}
	o.auth.audit = &o.audit
	if err := o.auth.authority.open(&o.auth, time.Now(), o.Daemon, s.Log); err != nil {
		return nil, err
	}
	o.user.look(&o.auth)
	o.auth.watched.Look(o.auth.files()) // before they are read: a change meanwhile is seen
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
	conns, err := listen(where, append([]uint16{o.Port}, o.MorePorts...))
	if err != nil {
		return nil, err
	}
	cfg := rdv.Config{
		Conn:       conns[0],
		MoreConns:  conns[1:],
		Mode:       o.auth.chosen,
		Trust:      trust,
		Software:   program + " " + version.Version,
		Authority:  o.auth.authority.serving(),
		State:      state,
		MaxClients: o.MaxClients,
		Notify:     o.audit.notify(),
		Log:        s.Log,
		// The original keeps its messages out of syslog, and so do we: a
		// daemon with -d would fill it.
		LogMessages: o.debug > 0 && !o.Daemon,
	}
	if err := o.stun.open(&cfg, where, o.MorePorts, s); err != nil {
		closeAll(conns)
		return nil, err
	}
	if cfg.Streams, err = o.stream.open(o.auth.certificateNow, s.Log); err != nil {
		closeAll(conns)
		return nil, err
	}
	if err := o.relay.open(&cfg, s); err != nil {
		return nil, err
	}
	server := rdv.New(cfg)
	lookers, err := o.openLookers(newObserver(server), s)
	if err != nil {
		closeAll(slices.Concat(conns, cfg.Streams))
		return nil, err
	}
	serve, err := o.metrics.serve(s, &collector{server: server, cfg: &cfg, relayed: o.relay.clients, trail: s.Audit}, o.auth.serve(s, server))
	if err != nil {
		closeAll(conns)
		if cfg.OtherConn != nil {
			cfg.OtherConn.Close()
		}
		return nil, err
	}
	return &service.Running{
		Confine: o.confine(s, conns),
		Serve:   lookers.serve(serve, s.Log),
		Signals: o.auth.signals(),
		Status:  func(context.Context) string { return lineOf(server.Stats().Clients) },
	}, nil
}

// lineOf says how a server with some clients is, for a service manager to show people.
func lineOf(clients int) string {
	if clients == 1 {
		return "1 client is registered"
	}
	return fmt.Sprintf("%d clients are registered", clients)
}

// confine returns what gives up the rights of root, if that is asked for.
func (o *options) confine(s *service.Starting, conns []punch.Conn) func() error {
	return func() error {
		err := o.user.confine(&o.auth, &o.audit, func(account string, landlock bool) {
			s.Log.Info("Going on as the user {user}", "user", account, "landlock", landlock)
		}, s.Warn)
		if err != nil {
			closeAll(conns)
		}
		return err
	}
}

// listen opens a socket for each port, or none.
func listen(where udp.Config, ports []uint16) (conns []punch.Conn, err error) {
	if len(ports) > rdv.MaxSockets {
		return nil, cli.WithHint(fmt.Errorf("--port is given %d times", len(ports)),
			"the server listens on 16 ports at most; two or three let nearly everybody in")
	}
	for _, port := range ports {
		where.Addr = netip.AddrPortFrom(where.Addr.Addr(), port)
		conn, err := udp.Listen(where)
		if err != nil {
			closeAll(conns)
			return nil, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

func closeAll(conns []punch.Conn) {
	for _, conn := range conns {
		conn.Close()
	}
}
