package main

import (
	"context"
	"net/netip"

	"campagnol/internal/httpd"
	"campagnol/internal/metrics"
)

// newMetrics returns what answers for metrics of a node, by the control socket and,
// if it is configured, over the network.
func newMetrics(n *node) (*metrics.Exporter, error) {
	return metrics.New(metrics.Config{Program: program, Collector: metricsCollector{n}, Ready: n.ready, Log: n.log})
}

// A window is where metrics of the node are shown over the network.
type window struct {
	server *httpd.Server
	stop   context.CancelFunc
	ended  chan struct{} // closed when the server has; nil before it serves
}

// openWindow listens where the configuration says; nil: nowhere.
func (n *node) openWindow(warn func(msg, hint string)) (*window, error) {
	at := n.parts.cfg.Metrics
	if !at.IsValid() {
		return nil, nil
	}
	server, err := n.metrics.Listen(at)
	if err != nil {
		return nil, err
	}
	if metrics.Public(at) {
		warn(metrics.PublicWarning(at))
	}
	return &window{server: server}, nil
}

// asked returns where w was to listen; the zero AddrPort: nowhere.
func (w *window) asked() netip.AddrPort {
	if w == nil {
		return netip.AddrPort{}
	}
	return w.server.Asked()
}

// serve answers until w is closed or ctx is done.
func (w *window) serve(ctx context.Context, n *node) {
	if w == nil {
		return
	}
	ctx, w.stop = context.WithCancel(ctx)
	w.ended = make(chan struct{})
	go func() { // close waits for it
		defer close(w.ended)
		if err := w.server.Serve(ctx); err != nil {
			n.log.Error("Metrics cannot be read any more over the network; going on without", "err", err)
		}
	}()
}

// close ends it.
func (w *window) close() {
	switch {
	case w == nil:
	case w.ended == nil:
		w.server.Close()
	default:
		w.stop()
		<-w.ended
	}
}

// moveWindow listens where a configuration that has changed says. The old place is
// given up first: the new one may be the same port of another address. n.mu is locked.
func (n *node) moveWindow(ctx context.Context) {
	old := n.window.asked()
	if n.parts.cfg.Metrics == old {
		return
	}
	n.window.close()
	n.window = nil
	next, err := n.openWindow(n.warn)
	if err != nil {
		n.log.Error("Metrics cannot be read where the new configuration has it, and so nowhere over the network", "err", err)
		return
	}
	n.window = next
	next.serve(ctx, n)
}
