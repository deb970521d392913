package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/audit"
	"campagnol/internal/filewatch"
	"campagnol/internal/logging"
	"campagnol/internal/metrics"
	"campagnol/internal/service"
	"campagnol/internal/version"
	"campagnol/pki/ocsp"
	"campagnol/punch"
	"campagnol/punch/local"
	"campagnol/punch/stream"
	"campagnol/punch/udp"
	"campagnol/tunnel/device"
	"campagnol/tunnel/segment"
)

// A node is a client with what it is made of, from a configuration file that is
// read again on request.
//
//	SIGHUP   the file, keys and certificates are read again; sessions that the
//	         change does not touch stay
//	SIGUSR1  keys and certificates are read again, every session is closed, and
//	         the client registers anew
//	SIGUSR2  keys and certificates are read again, for new sessions
//
// What cannot be read leaves everything as it was, and the log says why.
type node struct {
	file    string
	log     *slog.Logger
	level   *slog.LevelVar
	started time.Time

	recent  *logging.Recent // the last lines of log; nil: none are kept
	normal  normalLevel     // of log
	events  eventRing
	errands chan errand // what the control socket was asked to do

	view atomic.Pointer[view] // of parts, for requests
	news chan struct{}        // something for all members was received; has room for one

	watched filewatch.Watch // of files that decide whom we trust; owned by watch, once it runs

	newExchange newExchange // with the authority, for a new certificate
	renewing    sync.Mutex  // held while a new certificate is asked for

	metrics *metrics.Exporter

	trail      *audit.Trail
	auditFresh bool         // the folder of its file was not there before
	auditState *audit.State // that it knows of; nil: of none yet; guarded by mu

	responders *ocsp.Checker // outlives trusts, which come and go with files

	told struct{ ignored, superseded bool } // what tellBulletin has said; guarded by mu

	mu      sync.Mutex // guards the following; locked from start until serve
	cfg     *conf.Client
	parts   *parts
	door    *door                   // the control socket; nil: none
	window  *window                 // for metrics, over the network; nil: none
	replace context.CancelCauseFunc // ends the Run of parts, for others
}

// parts are what a change of the configuration may replace as a whole.
type parts struct {
	mapping *mapping // of the port
	keeper  *keeper  // of routes
	namer   *namer   // answers for names

	cfg    *conf.Client
	where  *addresses
	port   uint16 // of the socket
	conn   *udp.Conn
	accept *stream.Listener // of connections of peers; nil: none are taken
	dev    device.Device
	kernel *device.Kernel // dev, without what the configuration adds to it
	client *client.Client
	trust  *trust

	state local.State // this host's addresses
	gone  bool        // that of local_host is not among them, and it was said
}

// more returns the sockets beyond the first.
func (p *parts) more() (conns []punch.Conn) {
	for _, c := range p.conn.More() {
		conns = append(conns, c)
	}
	return conns
}

// close gives up parts whose client does not run.
func (p *parts) close() {
	p.conn.Close()
	if p.accept != nil {
		p.accept.Close()
	}
	p.dev.Close()
}

// errReplaced ends the Run of parts for which others take over.
var errReplaced = errors.New("the configuration has changed")

// start makes a node from its configuration file.
func (o *options) start(ctx context.Context, s *service.Starting) (*service.Running, error) {
	echo(s.Log, o.file)
	cfg, problems, err := conf.LoadClient(o.file)
	for _, p := range problems {
		hint := p.Hint
		p.Hint = ""
		s.Warn(p.String(), hint)
	}
	if err != nil {
		return nil, err
	}
	n := &node{file: o.file, log: s.Log, recent: s.Recent, level: s.Level, started: time.Now(), cfg: cfg, news: make(chan struct{}, 1),
		normal: normalLevel{level: s.Level.Level(), changed: make(chan struct{}, 1)}, errands: make(chan errand),
		responders: ocsp.NewChecker(ocsp.Config{Log: s.Log})}
	n.newExchange = n.beginRenewal
	if err := n.openAudit(s, cfg); err != nil {
		return nil, err
	}
	if n.metrics, err = newMetrics(n); err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.watched.Look(trustFiles(cfg)) // before they are read: a change meanwhile is seen
	if n.parts, err = n.build(ctx, cfg, s.Warn); err != nil {
		return nil, err
	}
	n.show()
	return &service.Running{
		Confine: func() error { return n.confine(s.Warn) },
		Serve:   n.serve,
		Signals: n.signals(),
		Alive:   n.alive,
		Status:  n.statusLine,
	}, nil
}

