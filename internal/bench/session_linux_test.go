package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// newTestSession returns a session of a tool without daemons, which takes the
// given steps, and what its console shows.
func newTestSession(t *testing.T, takes ...string) (*session, *strings.Builder) {
	t.Helper()
	var shown strings.Builder
	o := options{rounds: 1, steps: takes, foreign: 1e9, short: true, transfer: time.Second}
	p, _ := pathOf(pathVeth)
	s := &session{
		runner: &runner{options: o, console: newConsole(&shown, false), report: newReport(o)},
		round:  1, path: p, name: toolOurs, tunnel: &tunnel{},
	}
	s.meter = newMeter(s.tunnel)
	s.console.begin(1, p.id, s.name, 0)
	return s, &shown
}

// giving returns a step that gives an attempt.
func giving(a attempt) func(context.Context) (attempt, error) {
	return func(context.Context) (attempt, error) { return a, nil }
}

func TestTake(t *testing.T) {
	t.Parallel()
	s, shown := newTestSession(t, stepTCP1, stepUDP64)
	a := attempt{values: map[string]float64{stepTCP1 + ofCPU: 1.5, stepTCP1: 4}, foreign: 0.3}
	if err := s.take(t.Context(), stepTCP1, giving(a)); err != nil {
		t.Fatal(err)
	}
	s.foreign = 0.1
	a = attempt{values: map[string]float64{stepUDP64: 50, stepUDP64 + ofCPU: 3}, foreign: 0.2, limited: true}
	if err := s.take(t.Context(), stepUDP64, giving(a)); err != nil {
		t.Fatal(err)
	}
	if err := s.take(t.Context(), stepTCP4, giving(attempt{values: map[string]float64{stepTCP4: 1}})); err != nil {
		t.Fatal(err)
	}
	// In the order of the figures; what nobody asked for is not noted; a cost is
	// never a lower bound.
	want := []sample{
		{Round: 1, Path: pathVeth, Tool: toolOurs, Figure: stepTCP1, Value: 4, Foreign: 0.3, Tries: 1},
		{Round: 1, Path: pathVeth, Tool: toolOurs, Figure: stepTCP1 + ofCPU, Value: 1.5, Foreign: 0.3, Tries: 1},
		{Round: 1, Path: pathVeth, Tool: toolOurs, Figure: stepUDP64, Value: 50, Foreign: 0.2, Tries: maxTries, Disturbed: true, Limited: true},
		{Round: 1, Path: pathVeth, Tool: toolOurs, Figure: stepUDP64 + ofCPU, Value: 3, Foreign: 0.2, Tries: maxTries, Disturbed: true},
	}
	if got := s.report.Samples; !slices.Equal(got, want) {
		t.Errorf("the samples are\n%+v, want\n%+v", got, want)
	}
	const text = " 1  veth         ours          tcp1     4.00 Gbit/s, 1.50 s/GB\n" +
		" 1  veth         ours          udp64    50.0 kpps, 3.0 µs/packet, disturbed by 0.20 cores of other programs, the generator's limit\n"
	if got := shown.String(); got != text {
		t.Errorf("shown is\n%s, want\n%s", got, text)
	}
}

