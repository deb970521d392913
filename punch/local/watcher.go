package local

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// How a Watcher spends its time.
const (
	// Changes come in groups: an address goes, then a route, then others come. So a
	// look is taken a little after the first. While looks find nothing new, as when a
	// router learns routes, they become rarer.
	settleMin = 50 * time.Millisecond
	settleMax = 500 * time.Millisecond
	calmAfter = 4 * settleMax // without a look: the next change is news again

	pollInterval  = 5 * time.Second // where the system says nothing
	clockInterval = time.Second     // between two looks at the clock
	sleepGap      = 5 * time.Second // more than clockInterval between them: the host has slept
)

// A Change is what a Watcher reports.
type Change struct {
	State
	Slept bool   // the host has slept; the State may be the same as before
	Why   string // made for people; "" for the first report
}

// A Watcher tells when the host's addresses change.
type Watcher struct {
	// Filter returns what counts. It is called by Run.
	Filter func() Filter

	// Report takes the state at first, and then each change. It is called by Run.
	Report func(Change)

	Log *slog.Logger // nil: none
}

// Run watches until ctx is done, which is no error.
func (w *Watcher) Run(ctx context.Context) error {
	if w.Log == nil {
		w.Log = slog.New(slog.DiscardHandler)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	notes := make(chan struct{}, 1)
	sub, err := subscribe()
	if err == nil {
		stop := context.AfterFunc(ctx, sub.close)
		defer stop()
		defer sub.close()
	}
	wg.Go(func() {
		if err == nil {
			err = sub.read(ctx, notes)
		}
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			w.Log.Warn("The system does not tell when addresses change; looking at them every few seconds", "err", err)
		}
		poll(ctx, notes)
	})
	l := loop{
		look: func() (State, error) { return Look(w.Filter()) }, report: w.Report, log: w.Log,
		clock: func() (time.Time, time.Duration) { return time.Now(), awake() },
	}
	l.run(ctx, notes)
	return nil
}

// poll says again and again that something may have changed, until ctx is done.
func poll(ctx context.Context, notes chan<- struct{}) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			select {
			case notes <- struct{}{}:
			default: // it has been said
			}
		}
	}
}

// A loop is a Watcher without its connection to the system.
type loop struct {
	look   func() (State, error)
	clock  func() (wall time.Time, awake time.Duration)
	report func(Change)
	log    *slog.Logger

	state  State
	known  bool // state is that of the last look
	failed bool // and the last look failed
	sleep  sleep
	settle time.Duration
	looked time.Time
}

// run runs until ctx is done. notes say that something has changed.
func (l *loop) run(ctx context.Context, notes <-chan struct{}) {
	l.settle = settleMin
	l.observe(time.Now(), "", false)
	ticker := time.NewTicker(clockInterval)
	defer ticker.Stop()
	due := time.NewTimer(settleMax)
	due.Stop()
	defer due.Stop()
	waiting := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-notes:
			if waiting {
				continue
			}
			if time.Since(l.looked) > calmAfter {
				l.settle = settleMin
			}
			waiting = true
			due.Reset(l.settle)
		case <-due.C:
			waiting = false
			l.observe(time.Now(), "addresses or routes have changed", false)
		case now := <-ticker.C:
			if l.sleep.over(l.clock()) {
				l.observe(now, "the host has slept", true)
			}
		}
	}
}

// observe looks, and reports what is new.
func (l *loop) observe(now time.Time, why string, slept bool) {
	l.looked = now
	s, err := l.look()
	if err != nil {
		if !l.failed && !errors.Is(err, context.Canceled) {
			l.log.Warn("The addresses of this host cannot be read", "err", err, "hint", "peers in the same network may not be reached directly")
		}
		l.failed = true
		s = l.state
	} else {
		l.failed = false
	}
	if l.known && !slept && s.Equal(l.state) {
		l.settle = min(2*l.settle, settleMax)
		return
	}
	l.state, l.known, l.settle = s, true, settleMin
	l.report(Change{State: s, Slept: slept, Why: why})
}

// A sleep notices that more time has passed than we have seen.
type sleep struct {
	wall  time.Time
	awake time.Duration
}

// over takes what the clocks say, every clockInterval, and reports whether the host has
// slept since. The clock on the wall may also have been set, which does no harm.
func (s *sleep) over(wall time.Time, awake time.Duration) bool {
	wall = wall.Round(0) // what Go compares otherwise does not run while the host sleeps
	before := *s
	s.wall, s.awake = wall, awake
	if before.wall.IsZero() {
		return false
	}
	const most = clockInterval + sleepGap
	return wall.Sub(before.wall) > most || awake-before.awake > most
}
