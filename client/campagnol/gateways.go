package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/pki/safefile"
	"campagnol/tunnel/device"
)

const (
	// routesRetry is how often routes are looked at again: others may have removed
	// them, or what was in their way.
	routesRetry = time.Minute

	// gatewaysRecheck is how often it is looked whether the certificates of gateways
	// without a tunnel are still good; lists of revoked ones are looked at at once.
	gatewaysRecheck = time.Hour

	// meetSoon is when the rendezvous servers are asked for gateways for the first time,
	// and meetAgain how long one that was met, and of which nothing is used, is left
	// alone.
	meetSoon  = 3 * time.Second
	meetAgain = time.Hour

	maxGatewayFile = 8 << 20 // bytes
)

// A router is a virtual interface that has routes.
type router interface {
	SetRoutes(want []device.Route) ([]device.RouteProblem, error)
}

// A keeper keeps the routes of the system to networks behind peers, and remembers
// their gateways in a file, so that the networks are reached after a restart, too. What
// the file says counts as far as the certificates in it are good.
type keeper struct {
	dev  router
	log  *slog.Logger
	news chan struct{} // has room for one: something below has changed

	mu       sync.Mutex
	cfg      *conf.Client
	gateways []client.Gateway
	met      map[netip.Addr]time.Time // gateways that were not known; owned by run
	said     map[netip.Prefix]string  // why there is no route; owned by run
	broken   string                   // why nothing can be done, or remembered; said once
}

func newKeeper(dev router, cfg *conf.Client, log *slog.Logger) *keeper {
	return &keeper{dev: dev, cfg: cfg, log: log, news: make(chan struct{}, 1), met: map[netip.Addr]time.Time{}, said: map[netip.Prefix]string{}}
}

// gatewayFile returns the file of what is behind which peers.
func gatewayFile(stateDir string) string { return filepath.Join(stateDir, "gateways") }

// take takes what the client reports.
func (k *keeper) take(list []client.Gateway) {
	k.mu.Lock()
	k.gateways = list
	k.mu.Unlock()
	k.wake()
}

// set makes cfg the configuration. k may be nil.
func (k *keeper) set(cfg *conf.Client) {
	if k == nil {
		return
	}
	k.mu.Lock()
	k.cfg = cfg
	k.mu.Unlock()
	k.wake()
}

func (k *keeper) wake() {
	select {
	case k.news <- struct{}{}:
	default:
	}
}

// run does what is to be done until ctx is done. The interface takes its routes with
// it when it is closed.
func (k *keeper) run(ctx context.Context, c *client.Client) {
	k.mu.Lock()
	cfg := k.cfg
	k.mu.Unlock()
	if cfg.Mode != conf.ModeTUN {
		return
	}
	k.recall(ctx, c, cfg)
	retry := time.NewTicker(routesRetry)
	defer retry.Stop()
	recheck := time.NewTicker(gatewaysRecheck)
	defer recheck.Stop()
	meet := time.NewTimer(meetSoon)
	defer meet.Stop()
	for {
		select {
		case <-k.news:
			k.recallNow(ctx, c, &cfg)
			k.save()
			k.route()
		case <-retry.C:
			k.route()
		case <-meet.C:
			k.meet(ctx, c)
			meet.Reset(routesRetry)
		case <-recheck.C:
			_ = c.RecheckGateways(ctx) // an error says that it has ended
		case <-ctx.Done():
			return
		}
	}
}

// meet opens tunnels to gateways that rendezvous servers tell of, and of which nothing is
// known here: their certificates say then what is behind them. That a server lies costs a
// try.
func (k *keeper) meet(ctx context.Context, c *client.Client) {
	k.mu.Lock()
	accept := k.cfg.AcceptRoutes
	k.mu.Unlock()
	if !accept {
		return
	}
	asking, cancel := context.WithTimeout(ctx, meetSoon)
	defer cancel()
	members, err := c.Members(asking)
	if err != nil {
		return
	}
	for _, vpn := range k.strangers(time.Now(), members) {
		_ = c.Meet(ctx, vpn) // an error says that it has ended
	}
}

// strangers returns the addresses of gateways among members that are not known, and were
// not met lately.
func (k *keeper) strangers(now time.Time, members []client.ListedMember) (list []netip.Addr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for a, t := range k.met {
		if now.Sub(t) >= meetAgain {
			delete(k.met, a)
		}
	}
	const most = 64 // a rendezvous server may invent any number
	for _, m := range members {
		i := slices.IndexFunc(m.Addrs, netip.Addr.Is4)
		if !m.Gateway || i < 0 || len(k.met) >= most {
			continue
		}
		known := slices.ContainsFunc(k.gateways, func(g client.Gateway) bool { return slices.Contains(m.Addrs, g.VPNAddr) })
		if _, met := k.met[m.Addrs[i]]; !known && !met {
			k.met[m.Addrs[i]] = now
			list = append(list, m.Addrs[i])
		}
	}
	return list
}

// recallNow gives the client what the file says, if networks are accepted only since
// the configuration was read again; last is the one of before.
func (k *keeper) recallNow(ctx context.Context, c *client.Client, last **conf.Client) {
	k.mu.Lock()
	cfg := k.cfg
	k.mu.Unlock()
	if cfg.AcceptRoutes && !(*last).AcceptRoutes {
		k.recall(ctx, c, cfg)
	}
	*last = cfg
}

