package main

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/cli"
	"campagnol/internal/logging"
	"campagnol/punch/udp"
)

// When names of rendezvous servers are resolved again.
const (
	namesLook    = 5 * time.Second  // between two looks at how we are registered
	namesAway    = 10 * time.Second // after which an RDV that does not answer may be elsewhere
	namesRefresh = 5 * time.Minute  // in any case: names move while RDVs answer, too
	namesTime    = 10 * time.Second // for the answer of a name server
)

// A finder returns the addresses of a host, the best first. The network is "ip", or
// "ip4" or "ip6" for one family.
type finder func(ctx context.Context, network, host string) ([]netip.Addr, error)

// lookupHost asks the system. Of an address it returns that.
func lookupHost(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip.Unmap()}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, namesTime)
	defer cancel()
	return net.DefaultResolver.LookupNetIP(ctx, network, host)
}

// findServers resolves the names of the RDVs, all at a time, for a socket that is
// bound to an address. Those that cannot be resolved are missing; the error is that of
// the first if none can.
func findServers(ctx context.Context, cfg *conf.Client, bind netip.Addr) ([]client.Server, error) {
	return resolveServers(ctx, cfg, bind, lookupHost, udp.Routed)
}

func resolveServers(ctx context.Context, cfg *conf.Client, bind netip.Addr, find finder, routed func(netip.Addr) bool) ([]client.Server, error) {
	f, why := serverFamily(cfg, bind)
	wanted := serversOf(cfg)
	found := make([]client.Server, len(wanted))
	errs := make([]error, len(wanted))
	var wg sync.WaitGroup
	for i, w := range wanted {
		wg.Go(func() {
			var ips []netip.Addr
			if ips, errs[i] = find(ctx, string(f), w.host); errs[i] != nil {
				return
			}
			ips = slices.DeleteFunc(preferred(ips, routed), func(a netip.Addr) bool { return !f.has(a) })
			found[i].Name = w.name
			for _, port := range w.ports {
				found[i].Addrs = append(found[i].Addrs, waysOf(ips, port)...)
			}
		})
	}
	wg.Wait()
	found = slices.DeleteFunc(found, func(s client.Server) bool { return len(s.Addrs) == 0 })
	if len(found) == 0 {
		err := unresolved(cfg, "server_host", wanted[0].host, f, errs[0])
		if why != "" {
			err = cli.WithHint(err, "%s: change that, or give the server an address of %v", why, f)
		}
		return nil, err
	}
	return found, nil
}

// A namedServer is a server of the configuration. The same host at another port is
// not another server but another way to it, for networks that let few ports pass: we
// must not register there twice, under one address.
type namedServer struct {
	name  string // HOST:PORT, with the first port
	host  string
	ports []uint16
}

// serversOf returns the servers of a configuration.
func serversOf(cfg *conf.Client) (list []namedServer) {
	for _, s := range cfg.Servers() {
		i := slices.IndexFunc(list, func(o namedServer) bool { return strings.EqualFold(o.host, s.Host) })
		if i < 0 {
			list = append(list, namedServer{name: s.String(), host: s.Host, ports: []uint16{s.Port}})
		} else {
			list[i].ports = append(list[i].ports, s.Port)
		}
	}
	return list
}

// waysOf returns the endpoints of a server, the families in turn: a broken one then costs
// only one attempt (RFC 8305 section 4).
func waysOf(ips []netip.Addr, port uint16) (ways []netip.AddrPort) {
	var first, second []netip.AddrPort
	for _, ip := range ips {
		way := netip.AddrPortFrom(ip, port)
		switch {
		case slices.Contains(first, way), slices.Contains(second, way):
		case len(first) == 0 || first[0].Addr().Is4() == ip.Is4():
			first = append(first, way)
		default:
			second = append(second, way)
		}
	}
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			ways = append(ways, first[i])
		}
		if i < len(second) {
			ways = append(ways, second[i])
		}
	}
	return ways
}

// A nameWatch decides when names have to be resolved again.
type nameWatch struct {
	away  map[string]time.Time // since when an RDV that is used has not answered, by name
	tried time.Time            // when names were resolved last
	wait  time.Duration        // before that is done again for an RDV that is away
}

