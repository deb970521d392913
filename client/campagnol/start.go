package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/logging"
	"campagnol/internal/service"
	"campagnol/pki"
	"campagnol/punch/udp"
	"campagnol/tunnel/device"
)

// start makes a client from its configuration file: it reads keys and
// certificates, opens socket and device, and returns what runs the client.
func (o *options) start(ctx context.Context, s *service.Starting) (func(context.Context) error, error) {
	cfg, problems, err := conf.LoadClient(o.file)
	for _, p := range problems {
		hint := p.Hint
		p.Hint = ""
		s.Warn(p.String(), hint)
	}
	if err != nil {
		return nil, err
	}
	t, err := loadTrust(cfg, time.Now(), s.Log, s.Warn)
	if err != nil {
		return nil, err
	}
	where, err := findAddresses(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if s.Level.Level() <= logging.Level(true, 0) {
		fmt.Print(where.describe(cfg)) // as the original: not for syslog
	}
	conn, err := udp.Listen(udp.Config{Addr: where.bind, Device: cfg.Interface, Log: s.Log})
	if err != nil {
		return nil, err
	}
	s.Log.Info("Socket opened")
	dev, err := openDevice(cfg, s)
	if err != nil {
		conn.Close()
		return nil, err
	}
	c, err := client.New(client.Config{
		VPNAddr:     cfg.VPNIP,
		Network:     cfg.Network,
		Broadcast:   cfg.Broadcast(),
		Server:      where.server,
		Conn:        conn,
		Device:      dev,
		LocalAddr:   where.published(cfg, conn.LocalAddr().Port()),
		Certificate: t.identity.TLS(),
		Verify:      t.verify,
		FIFOSize:    cfg.FIFOSize,
		MaxClients:  cfg.MaxClients,
		Timeout:     cfg.Timeout,
		KeepAlive:   cfg.KeepAlive,
		Log:         s.Log,
	})
	if err != nil {
		conn.Close()
		dev.Close()
		return nil, err
	}
	return func(ctx context.Context) error {
		s.Log.Log(ctx, logging.LevelNotice, "Starting VPN")
		return c.Run(ctx)
	}, nil
}

// openDevice opens the TUN device and makes it part of the VPN.
func openDevice(cfg *conf.Client, s *service.Starting) (*device.Kernel, error) {
	s.Log.Info("TUN interface initialization")
	dev, err := device.Open(device.Config{
		Name:    cfg.TunDevice,
		TxQueue: cfg.TxQueue,
		Address: netip.PrefixFrom(cfg.VPNIP, cfg.Network.Bits()),
	})
	if err != nil {
		return nil, err
	}
	s.Log.Info("TUN interface configuration ({device} MTU {mtu})", "device", dev.Name(), "mtu", cfg.TunMTU)
	err = dev.Configure(device.Settings{Addr: cfg.VPNIP, Network: cfg.Network, MTU: cfg.TunMTU})
	if err != nil {
		dev.Close()
		return nil, err
	}
	return dev, nil
}

// A trust is our identity and whom we believe.
type trust struct {
	identity   *pki.Identity
	policy     *pki.Policy
	pins       *pki.Pins
	requireSAN bool
	log        *slog.Logger
}

func loadTrust(cfg *conf.Client, now time.Time, log *slog.Logger, warn func(msg, hint string)) (*trust, error) {
	id, err := pki.LoadIdentity(cfg.Certificate, cfg.Key)
	if err != nil {
		return nil, err
	}
	if err := id.Check(now); err != nil {
		return nil, err
	}
	policy, err := pki.LoadPolicy(pki.PolicyConfig{
		CAFile:      cfg.CACertificates,
		CADir:       cfg.CACertificatesDir,
		CRLFile:     cfg.CRLFile,
		VerifyDepth: cfg.VerifyDepth,
	}, now)
	if err != nil {
		return nil, err
	}
	pins, err := pki.OpenPins(pinFile(cfg.StateDir))
	if err != nil {
		return nil, err
	}
	for _, ws := range [][]string{id.Warnings(now), policy.Warnings(), pins.Warnings()} {
		for _, w := range ws {
			warn(w, "")
		}
	}
	t := &trust{identity: id, policy: policy, pins: pins, requireSAN: cfg.RequireIPSAN, log: log}
	if err := policy.VerifyOwn(now, id); err != nil {
		warn("peers that trust the same authorities will refuse our own certificate: "+err.Error(), "")
	}
	return t, nil
}

// pinFile returns the file with the keys of peers whose certificates name no
// address.
func pinFile(stateDir string) string { return filepath.Join(stateDir, "pins") }

// verify decides whether a chain is that of the peer with a VPN address.
func (t *trust) verify(now time.Time, vpn netip.Addr, chain [][]byte, server bool) error {
	role := pki.Client
	if server {
		role = pki.Server
	}
	peer, err := t.policy.Verify(now, chain, role)
	if err != nil {
		return err
	}
	err = t.pins.Check(now, vpn, peer, t.requireSAN)
	for _, w := range slices.Concat(peer.Warnings, t.pins.Warnings()) {
		t.log.Warn(w, "peer", vpn)
	}
	return err
}
