package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/names"
	"campagnol/internal/names/resolved"
	"campagnol/pki"
)

const (
	// namerRetry is how long it takes until sockets are opened again that could not be:
	// an address may be new, or another server be in the way for a while.
	namerRetry = 10 * time.Second

	// namerPatience is how long rendezvous servers have for the list of members.
	namerPatience = 600 * time.Millisecond

	dnsPort = 53
)

// A namer answers questions for the names of members, as long as the configuration has a
// domain for them. That it cannot is no reason for the client to end.
type namer struct {
	dev  string // the virtual interface
	log  *slog.Logger
	news chan struct{} // has room for one: cfg is another one

	mu  sync.Mutex // protects the following
	cfg *conf.Client
	own string // the name in our certificate

	said map[string]bool // what is not to be logged again
}

func newNamer(dev string, cfg *conf.Client, own string, log *slog.Logger) *namer {
	return &namer{dev: dev, log: log, news: make(chan struct{}, 1), cfg: cfg, own: own, said: map[string]bool{}}
}

// set makes cfg the configuration, and own the name of our certificate.
func (s *namer) set(cfg *conf.Client, own string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.cfg, s.own = cfg, own
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

func (s *namer) current() (*conf.Client, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg, s.own
}

// run answers, by what a client knows, until ctx is done.
func (s *namer) run(ctx context.Context, c *client.Client) {
	for ctx.Err() == nil {
		cfg, own := s.current()
		serving, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		if cfg.DNSDomain != "" {
			wg.Go(func() { s.serve(serving, c, cfg) })
		}
		for same := true; same; {
			select {
			case <-s.news:
				next, name := s.current()
				same = next.DNSDomain == cfg.DNSDomain && next.DNSServe == cfg.DNSServe && name == own
			case <-ctx.Done():
				same = false
			}
		}
		stop()
		wg.Wait()
	}
}

// serve opens the sockets, again and again if that fails, and answers.
func (s *namer) serve(ctx context.Context, c *client.Client, cfg *conf.Client) {
	book := names.NewBook(s.zone(nil), func(ctx context.Context) *names.Zone {
		z := s.zone(s.entries(ctx, c))
		for _, p := range z.Problems() {
			s.once("A member has no name in the domain of the VPN", p, "")
		}
		return z
	})
	for ctx.Err() == nil {
		server, err := names.Listen(dnsAddrs(cfg), book, allowed(cfg), s.log)
		if err != nil {
			s.once("Names of members are not answered everywhere", err.Error(), listenHint(err))
		}
		if err == nil || server != nil && cfg.Mode == conf.ModeTUN {
			s.log.Info("Questions for names of members are answered", "domain", cfg.DNSDomain, "addrs", server.Addrs())
			stop := s.announce(ctx, cfg, server.Addrs())
			if err := server.Run(ctx); err != nil {
				s.log.Warn("Names of members are not answered any more", "err", err)
			}
			stop()
		} else if server != nil { // an IPv6 address of a TAP device is new: wait for it
			server.Close()
		}
		select {
		case <-time.After(namerRetry):
		case <-ctx.Done():
		}
	}
}

// once logs something about names, unless it was logged before.
func (s *namer) once(msg, reason, hint string) {
	const most = 1000
	s.mu.Lock()
	again := s.said[reason] || len(s.said) >= most
	if !again {
		s.said[reason] = true
	}
	s.mu.Unlock()
	if again {
		return
	}
	attrs := []any{"reason", reason}
	if hint != "" {
		attrs = append(attrs, "hint", hint)
	}
	s.log.Warn(msg, attrs...)
}

// listenHint says what to do about sockets that cannot be opened.
func listenHint(err error) string {
	switch {
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "port 53 needs root or CAP_NET_BIND_SERVICE"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another name server of this host has port 53 of all addresses: let it listen at its own ones (dnsmasq: bind-interfaces; bind: listen-on)"
	}
	return "it is tried again"
}

// dnsAddrs returns where questions are answered.
func dnsAddrs(cfg *conf.Client) (list []netip.AddrPort) {
	for _, a := range vpnAddrs(cfg) {
		list = append(list, netip.AddrPortFrom(a, dnsPort))
	}
	return list
}

// vpnAddrs returns the VPN addresses of this host.
func vpnAddrs(cfg *conf.Client) []netip.Addr {
	if cfg.VPNIP6.IsValid() {
		return []netip.Addr{cfg.VPNIP, cfg.VPNIP6}
	}
	return []netip.Addr{cfg.VPNIP}
}

// vpnNetworks returns the networks in which members have addresses.
func vpnNetworks(cfg *conf.Client) []netip.Prefix {
	if cfg.Network6.IsValid() {
		return []netip.Prefix{cfg.Network, cfg.Network6}
	}
	return []netip.Prefix{cfg.Network}
}

// allowed returns who may ask: this host, and others in the VPN if the configuration
// says so. A tunnel lets nobody through who says that he is this host.
func allowed(cfg *conf.Client) func(netip.Addr) bool {
	own, networks := vpnAddrs(cfg), vpnNetworks(cfg)
	return func(from netip.Addr) bool {
		if from.IsLoopback() || slices.Contains(own, from) {
			return true
		}
		return cfg.DNSServe && slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(from) })
	}
}