// build opens socket and device for a configuration, and makes the client.
func (n *node) build(ctx context.Context, cfg *conf.Client, warn func(msg, hint string)) (*parts, error) {
	t, err := n.loadTrust(ctx, cfg, warn)
	if err != nil {
		return nil, err
	}
	n.judge(cfg, t)
	p := &parts{cfg: cfg, trust: t}
	if p.where, err = findAddresses(ctx, cfg); err != nil {
		return nil, err
	}
	p.where.warn(warn)
	if n.level.Level() <= slog.LevelInfo {
		fmt.Print(p.where.describe(cfg)) // as the original: not for syslog
	}
	if p.conn, err = udp.Listen(udp.Config{Addr: p.where.bind, Dual: true, Device: cfg.Interface, Sockets: cfg.Queues, Log: n.log}); err != nil {
		return nil, err
	}
	n.log.Info("Socket opened")
	p.port = p.conn.LocalAddr().Port()
	if p.accept, err = n.listenTCP(ctx, cfg, p.where.bind.Addr()); err != nil {
		p.conn.Close()
		return nil, err
	}
	if p.dev, err = n.openDevice(ctx, p, warn); err != nil {
		p.conn.Close()
		if p.accept != nil {
			p.accept.Close()
		}
		return nil, err
	}
	p.keeper = newKeeper(p.kernel, cfg, n.log)
	p.namer = newNamer(p.dev.Name(), cfg, ownName(t.identity), n.log)
	p.client, err = client.New(p.accepting(client.Config{
		VPNAddr:   cfg.VPNIP,
		Network:   cfg.Network,
		Broadcast: cfg.Broadcast(),
		VPNAddr6:  routed6(cfg).Addr,
		Network6:  routed6(cfg).Network,
		Conn:      p.conn,
		More:      p.more(),
		ECN:       p.conn.Features().ECN,
		Device:    p.dev,
		Ethernet:  ethernetOf(cfg),
		Settings:  p.settings(cfg, t),
		Notify:    n.noteEvent,
		Log:       n.log,

		OpenSocket: p.openSocket,
		Allocate:   n.allocate,
		OpenStream: n.streamOpener(),
		DialPeer:   p.peerDialer(n),
		Routed:     udp.Routed,
		PathErrors: p.conn.Errors(),
		Gateways:   p.keeper.take,
	}))
	if err != nil {
		p.close()
		return nil, err
	}
	p.mapping = newMapping(p, n.log)
	return p, nil
}

// settings returns what a configuration says of what can change.
func (p *parts) settings(cfg *conf.Client, t *trust) client.Settings {
	return client.Settings{
		Servers:     withStreams(cfg, p.where.servers),
		STUNServers: p.where.stun,
		LocalAddr:   p.where.published(cfg, p.port),
		Configured:  append(configured(cfg, p.port), configuredTCP(cfg)...),
		StreamPort:  seenPort(cfg),
		Scopes:      cfg.Scopes,
		Certificate: t.identity.TLS(),
		Verify:      t.verify,
		Inquire:     t.inquirer(),
		Filter:      t.filter(),
		Identify:    t.identify,
		Suites:      t.suites,
		FIFOSize:    cfg.FIFOSize,
		MaxClients:  cfg.MaxClients,
		Timeout:     cfg.Timeout,
		KeepAlive:   cfg.KeepAlive,
		RekeyTime:   rekeyTime(cfg),
		MaxRate:     client.Rate(cfg.ClientMaxRate),
		PeerRate:    client.Rate(cfg.ConnectionMaxRate),
		MTU:         cfg.TunMTU,
		Multicast:   cfg.Multicast,
		HardNAT:     hardBudget(cfg),

		RelayFor:     cfg.RelayFor,
		RelayRate:    int64(cfg.RelayMaxRate),
		MayRelay:     t.mayRelay(),
		RelayOnly:    cfg.RelayOnly,
		RelayNever:   cfg.RelayNever,
		TURN:         p.where.turn,
		Proxy:        cfg.HTTPProxy,
		FallbackPort: cfg.FallbackPort,

		AcceptRoutes: cfg.AcceptRoutes,
		HostAddrs:    hostAddrs(cfg.VPNIP, cfg.VPNIP6),
		RekeyRecords: cfg.RekeyRecords,

		Auth:           authOf(cfg.RDVAuth),
		VerifyServer:   t.verifyServer,
		ServerKnown:    t.servers.known,
		RememberServer: t.rememberServer,
		Objects:        t.objects(),
		Software:       program + " " + version.Version,
	}
}

// rekeyTime returns how long keys are used, of which the file says 0 for ever.
func rekeyTime(cfg *conf.Client) time.Duration {
	if cfg.RekeyTime == 0 {
		return -1
	}
	return cfg.RekeyTime
}

// authOf returns how the client registers, as the configuration says.
func authOf(a conf.Auto) client.Auth {
	switch a {
	case conf.AutoYes:
		return client.AuthYes
	case conf.AutoNo:
		return client.AuthNo
	}
	return client.AuthAuto
}

