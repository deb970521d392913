package main

import (
	"context"
	"net/netip"
	"slices"

	"campagnol/conf"
	"campagnol/punch"
	"campagnol/punch/local"
)

// sourceInterfaces is what the client knows the addresses of our interfaces by.
const sourceInterfaces = "interfaces"

// configured returns where the configuration says that peers can reach us. port is the
// socket's.
func configured(cfg *conf.Client, port uint16) (list []punch.Candidate) {
	for _, e := range cfg.ExternalAddrs {
		at := e.Addr
		if at.Port() == 0 {
			at = netip.AddrPortFrom(at.Addr(), port)
		}
		list = append(list, punch.Candidate{Addr: at, Kind: punch.Configured, Scope: e.Scope})
	}
	return list
}

// filter returns which addresses of this host count.
func (p *parts) filter(cfg *conf.Client) local.Filter {
	f := local.Filter{Device: p.dev.Name(), Interface: cfg.Interface, Toward: p.where.last().Addr(), OnlyIPv4: p.where.bind.Addr().Is4()}
	for _, n := range [...]netip.Prefix{cfg.Network, cfg.Network6} {
		if n.IsValid() {
			f.Networks = append(f.Networks, n)
		}
	}
	return f
}

// hosts returns those of our addresses that peers may be told: none if the
// configuration forbids it, and those of the socket only. What override_local_addr says
// is told in place of all IPv4 addresses.
func (a *addresses) hosts(cfg *conf.Client, s local.State, port uint16) (list []punch.Candidate) {
	if !cfg.UseLocalAddr {
		return nil
	}
	bound := a.bind.Addr()
	for _, ip := range s.Addrs {
		switch {
		case !bound.IsUnspecified() && ip != bound:
		case bound.Is4() && !ip.Is4():
		case a.override.IsValid() && ip.Is4():
		default:
			list = append(list, punch.Candidate{Addr: netip.AddrPortFrom(ip, port), Kind: punch.Host})
		}
	}
	return list
}

// moved returns where we are after a change of this host's addresses, and whether that
// is elsewhere: the address by which it reaches the RDV, or the first one of the
// interface, is another. An address that the configuration names stays. While there
// is none, the last one does.
func (a *addresses) moved(cfg *conf.Client, s local.State) (*addresses, bool) {
	now := s.Source4
	if a.last().Addr().Is6() {
		now = s.Source6
	}
	if cfg.Interface != "" {
		now = netip.Addr{}
		if i := slices.IndexFunc(s.Addrs, func(ip netip.Addr) bool { return ip.Is4() == a.last().Addr().Is4() }); i >= 0 {
			now = s.Addrs[i]
		}
	}
	if cfg.LocalHost != "" || !now.IsValid() || now == a.local {
		return a, false
	}
	next := *a
	next.local = now
	return &next, true
}

// watchAddresses tells the client of p, until ctx is done, at which addresses this host
// is, and when it may have moved.
func (n *node) watchAddresses(ctx context.Context, p *parts) {
	w := local.Watcher{
		Filter: func() local.Filter {
			n.mu.Lock()
			defer n.mu.Unlock()
			return p.filter(n.cfg)
		},
		Report: func(c local.Change) { n.relocate(ctx, p, c) },
		Log:    n.log,
	}
	if err := w.Run(ctx); err != nil {
		n.log.Warn("Changes of this host's addresses are not noticed any more", "err", err)
	}
}

// relocate takes a change of this host's addresses.
func (n *node) relocate(ctx context.Context, p *parts, c local.Change) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.parts != p || ctx.Err() != nil {
		return
	}
	p.state = c.State
	if where, moved := p.where.moved(n.cfg, c.State); moved {
		n.log.Info("The local address is another one now", "addr", where.local, "before", p.where.local)
		p.where = where
		p.client.Apply(ctx, p.settings(n.cfg, p.trust))
	}
	n.reportLocalHost(p)
	p.offerHosts(ctx, n.cfg)
	if c.Why != "" {
		p.client.Moved(ctx, c.Why)
	}
}

// offerHosts tells the client at which addresses of this host its sockets are. An error
// says that it has ended. The node's mu is locked.
func (p *parts) offerHosts(ctx context.Context, cfg *conf.Client) {
	p.client.Offer(ctx, sourceInterfaces, append(p.where.hosts(cfg, p.state, p.port), p.where.ownTCP(cfg, p.state)...))
}

// reportLocalHost logs that the address to which the socket is bound has gone, or is
// back.
func (n *node) reportLocalHost(p *parts) {
	bound := p.where.bind.Addr()
	if bound.IsUnspecified() {
		return
	}
	gone := !slices.Contains(hostAddrs(), bound)
	switch {
	case gone && !p.gone:
		n.log.Warn("This host no longer has the address of local_host, so that nothing can be sent or received", "addr", bound,
			"hint", "give the address back, or take local_host out of the configuration to use whatever address there is")
	case !gone && p.gone:
		n.log.Info("This host has the address of local_host again", "addr", bound)
	}
	p.gone = gone
}