// zone returns the zone with some members and this host.
func (s *namer) zone(entries []names.Entry) *names.Zone {
	cfg, own := s.current()
	all := append([]names.Entry{{Name: own, Addrs: vpnAddrs(cfg), Verified: true}}, entries...)
	return names.NewZone(cfg.DNSDomain, vpnNetworks(cfg), vpnAddrs(cfg), all)
}

// entries returns the members with a tunnel, by their certificates, and those whom the
// rendezvous servers list.
func (s *namer) entries(ctx context.Context, c *client.Client) (list []names.Entry) {
	status, err := c.Status(ctx)
	if err != nil {
		return nil // it has ended
	}
	for _, p := range status.Peers {
		if len(p.Addrs) > 0 {
			list = append(list, names.Entry{Name: p.Name, Addrs: p.Addrs, Verified: true})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, namerPatience)
	defer cancel()
	members, err := c.Members(ctx)
	if err != nil {
		return list
	}
	for _, m := range members {
		list = append(list, names.Entry{Name: m.Name, Addrs: m.Addrs})
	}
	return list
}

// lookup returns the VPN addresses of a member by its name, with or without the domain,
// also if names are not answered. An address is taken as it is.
func (s *namer) lookup(ctx context.Context, c *client.Client, name string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	addrs := s.zone(s.entries(ctx, c)).Resolve(name)
	if len(addrs) == 0 {
		return nil, fmt.Errorf("no member of the VPN that has a tunnel with this host, or that a rendezvous server lists, is called %q", name)
	}
	return addrs, nil
}

// announce keeps the resolver of this host informed about who answers, if it is
// systemd-resolved, until stop is called.
func (s *namer) announce(ctx context.Context, cfg *conf.Client, at []netip.AddrPort) (stop func()) {
	link := resolved.Link{Domain: cfg.DNSDomain}
	for _, a := range at {
		link.Servers = append(link.Servers, a.Addr().Unmap())
	}
	for _, n := range vpnNetworks(cfg) {
		link.Reverse = append(link.Reverse, strings.TrimSuffix(names.ReverseDomain(n), "."))
	}
	ifc, err := net.InterfaceByName(s.dev)
	if err != nil {
		s.announced(cfg, err)
		return func() {}
	}
	link.Index = ifc.Index
	ctx, cancel := context.WithCancel(ctx)
	var keeper sync.WaitGroup
	keeper.Go(func() {
		if err := resolved.Keep(ctx, link, func(err error) { s.announced(cfg, err) }); err != nil {
			s.log.Debug("systemd-resolved is not told that names are no longer answered", "err", err)
		}
	})
	return func() {
		cancel()
		keeper.Wait()
	}
}

// announced logs what became of it that the resolver was told.
func (s *namer) announced(cfg *conf.Client, err error) {
	if err == nil {
		s.log.Info("systemd-resolved asks this client for names of members", "domain", cfg.DNSDomain, "interface", s.dev)
		return
	}
	hint := fmt.Sprintf("make it ask %v for names in %s (dnsmasq: server=/%s/%v); docs/names.md has more", cfg.VPNIP, cfg.DNSDomain, cfg.DNSDomain, cfg.VPNIP)
	if resolved.Refused(err) {
		hint = "only root may tell it that, or whom polkit lets: docs/names.md has a rule"
	}
	s.once("The resolver of this host is not told who answers for names of members", err.Error(), hint)
}

// ownName returns the name of our certificate.
func ownName(id *pki.Identity) string { return pki.PeerOf(id.Chain[0]).Name }