// openDevice opens the TUN device and makes it part of the VPN: by itself, or by
// the commands of the configuration.
func (n *node) openDevice(ctx context.Context, p *parts, warn func(msg, hint string)) (device.Device, error) {
	cfg := p.cfg
	n.log.Info("TUN interface initialization")
	link, mac := linkOf(cfg)
	dev, err := device.Open(device.Config{
		Link: link, HardwareAddr: mac,
		Name:    cfg.TunDevice,
		TxQueue: cfg.TxQueue,
		Queues:  cfg.Queues,
		Address: netip.PrefixFrom(cfg.VPNIP, cfg.Network.Bits()),
	})
	if err != nil {
		return nil, err
	}
	p.kernel = dev
	v := variables{
		device: dev.Name(), vpnIP: cfg.VPNIP, mtu: cfg.TunMTU, network: cfg.NetworkText,
		prefix: cfg.Network, vpnIP6: cfg.VPNIP6, prefix6: cfg.Network6, localPort: p.port, localIP: p.where.local,
	}
	n.log.Info("TUN interface configuration ({device} MTU {mtu})", "device", dev.Name(), "mtu", cfg.TunMTU)
	if cfg.TunOneQueue {
		warn(cfg.File+": tun_one_queue has no effect: kernels have had only one queue since 2012", "take the line out")
	}
	if cfg.DefaultUp {
		if err := dev.Configure(device.Settings{Addr: cfg.VPNIP, Network: cfg.Network, MTU: cfg.TunMTU}, settings6(cfg)...); err != nil {
			dev.Close()
			return nil, err
		}
	} else {
		runCommands(ctx, n.log, v, cfg.Up)
		if link == segment.Ethernet {
			// Its broadcasts are the kernel's affair.
		} else if err := dev.AcceptBroadcast(cfg.Broadcast()); err != nil {
			n.log.Info("Broadcasts of peers may not be delivered", "err", err)
		}
	}
	p.forward(cfg, n.log, warn)
	if cfg.DefaultDown || len(cfg.Down) == 0 {
		return dev, nil
	}
	return &commandedDevice{Device: dev, down: func() {
		runCommands(context.WithoutCancel(ctx), n.log, v, cfg.Down)
	}}, nil
}

// A commandedDevice is a device that is closed after the commands for it.
type commandedDevice struct {
	device.Device
	down func()
	once sync.Once
}

func (d *commandedDevice) Close() error {
	d.once.Do(d.down)
	return d.Device.Close()
}

// serve runs the client, and after a change of the configuration the one that
// takes over. n.mu is locked when it begins.
func (n *node) serve(ctx context.Context) error {
	n.door.serve(ctx, n)
	n.window.serve(ctx, n)
	watching, unwatch := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { n.watch(watching) })
	watcher.Go(func() { n.keepCertificate(watching) })
	watcher.Go(func() { n.watchAnswers(watching) })
	watcher.Go(func() { n.watchNames(watching) })
	watcher.Go(func() { n.doErrands(watching) })
	watcher.Go(func() { n.keepLevel(watching) })
	defer watcher.Wait()
	defer unwatch()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.door.close()
		n.window.close()
	}()
	for {
		running, replace := context.WithCancelCause(ctx)
		p := n.parts
		n.replace = replace
		watcher.Go(func() { n.watchAddresses(running, p) })
		n.mu.Unlock()

		n.log.Log(ctx, logging.LevelNotice, "Starting VPN")
		var mapper sync.WaitGroup
		mapper.Go(func() { p.mapping.run(running) })
		mapper.Go(func() { p.keeper.run(running, p.client) })
		mapper.Go(func() { p.namer.run(running, p.client) })
		err := p.client.Run(running)
		n.mu.Lock()
		p.trust.pins.Flush()
		replaced := errors.Is(context.Cause(running), errReplaced)
		replace(nil)
		mapper.Wait()
		if replaced {
			err = n.takeOver(ctx)
		}
		if !replaced || err != nil {
			n.mu.Unlock()
			return err
		}
	}
}

// takeOver builds the parts of the new configuration; the old ones have ended,
// since both may need the same port and device. Should that fail, the old
// configuration is used again. n.mu is locked.
func (n *node) takeOver(ctx context.Context) error {
	next, err := n.build(ctx, n.cfg, n.warn)
	if err != nil {
		n.log.Error("The new configuration cannot be used; going on with the old one", "err", err)
		n.cfg = n.parts.cfg
		if next, err = n.build(ctx, n.cfg, n.warn); err != nil {
			return err
		}
	}
	n.parts = next
	n.show()
	n.moveDoor(ctx)
	n.moveWindow(ctx)
	return nil
}

func (n *node) warn(msg, hint string) {
	if hint == "" {
		n.log.Warn(msg)
	} else {
		n.log.Warn(msg, "hint", hint)
	}
}

// reload reads everything again.
func (n *node) reload(ctx context.Context) { n.reloadAnd(ctx, func(reloaded, error) {}) }

// mustBeReplaced reports whether a configuration differs in something that
// sessions cannot outlive: our address, the socket, the device.
func (p *parts) mustBeReplaced(cfg *conf.Client) bool {
	old := p.cfg
	return old.VPNIP != cfg.VPNIP || old.Network != cfg.Network || old.VPNIP6 != cfg.VPNIP6 || old.Network6 != cfg.Network6 ||
		old.LocalHost != cfg.LocalHost || old.LocalPort != cfg.LocalPort || old.TCPPort != cfg.TCPPort || old.Interface != cfg.Interface ||
		old.TunDevice != cfg.TunDevice || old.TunMTU != cfg.TunMTU || old.TxQueue != cfg.TxQueue ||
		old.Queues != cfg.Queues || old.Mode != cfg.Mode || !reflect.DeepEqual(old.Ethernet, cfg.Ethernet)
}
