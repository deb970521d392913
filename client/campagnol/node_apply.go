package main

import (
	"context"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/logging"
)

// loadTrust reads what cfg names. What was received, and could not be written, is not
// lost by that. n.mu is locked.
func (n *node) loadTrust(ctx context.Context, cfg *conf.Client, warn func(msg, hint string)) (*trust, error) {
	t, err := loadTrust(ctx, cfg, time.Now(), n.log, warn)
	if err != nil {
		return nil, err
	}
	t.news = n.news
	n.watchPins(t)
	if n.parts != nil && t.bulletins.inherit(n.parts.trust.bulletins) {
		t.useReceived()
		if err := t.loadRules(cfg, warn); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// renew reads keys and certificates again.
func (n *node) renew(ctx context.Context) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log.Log(ctx, logging.LevelNotice, "recreating DTLS contexts...")
	if n.apply(ctx, n.cfg, n.parts.client.Apply) == nil {
		n.moveDoor(ctx)
	}
}

// restart closes all sessions and begins anew.
func (n *node) restart(ctx context.Context) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log.Log(ctx, logging.LevelNotice, "reloading client...")
	if n.apply(ctx, n.cfg, n.parts.client.Restart) == nil {
		n.moveDoor(ctx)
	}
}

// apply gives the client what a configuration, and the files that it names, say
// now. An error, which is logged, says that nothing was changed.
func (n *node) apply(ctx context.Context, cfg *conf.Client, give func(context.Context, client.Settings) error) error {
	n.parts.trust.pins.Flush() // for the next to find them
	t, err := n.loadTrust(ctx, cfg, n.warn)
	if err == nil {
		err = t.policy.Usable() // a broken list must not end all tunnels
	}
	if err == nil {
		n.judge(cfg, t)
		n.askBefore(ctx, t)
		var where *addresses
		if where, err = findAddresses(ctx, cfg); err == nil {
			where.warn(n.warn)
			n.cfg, n.parts.cfg, n.parts.where = cfg, cfg, where
			if err = give(ctx, n.parts.settings(cfg, t)); err == nil {
				n.parts.trust = t
				n.parts.offerHosts(ctx, cfg)
				n.show()
				n.moveWindow(ctx)
				n.parts.mapping.set(cfg.PortMapping)
				n.parts.keeper.set(cfg)
				n.parts.namer.set(cfg, ownName(t.identity))
				n.parts.forward(cfg, n.log, n.warn)
			}
		}
	}
	if err != nil && ctx.Err() == nil {
		n.log.Error("Cannot be used; nothing was changed", "err", err)
	}
	return err
}