// TestTakeFails checks that a step that fails is noted and ends the session, and
// that an interruption is something else.
func TestTakeFails(t *testing.T) {
	t.Parallel()
	s, shown := newTestSession(t, stepTCP1)
	broken := func(context.Context) (attempt, error) { return attempt{}, errors.New("broken pipe") }
	if err := s.take(t.Context(), stepTCP1, broken); !errors.Is(err, errFailed) {
		t.Errorf("a step that fails: error %v, want %v", err, errFailed)
	}
	want := failure{1, pathVeth, toolOurs, stepTCP1, "broken pipe"}
	if got := s.report.Failures; len(got) != 1 || got[0] != want {
		t.Errorf("the failures are %+v, want %+v", got, want)
	}
	if !strings.HasSuffix(shown.String(), "tcp1     failed: broken pipe\n") {
		t.Errorf("shown is %q", shown)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.take(ctx, stepTCP1, broken); !errors.Is(err, context.Canceled) || len(s.report.Failures) != 1 {
		t.Errorf("interrupted: error %v with %d failures, want %v and 1", err, len(s.report.Failures), context.Canceled)
	}
}

// TestTakeOnce checks that a step which cannot be repeated is not.
func TestTakeOnce(t *testing.T) {
	t.Parallel()
	s, _ := newTestSession(t, steps...)
	s.foreign = 0.1
	for step, want := range map[string]int{stepCold: 1, stepRSS: 1, stepPing: maxTries} {
		n := 0
		err := s.take(t.Context(), step, func(context.Context) (attempt, error) {
			n++
			return attempt{values: map[string]float64{figCold: 1}, foreign: 5}, nil
		})
		if err != nil || n != want {
			t.Errorf("step %s was taken %d times (%v), want %d", step, n, err, want)
		}
	}
}

// TestAwaitQuiet checks that patience ends, and is one for all steps.
func TestAwaitQuiet(t *testing.T) {
	t.Parallel()
	s, _ := newTestSession(t, steps...)
	s.patience, s.waited = time.Minute, time.Minute
	began := time.Now()
	for range 100 {
		if err := s.awaitQuiet(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > 10*quietProbe {
		t.Errorf("without patience we waited for %v", took)
	}
	s.waited, s.foreign = 0, 1e9 // nobody can disturb us
	if err := s.awaitQuiet(t.Context()); err != nil || s.waited != 0 {
		t.Errorf("on a quiet machine we waited for %v (%v)", s.waited, err)
	}
	s.patience, s.foreign = time.Nanosecond, -1 // everybody does
	if err := s.awaitQuiet(t.Context()); err != nil || s.waited < quietProbe {
		t.Errorf("on a busy machine we waited for %v (%v), want %v", s.waited, err, quietProbe)
	}
}

func TestRemaining(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sofar       time.Duration
		made, total int
		want        time.Duration
	}{{time.Hour, 0, 10, 0}, {time.Minute, 2, 10, 4 * time.Minute}, {time.Minute, 10, 10, 0}} {
		if got := remaining(c.sofar, c.made, c.total); got != c.want {
			t.Errorf("after %d of %d in %v, %v remain, want %v", c.made, c.total, c.sofar, got, c.want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	if got := (&runner{}).environment(); len(got) != 0 {
		t.Errorf("the environment is %q, want nothing", got)
	}
	if got := (&runner{options: options{gomaxprocs: 1}}).environment(); !slices.Equal(got, []string{"GOMAXPROCS=1"}) {
		t.Errorf("the environment is %q, want GOMAXPROCS=1", got)
	}
}

// A fakeTool is a tool without a tunnel, which fails when it is told to.
type fakeTool struct {
	direct
	name  string
	fails error
}

func (f fakeTool) info() toolInfo { return toolInfo{Name: f.name, Title: f.name} }

func (f fakeTool) start(ctx context.Context, p place) (*tunnel, error) {
	if f.fails != nil {
		return nil, f.fails
	}
	return f.direct.start(ctx, p)
}

// TestRounds checks that every tool gets its turn on every path in every round,
// that who begins changes, and that one that does not start does not keep the
// others from it.
func TestRounds(t *testing.T) {
	t.Parallel()
	needLab(t)
	o := options{rounds: 2, steps: []string{stepCold}, paths: []string{pathVeth, pathPackets}, foreign: 1e9, short: true}
	r := &runner{options: o, console: newConsole(io.Discard, false), report: newReport(o)}
	r.tools = []tool{fakeTool{name: toolDirect}, fakeTool{name: toolOurs}, fakeTool{name: toolNebula, fails: errors.New("no licence")}}
	if err := r.rounds(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range r.report.Samples {
		got = append(got, s.Path+" "+s.Tool)
	}
	want := []string{"veth direct", "veth ours", "packets direct", "packets ours", "veth ours", "veth direct", "packets ours", "packets direct"}
	if !slices.Equal(got, want) {
		t.Errorf("the samples are of %q, want %q", got, want)
	}
	if got, want := len(r.report.Failures), 4; got != want {
		t.Errorf("%d failures, want %d", got, want)
	}
	for _, f := range r.report.Failures {
		if f.Tool != toolNebula || f.Step != "start" || f.Error != "no licence" {
			t.Errorf("failure %+v, want that of the start of %s", f, toolNebula)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.rounds(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: error %v, want %v", err, context.Canceled)
	}
}