// due reports whether names are to be resolved: how the client is registered is
// state, and missing says that there are names for which there was no address.
func (w *nameWatch) due(now time.Time, state []client.RDVStatus, missing bool) bool {
	if w.tried.IsZero() { // they have just been
		w.tried, w.wait = now, namesAway
	}
	away := map[string]time.Time{}
	lost := missing
	for _, r := range state {
		if !r.Used || r.Registered && !r.Silent {
			continue
		}
		since, known := w.away[r.Name]
		if !known {
			since = now
		}
		away[r.Name] = since
		lost = lost || now.Sub(since) >= namesAway
	}
	w.away = away
	if !lost {
		w.wait = namesAway
	}
	if since := now.Sub(w.tried); since < namesRefresh && !(lost && since >= w.wait) {
		return false
	}
	if lost { // less and less often, for a name that does not change
		w.wait = min(2*w.wait, namesRefresh)
	}
	w.tried = now
	return true
}

// merge returns found, the servers by their names now, in the order and with the
// addresses that go on to be used: name servers change the order of what they know
// with each answer, and an address at which we are registered is good. Servers of
// before for which nothing was found stay what they were.
func merge(cfg *conf.Client, before, found []client.Server, state []client.RDVStatus) (list []client.Server) {
	named := func(list []client.Server, name string) int {
		return slices.IndexFunc(list, func(s client.Server) bool { return s.Name == name })
	}
	for _, w := range serversOf(cfg) {
		old, now := named(before, w.name), named(found, w.name)
		switch {
		case now < 0 && old < 0:
		case now < 0:
			list = append(list, before[old])
		case old < 0:
			list = append(list, found[now])
		default:
			list = append(list, mergeWays(before[old], found[now], state))
		}
	}
	return list
}

func mergeWays(old, found client.Server, state []client.RDVStatus) client.Server {
	s := client.Server{Name: old.Name}
	for _, a := range old.Addrs {
		used := slices.ContainsFunc(state, func(r client.RDVStatus) bool {
			return r.Name == s.Name && r.Addr == a && r.Registered && !r.Silent
		})
		if used || slices.Contains(found.Addrs, a) {
			s.Addrs = append(s.Addrs, a)
		}
	}
	for _, a := range found.Addrs {
		if !slices.Contains(s.Addrs, a) {
			s.Addrs = append(s.Addrs, a)
		}
	}
	return s
}

// watchNames resolves the names of RDVs again, now and then and when one does not
// answer, and gives the client what has changed, until ctx is done.
func (n *node) watchNames(ctx context.Context) {
	ticker := time.NewTicker(namesLook)
	defer ticker.Stop()
	var w nameWatch
	var last *parts
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		n.mu.Lock()
		p, cfg, servers := n.parts, n.parts.cfg, n.parts.where.servers
		n.mu.Unlock()
		if p != last {
			w, last = nameWatch{}, p
		}
		if !hasNames(cfg) {
			continue
		}
		state, err := p.client.Servers(ctx)
		if err != nil {
			continue // it is being replaced
		}
		if w.due(time.Now(), state, len(servers) < len(serversOf(cfg))) {
			n.resolveAgain(ctx, p, cfg, state, lookupHost)
		}
	}
}

// hasNames reports whether an RDV is given by a name.
func hasNames(cfg *conf.Client) bool {
	return slices.ContainsFunc(cfg.Servers(), func(s conf.Server) bool {
		_, err := netip.ParseAddr(s.Host)
		return err != nil
	})
}

// resolveAgain resolves the names of RDVs for parts with a configuration, and tells
// the client if that has changed something. What cannot be resolved stays as it was.
func (n *node) resolveAgain(ctx context.Context, p *parts, cfg *conf.Client, state []client.RDVStatus, find finder) {
	found, err := resolveServers(ctx, cfg, p.where.bind.Addr(), find, udp.Routed)
	if err != nil {
		n.log.Debug("Names of RDV servers cannot be resolved", "err", err)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.parts != p || p.cfg != cfg {
		return // the configuration has changed meanwhile
	}
	where := *p.where
	where.servers = merge(cfg, where.servers, found, state)
	if sameServers(where.servers, p.where.servers) {
		return
	}
	p.where = &where
	n.log.Log(ctx, logging.LevelNotice, "RDV servers have other addresses", "servers", addrsOf(where.servers))
	if err := p.client.Apply(ctx, p.settings(cfg, p.trust)); err != nil && ctx.Err() == nil {
		n.log.Error("The client cannot use the new addresses of RDV servers", "err", err)
	}
}
