package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"campagnol/internal/lab"
)

// pings sends pings, and returns the times of those that were answered and the
// percentage of the others.
func (s *session) pings(ctx context.Context) (ms []float64, lost float64, err error) {
	r, err := s.tunnel.a.host.Ping(ctx, s.tunnel.b.addr, lab.PingOptions{
		Count: unlessShort(s, idlePings, shortPings), Interval: pingInterval,
	})
	if err != nil {
		return nil, 0, err
	}
	for _, rtt := range r.RTT {
		if rtt != lab.Lost {
			ms = append(ms, milliseconds(rtt))
		}
	}
	if len(ms) == 0 {
		return nil, 0, errors.New("bench: not one ping is answered")
	}
	return ms, 100 * (1 - float64(len(ms))/float64(len(r.RTT))), nil
}

// ping measures the time of a packet that is alone in the tunnel.
func (s *session) ping(ctx context.Context) (attempt, error) {
	var ms []float64
	u, err := s.meter.during(func() (err error) {
		ms, _, err = s.pings(ctx)
		return err
	})
	if err != nil {
		return attempt{}, err
	}
	return attempt{foreign: u.foreign, values: map[string]float64{
		figPing: median(ms), figPingP99: percentile(ms, 99),
	}}, nil
}

// load measures the time of a packet beside four streams that take all they get.
func (s *session) load(ctx context.Context) (attempt, error) {
	var ms []float64
	var lost float64
	f := new(flood)
	defer f.stop()
	if err := s.flood(ctx, f, 4, 0); err != nil {
		return attempt{}, err
	}
	u, err := s.meter.during(func() (err error) {
		ms, lost, err = s.pings(ctx)
		return err
	})
	if _, failed := f.received(); err == nil {
		err = failed
	}
	if err != nil {
		return attempt{}, err
	}
	return attempt{foreign: u.foreign, values: map[string]float64{
		figLoadMean: mean(ms), figLoadP99: percentile(ms, 99), figLoadLost: lost,
	}}, nil
}

// flood starts streams in one direction and in the other, and returns when they
// are under way. Streams that do not get that far fail by themselves.
func (s *session) flood(ctx context.Context, f *flood, there, back int) error {
	if err := f.add(s.tunnel.a, s.tunnel.b, there); err != nil {
		return err
	}
	if back > 0 {
		if err := f.add(s.tunnel.b, s.tunnel.a, back); err != nil {
			return err
		}
	}
	f.start()
	for {
		if err := wait(ctx, unlessShort(s, warmUp, shortWarmUp)); err != nil {
			return err
		}
		if bytes, err := f.received(); bytes > 0 || err != nil {
			return err
		}
	}
}

// tcp measures streams in both directions together, and what they cost.
func (s *session) tcp(ctx context.Context, step string, there, back int) (attempt, error) {
	f := new(flood)
	defer f.stop()
	if err := s.flood(ctx, f, there, back); err != nil {
		return attempt{}, err
	}
	var bytes int64
	var took time.Duration
	u, err := s.meter.during(func() error {
		before, failedBefore := f.received()
		began := time.Now()
		err := wait(ctx, s.transfer)
		after, failedAfter := f.received()
		bytes, took = after-before, time.Since(began)
		return errors.Join(err, failedBefore, failedAfter)
	})
	if err != nil {
		return attempt{}, err
	}
	if bytes == 0 {
		return attempt{}, fmt.Errorf("bench: nothing has arrived through the tunnel for %v", took)
	}
	a := attempt{foreign: u.foreign, values: map[string]float64{step: float64(bytes) * 8 / took.Seconds() / 1e9}}
	if s.name != toolDirect {
		a.values[step+ofCPU] = u.daemons.Seconds() / (float64(bytes) / 1e9)
	}
	return a, nil
}

// udp looks for the highest rate of datagrams at which hardly any is lost.
func (s *session) udp(ctx context.Context, step string, size int) (attempt, error) {
	d, err := newDatagrams(s.tunnel.a, s.tunnel.b, size)
	if err != nil {
		return attempt{}, err
	}
	defer d.close()
	found, err := (&search{
		first: 20_000, low: 500, high: 4e6,
		precision: unlessShort(s, 0.05, 0.5), limit: s.foreign,
		run: func(rate float64) (t trial, err error) {
			u, err := s.meter.during(func() (err error) {
				t, err = d.trial(ctx, rate, unlessShort(s, trialTime, shortTrial))
				return err
			})
			t.foreign = u.foreign
			if delivered := t.delivered * t.took; delivered > 0 {
				t.cpu = u.daemons.Seconds() * 1e6 / delivered
			}
			return t, err
		},
	}).find()
	if err != nil {
		return attempt{}, err
	}
	a := attempt{foreign: found.foreign, limited: found.limited, values: map[string]float64{step: found.best.delivered / 1e3}}
	if s.name != toolDirect && found.best.delivered > 0 {
		a.values[step+ofCPU] = found.best.cpu
	}
	return a, nil
}
