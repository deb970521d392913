package main

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"campagnol/internal/cli"
	"campagnol/internal/metrics"
	"campagnol/internal/service"

	"github.com/spf13/pflag"
)

// metricsOptions say where metrics can be read.
type metricsOptions struct {
	text string // "": nowhere
	at   netip.AddrPort
}

func (o *metricsOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.text, "metrics", "", "show metrics for Prometheus, and whether the server works, over HTTP\nat this `ADDRESS:PORT`")
	cli.MarkNew(f, "metrics")
}

// check says what is wrong with the option.
func (o *metricsOptions) check() (err error) {
	if o.text == "" {
		return nil
	}
	if o.at, err = metrics.ParseAddr(o.text); err != nil {
		return fmt.Errorf("option --metrics: %w", err)
	}
	return nil
}

// serve returns what serves, and shows metrics meanwhile.
func (o *metricsOptions) serve(s *service.Starting, c *collector, serve func(context.Context) error) (func(context.Context) error, error) {
	if !o.at.IsValid() {
		return serve, nil
	}
	exporter, err := metrics.New(metrics.Config{Program: program, Collector: c, Ready: c.ready, Log: s.Log})
	if err != nil {
		return nil, err
	}
	window, err := exporter.Listen(o.at)
	if err != nil {
		return nil, err
	}
	if metrics.Public(o.at) {
		s.Warn(metrics.PublicWarning(o.at))
	}
	return func(ctx context.Context) error {
		showing, stop := context.WithCancel(ctx)
		var shower sync.WaitGroup
		shower.Go(func() {
			if err := window.Serve(showing); err != nil {
				s.Log.Error("Metrics cannot be read any more; going on without", "err", err)
			}
		})
		err := serve(ctx)
		stop()
		shower.Wait()
		return err
	}, nil
}
