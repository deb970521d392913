package local

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A world is what a loop sees, in a bubble.
type world struct {
	t     *testing.T
	notes chan struct{}
	start time.Time

	mu      sync.Mutex // guards the following
	state   State
	err     error
	looks   int
	skipped time.Duration // by which the clock on the wall is ahead of ours
	slept   time.Duration // likewise, that of the time awake
	reports []string
	log     bytes.Buffer
}

// set changes the world.
func (w *world) set(f func(w *world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w)
}

// watch runs f beside a loop that watches a world.
func watch(t *testing.T, polls bool, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, notes: make(chan struct{}, 1), start: time.Now()}
		w.has("10.0.0.1")
		l := loop{
			look: func() (State, error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.looks++
				return w.state, w.err
			},
			clock: func() (time.Time, time.Duration) {
				w.mu.Lock()
				defer w.mu.Unlock()
				return time.Now().Add(w.skipped), time.Since(w.start) + w.slept
			},
			report: func(c Change) {
				w.mu.Lock()
				defer w.mu.Unlock()
				text := time.Since(w.start).Truncate(time.Millisecond).String() + " " + join(c.Addrs)
				if c.Slept {
					text += " slept"
				}
				if (c.Why == "") != (len(w.reports) == 0) {
					t.Errorf("report %d says why: %q", len(w.reports), c.Why)
				}
				w.reports = append(w.reports, text)
			},
			log: slog.New(slog.NewTextHandler(&w.log, nil)),
		}
		ctx, cancel := context.WithCancel(t.Context())
		if polls {
			go poll(ctx, w.notes)
		}
		done := make(chan struct{})
		go func() { l.run(ctx, w.notes); close(done) }()
		synctest.Wait()
		f(w)
		cancel()
		<-done
	})
}

// has sets the addresses of the host.
func (w *world) has(addrs ...string) {
	var list []netip.Addr
	for _, a := range addrs {
		list = append(list, netip.MustParseAddr(a))
	}
	w.set(func(w *world) { w.state.Addrs = list })
}

// note says that something has changed.
func (w *world) note() {
	select {
	case w.notes <- struct{}{}:
	default:
	}
	synctest.Wait()
}

func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) wants(want ...string) {
	w.t.Helper()
	if got := strings.Join(w.reports, ", "); got != strings.Join(want, ", ") {
		w.t.Errorf("reports: %s, want %s", got, strings.Join(want, ", "))
	}
}

// TestWatch: what there is at first, and each change, a moment later.
func TestWatch(t *testing.T) {
	watch(t, false, func(w *world) {
		w.wants("0s 10.0.0.1")
		w.pass(10 * time.Second)
		w.has()
		w.note()
		w.pass(20 * time.Millisecond)
		w.has("10.0.0.2", "10.0.0.3")
		w.note()
		w.pass(time.Second)
		w.wants("0s 10.0.0.1", "10.05s 10.0.0.2 10.0.0.3")
		w.pass(time.Hour)
		if w.looks != 2 {
			t.Errorf("looked %d times, want once for the change", w.looks)
		}
	})
}

// TestWatchUnchanged: what changes nothing about us is not reported, and does not keep
// us busy; the next true change is reported soon.
func TestWatchUnchanged(t *testing.T) {
	watch(t, false, func(w *world) {
		for range 6000 { // a minute
			w.note()
			w.pass(10 * time.Millisecond)
		}
		if w.looks < 60 || w.looks > 150 {
			t.Errorf("looked %d times in a minute, want about twice a second", w.looks)
		}
		w.wants("0s 10.0.0.1")
		w.has("10.0.0.2")
		w.note()
		w.pass(settleMax)
		if len(w.reports) != 2 {
			t.Errorf("reports: %v, want the change in the midst of others", w.reports)
		}
		w.pass(time.Minute) // calm
		w.has("10.0.0.3")
		start := time.Since(w.start)
		w.note()
		w.pass(settleMin)
		if len(w.reports) != 3 {
			t.Errorf("reports: %v, want one %v after %v", w.reports, settleMin, start)
		}
	})
}

// TestWatchSleep: a host that has slept reports it within a second of waking up, also
// if its addresses are as before.
func TestWatchSleep(t *testing.T) {
	for name, sleep := range map[string]func(w *world){
		"by the time awake":      func(w *world) { w.slept += time.Hour },
		"by the clock":           func(w *world) { w.skipped += time.Hour },
		"by six seconds of both": func(w *world) { w.slept += 6 * time.Second; w.skipped += 6 * time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			watch(t, false, func(w *world) {
				w.pass(10500 * time.Millisecond)
				w.set(sleep)
				w.pass(time.Second)
				w.wants("0s 10.0.0.1", "11s 10.0.0.1 slept")
				w.pass(time.Hour)
				w.wants("0s 10.0.0.1", "11s 10.0.0.1 slept")
			})
		})
	}
	for name, odd := range map[string]func(w *world){
		"a busy machine":              func(w *world) { w.slept += 4 * time.Second; w.skipped += 4 * time.Second },
		"the clock was set back":      func(w *world) { w.skipped -= time.Hour },
		"the clock is set all along":  func(w *world) { w.skipped += 100 * time.Millisecond },
		"there is no such clock":      func(w *world) { w.slept = -time.Since(w.start) },
		"the clock runs backwards":    func(w *world) { w.slept -= time.Hour },
		"the clock is set and unset ": func(w *world) { w.skipped += time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			watch(t, false, func(w *world) {
				w.pass(10500 * time.Millisecond)
				w.set(odd)
				w.pass(time.Minute)
				w.wants("0s 10.0.0.1")
			})
		})
	}
}

// TestWatchPolls: where the system says nothing, a change is found within seconds.
func TestWatchPolls(t *testing.T) {
	watch(t, true, func(w *world) {
		w.pass(time.Minute)
		w.has("10.0.0.2")
		w.pass(pollInterval + clockInterval)
		if len(w.reports) != 2 || !strings.HasSuffix(w.reports[1], " 10.0.0.2") {
			t.Errorf("reports %v", w.reports)
		}
	})
	watch(t, false, func(w *world) {
		w.has("10.0.0.2")
		w.pass(time.Hour)
		w.wants("0s 10.0.0.1")
	})
}

// TestWatchFails: when the addresses cannot be read, those that were known stay, and it
// is said once.
func TestWatchFails(t *testing.T) {
	watch(t, false, func(w *world) {
		w.set(func(w *world) { w.err = errors.New("no such thing") })
		for range 5 {
			w.pass(5 * time.Second)
			w.note()
		}
		w.pass(5 * time.Second)
		w.wants("0s 10.0.0.1")
		if n := strings.Count(w.log.String(), "level=WARN"); n != 1 || !strings.Contains(w.log.String(), "no such thing") {
			t.Errorf("log:\n%s", w.log.String())
		}
		w.set(func(w *world) { w.err = nil })
		w.has("10.0.0.2")
		w.note()
		w.pass(time.Second)
		if len(w.reports) != 2 {
			t.Errorf("reports %v, want the next change", w.reports)
		}
	})
}

// TestRun: a Watcher reports this host's state at once, and ends with its context.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reports := make(chan Change, 100)
	done := make(chan error, 1)
	w := Watcher{Filter: func() Filter { return Filter{} }, Report: func(c Change) { reports <- c }}
	go func() { done <- w.Run(ctx) }()
	if c := <-reports; c.Slept || c.Why != "" {
		t.Errorf("the first report is %+v", c)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
