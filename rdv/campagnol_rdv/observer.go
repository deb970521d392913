package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"campagnol/internal/service"
	"campagnol/rdv"
)

// freshFor is how long an overview is good for others who ask: however many they are,
// the server is not asked more often.
const freshFor = 500 * time.Millisecond

// An observer looks at the server for the control socket and the web page. It is safe
// for concurrent use.
type observer struct {
	server *rdv.Server
	turn   chan struct{} // taken by who looks; the rest is its own
	last   *rdv.Overview
	at     time.Time
}

func newObserver(server *rdv.Server) *observer {
	return &observer{server: server, turn: make(chan struct{}, 1)}
}

// Overview returns what the server knows, or knew a moment ago. It is not to be changed.
func (o *observer) Overview(ctx context.Context) (*rdv.Overview, error) {
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-o.turn }()
	if o.last != nil && time.Since(o.at) < freshFor {
		return o.last, nil
	}
	now, err := o.server.Overview(ctx)
	if err != nil {
		return nil, err
	}
	o.last, o.at = now, time.Now()
	return now, nil
}

// History returns the server's last events.
func (o *observer) History() *rdv.History { return o.server.History() }

// lookers are what people look at the server by.
type lookers []looker

// A looker is one of them.
type looker struct {
	name  string // for the log
	serve func(context.Context) error
	close func() // instead of serve
}

// openLookers opens what the options ask for, or nothing.
func (o *options) openLookers(obs *observer, s *service.Starting) (list lookers, err error) {
	for _, open := range []func(*observer, *service.Starting) (*looker, error){o.control.open, o.openWeb} {
		l, err := open(obs, s)
		if err != nil {
			for _, l := range list {
				l.close()
			}
			return nil, err
		}
		if l != nil {
			list = append(list, *l)
		}
	}
	return list, nil
}

// serve returns what serves as main does, and the lookers beside it. That one of them
// fails is no reason to stop.
func (list lookers) serve(main func(context.Context) error, log *slog.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		looking, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		for _, l := range list {
			running.Go(func() {
				if err := l.serve(looking); err != nil {
					log.Error("The {what} has failed; going on without it", "what", l.name, "err", err)
				}
			})
		}
		err := main(ctx)
		stop()
		running.Wait()
		return err
	}
}