// recall gives the client what the file says.
func (k *keeper) recall(ctx context.Context, c *client.Client, cfg *conf.Client) {
	if !cfg.AcceptRoutes {
		return
	}
	seen, err := readGateways(gatewayFile(cfg.StateDir))
	if err != nil {
		k.log.Warn("It is not known any more what is behind which peer; it is learned again from each when it has a tunnel", "err", err)
	}
	_ = c.Recall(ctx, seen) // an error says that it has ended
}

// readGateways reads what save has written. The file need not exist.
func readGateways(path string) ([]client.Shown, error) {
	b, err := safefile.Read(path, maxGatewayFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseGateways(path, b)
}

func parseGateways(path string, b []byte) (seen []client.Shown, err error) {
	if err := json.Unmarshal(b, &seen); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return seen, nil
}

// save writes what was reported.
func (k *keeper) save() {
	k.mu.Lock()
	cfg, list := k.cfg, k.gateways
	k.mu.Unlock()
	if !cfg.AcceptRoutes {
		return // what is known may be of use later
	}
	seen := make([]client.Shown, 0, len(list))
	for _, g := range list {
		seen = append(seen, g.Shown)
	}
	path := gatewayFile(cfg.StateDir)
	if _, err := os.Stat(path); len(seen) == 0 && errors.Is(err, fs.ErrNotExist) {
		return
	}
	b, err := json.Marshal(seen)
	if err == nil {
		if err = os.MkdirAll(cfg.StateDir, 0o700); err == nil {
			err = safefile.Write(path, b, 0o600)
		}
	}
	k.report("What is behind peers is not remembered", err)
}

// report says once that something cannot be done; nil: it can.
func (k *keeper) report(what string, err error) {
	switch {
	case err == nil:
		k.broken = ""
	case k.broken != err.Error():
		k.broken = err.Error()
		k.log.Warn(what, "err", err)
	}
}

// route sets the routes to what was reported.
func (k *keeper) route() {
	k.mu.Lock()
	cfg, list := k.cfg, k.gateways
	k.mu.Unlock()
	if !cfg.DefaultUp { // then the up commands make what routes there are
		return
	}
	var want []device.Route
	behind := map[netip.Prefix]client.Gateway{}
	if cfg.AcceptRoutes {
		for _, g := range list {
			for _, n := range g.Networks {
				r := device.Route{Network: n, Metric: cfg.RouteMetric, Source: cfg.VPNIP}
				if n.Addr().Is6() {
					r.Source = cfg.VPNIP6
				}
				if n.Addr().Is6() && !cfg.VPNIP6.IsValid() {
					continue // nothing that peers would take could be sent there
				}
				want, behind[n] = append(want, r), g
			}
		}
	}
	problems, err := k.dev.SetRoutes(want)
	if errors.Is(err, os.ErrClosed) {
		return
	}
	k.report("The system has no routes to networks behind peers", err)
	k.tell(problems, behind)
}

// tell logs which networks have got no route, each once, and which have one now.
func (k *keeper) tell(problems []device.RouteProblem, behind map[netip.Prefix]client.Gateway) {
	now := map[netip.Prefix]string{}
	for _, p := range problems {
		now[p.Network] = p.Err.Error()
		if g := behind[p.Network]; k.said[p.Network] != now[p.Network] {
			k.log.Warn("The system has no route to a network behind a peer", "network", p.Network, "peer", g.VPNAddr, "name", g.Name, "err", p.Err)
		}
	}
	for n := range k.said {
		if _, still := now[n]; !still && behind[n].VPNAddr.IsValid() {
			k.log.Info("The system has a route to a network behind a peer now", "network", n, "peer", behind[n].VPNAddr)
		}
	}
	k.said = now
}

// forward makes the kernel pass on packets of peers, or no longer, and says what else
// that needs.
func (p *parts) forward(cfg *conf.Client, log *slog.Logger, warn func(msg, hint string)) {
	switch {
	case p.kernel == nil:
		return
	case !cfg.Forward:
		if err := p.kernel.ClearForwarding(); err != nil {
			log.Warn("The kernel may still pass on packets of peers", "err", err)
		}
		return
	case cfg.Mode != conf.ModeTUN:
		warn(cfg.File+": forward has no effect with mode = tap", "hosts behind this one are in the VPN with a bridge; see docs/ethernet.md")
		return
	}
	odd, err := p.kernel.SetForwarding(cfg.VPNIP6.IsValid())
	for _, o := range odd {
		warn(o.Error(), "docs/site-to-site.md tells what a gateway needs")
	}
	if err != nil {
		warn("Packets of peers are not passed on to networks behind this host: "+err.Error(), "set it with sysctl, and forward = no")
		return
	}
	dev := p.kernel.Name()
	log.Info("Packets of peers are passed on to networks behind this host; a firewall that drops them needs rules", "hint",
		fmt.Sprintf("nft add rule inet filter forward iifname %q accept; nft add rule inet filter forward oifname %q accept", dev, dev))
}
