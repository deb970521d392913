package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"campagnol/internal/lab"
)

// Times of a session.
const (
	settle      = time.Second            // from daemons that are ready to the first packet
	warmUp      = time.Second            // of TCP, until its rate is what it will be
	shortWarmUp = 300 * time.Millisecond // the same in a short run
	trialTime   = time.Second            // of UDP at one rate
	shortTrial  = 200 * time.Millisecond
	quietProbe  = 200 * time.Millisecond // how long we look whether others leave us alone
	maxTries    = 3                      // of a step that others disturb
)

// Pings of a session.
const (
	idlePings    = 300
	shortPings   = 50
	pingInterval = 10 * time.Millisecond
	coldInterval = 2 * time.Millisecond
	coldPings    = 100
	coldPatience = 15 * time.Second
)

// A session is one tool on one path in one round. Owned by one goroutine.
type session struct {
	*runner
	round  int
	path   path
	name   string // of the tool
	tunnel *tunnel
	meter  *meter
}

// errFailed ends a session after a step has failed, which has been noted.
var errFailed = errors.New("bench: a step failed")

// measure takes all steps.
func (s *session) measure(ctx context.Context) error {
	idle := 0.0
	for _, step := range []struct {
		name string
		run  func(context.Context) (attempt, error)
	}{
		{stepCold, s.cold}, // always taken: it opens the tunnel
		{stepRSS, func(context.Context) (a attempt, err error) {
			idle, err = s.largest()
			return a, err
		}},
		{stepPing, s.ping},
		{stepTCP1, func(ctx context.Context) (attempt, error) { return s.tcp(ctx, stepTCP1, 1, 0) }},
		{stepTCP4, func(ctx context.Context) (attempt, error) { return s.tcp(ctx, stepTCP4, 4, 0) }},
		{stepBoth, func(ctx context.Context) (attempt, error) { return s.tcp(ctx, stepBoth, 1, 1) }},
		{stepLoad, s.load},
		{stepUDP1200, func(ctx context.Context) (attempt, error) { return s.udp(ctx, stepUDP1200, 1200) }},
		{stepUDP64, func(ctx context.Context) (attempt, error) { return s.udp(ctx, stepUDP64, 64) }},
		{stepRSS, func(context.Context) (attempt, error) {
			after, err := s.largest()
			return attempt{values: map[string]float64{figRSSIdle: idle, figRSSLoad: after}}, err
		}},
	} {
		if !s.takes(step.name) && step.name != stepCold || step.name == stepRSS && s.name == toolDirect {
			continue
		}
		err := s.take(ctx, step.name, step.run)
		if errors.Is(err, errFailed) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take takes a step, when others leave the machine to us, and notes what comes
// of it.
func (s *session) take(ctx context.Context, step string, run func(context.Context) (attempt, error)) error {
	s.console.doing(step)
	tries := maxTries
	if step == stepCold || step == stepRSS {
		tries = 1 // there is only one first time
	}
	got, made, err := quietest(s.foreign, tries, func() (attempt, error) {
		if err := s.awaitQuiet(ctx); err != nil {
			return attempt{}, err
		}
		finish := s.profile(ctx, step)
		a, err := run(ctx)
		return a, errors.Join(err, finish())
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := errors.Join(err, s.tunnel.ended()); err != nil {
		s.fail(step, err)
		return errFailed
	}
	s.note(step, got, made)
	return nil
}

// fail notes that a step failed.
func (s *session) fail(step string, err error) {
	f := failure{Round: s.round, Path: s.path.id, Tool: s.name, Step: step, Error: err.Error()}
	s.report.Failures = append(s.report.Failures, f)
	s.console.line(step, "failed: "+f.Error)
}

// note notes what came of a step.
func (s *session) note(step string, a attempt, made int) {
	if !s.takes(step) || len(a.values) == 0 {
		return
	}
	var texts []string
	for _, id := range slices.SortedFunc(maps.Keys(a.values), byFigure) {
		f, _ := figureOf(id)
		s.report.Samples = append(s.report.Samples, sample{
			Round: s.round, Path: s.path.id, Tool: s.name, Figure: id, Value: a.values[id],
			Foreign: a.foreign, Tries: made, Disturbed: a.foreign > s.foreign, Limited: a.limited && f.class == packets,
		})
		texts = append(texts, f.format(a.values[id])+" "+f.unit)
	}
	text := strings.Join(texts, ", ")
	if a.foreign > s.foreign {
		text += fmt.Sprintf(", disturbed by %.2f cores of other programs", a.foreign)
	}
	if a.limited {
		text += ", the generator's limit"
	}
	s.console.line(step, text)
}

// byFigure sorts names of figures in their order.
func byFigure(a, b string) int {
	at := func(id string) int { return slices.IndexFunc(figures, func(f figure) bool { return f.id == id }) }
	return at(a) - at(b)
}

// awaitQuiet waits until other programs leave the machine to us, as long as
// there is patience left.
func (s *session) awaitQuiet(ctx context.Context) error {
	for s.waited < s.patience {
		u, err := s.meter.during(func() error { return wait(ctx, quietProbe) })
		if err != nil || u.foreign <= s.foreign {
			return err
		}
		s.console.doing(fmt.Sprintf("waiting for other programs, which use %.1f cores", u.foreign))
		s.waited += u.wall
	}
	return nil
}

// largest returns the memory of the larger daemon, in MB.
func (s *session) largest() (mb float64, err error) {
	for _, d := range s.tunnel.daemons {
		bytes, err := memoryOf(d)
		if err != nil {
			return 0, err
		}
		mb = max(mb, float64(bytes)/1e6)
	}
	return mb, nil
}

// unlessShort returns a value for a whole run or a short one.
func unlessShort[T any](s *session, whole, short T) T {
	if s.short {
		return short
	}
	return whole
}

// cold sends first packets until one is answered.
func (s *session) cold(ctx context.Context) (attempt, error) {
	if err := wait(ctx, unlessShort(s, settle, shortWarmUp)); err != nil {
		return attempt{}, err
	}
	began := time.Time{}
	for {
		r, err := s.tunnel.a.host.Ping(ctx, s.tunnel.b.addr, lab.PingOptions{
			Count: coldPings, Interval: coldInterval, Patience: coldInterval,
		})
		if err != nil {
			return attempt{}, err
		}
		if began.IsZero() {
			began = r.Start
		}
		if !r.Answer.IsZero() {
			return attempt{values: map[string]float64{figCold: milliseconds(r.Answer.Sub(began))}}, nil
		}
		if r.Start.Sub(began) > coldPatience {
			return attempt{}, fmt.Errorf("bench: no packet gets through the tunnel within %v", coldPatience)
		}
	}
}

// milliseconds converts a duration for figures.
func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }
