package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"campagnol/internal/lab"
)

// generatorThreads is how many threads of the generator may run at a time. The
// kernel is to share the processors out, not Go's scheduler.
const generatorThreads = 32

// measure measures everything that is asked for, and tells of its progress. When
// it is interrupted it returns what there is, with the error.
func measure(ctx context.Context, o options, progress io.Writer) (*report, error) {
	if err := lab.Preflight(); err != nil {
		return nil, err
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(generatorThreads))
	folder, err := os.MkdirTemp("", "campagnol-bench-")
	if err != nil {
		return nil, fmt.Errorf("bench: make a folder for our programs: %w", err)
	}
	defer os.RemoveAll(folder)
	out := newConsole(progress, isTerminal(progress))
	r := &runner{options: o, console: out, report: newReport(o)}
	if err := r.prepare(ctx, folder); err != nil {
		out.done()
		return nil, err
	}
	err = r.rounds(ctx)
	out.done()
	r.report.derive()
	r.report.Took = time.Since(r.report.Began).Seconds()
	return r.report, err
}

// prepare builds the programs of all tools.
func (r *runner) prepare(ctx context.Context, folder string) error {
	for _, name := range r.options.tools {
		t, err := newTool(name, r.options, folder)
		if err != nil {
			return err
		}
		r.console.doing("building " + name)
		if err := t.prepare(ctx); err != nil {
			return err
		}
		r.tools = append(r.tools, t)
		r.report.Tools = append(r.report.Tools, t.info())
	}
	return nil
}

// newReport returns an empty report of this machine.
func newReport(o options) *report {
	r := &report{Format: reportFormat, Began: time.Now()}
	r.Settings = settings{
		Rounds: o.rounds, Seconds: o.transfer.Seconds(), GOMAXPROCS: o.gomaxprocs, Congestion: congestion, Short: o.short, Profiled: o.profiles != "",
	}
	r.Machine = machine{Processors: runtime.NumCPU(), Go: runtime.Version()}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		r.Machine.Processor = parseModel(b)
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		r.Machine.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return r
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// A runner measures round by round. Owned by one goroutine.
type runner struct {
	options
	console *console
	tools   []tool
	report  *report
	waited  time.Duration // for others to leave the machine, so far
}

// rounds measures every tool on every path in every round. Who begins changes
// from round to round.
func (r *runner) rounds(ctx context.Context) error {
	total := r.options.rounds * len(r.paths) * len(r.tools)
	began, made := time.Now(), 0
	for round := range r.options.rounds {
		for _, id := range r.paths {
			p, _ := pathOf(id)
			for i := range r.tools {
				t := r.tools[(i+round)%len(r.tools)]
				r.console.begin(round+1, p.id, t.info().Name, remaining(time.Since(began), made, total))
				if err := r.session(ctx, round+1, p, t); err != nil {
					return err
				}
				made++
			}
		}
	}
	return nil
}

// remaining estimates how long the rest takes, and returns 0 if there is nothing
// to go by.
func remaining(sofar time.Duration, made, total int) time.Duration {
	if made == 0 {
		return 0
	}
	return sofar / time.Duration(made) * time.Duration(total-made)
}

// session measures a tool in a laboratory of its own: nothing that one tool
// leaves behind is there for the next. What fails is noted and ends the session;
// only an interruption is an error.
func (r *runner) session(ctx context.Context, round int, p path, t tool) (err error) {
	s := &session{runner: r, round: round, path: p, name: t.info().Name}
	l, err := lab.New(ctx, lab.Options{Env: r.environment()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	at, err := newPlace(l, p)
	if err != nil {
		return err
	}
	s.tunnel, err = t.start(ctx, at)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		s.fail("start", err)
		return nil
	}
	s.meter = newMeter(s.tunnel)
	return s.measure(ctx)
}

// environment returns what the daemons find in their environment beside what we
// do.
func (r *runner) environment() []string {
	if r.gomaxprocs == 0 {
		return nil
	}
	return []string{fmt.Sprintf("GOMAXPROCS=%d", r.gomaxprocs)}
}

// newPlace makes two hosts with a cable that is a path.
func newPlace(l *lab.Lab, p path) (place, error) {
	a, b, err := l.AddPair("a", "b")
	if err != nil {
		return place{}, err
	}
	for _, h := range []*lab.Host{a, b} {
		// What one transfer learnt is not for the next.
		if err := h.SetSysctl("net/ipv4/tcp_no_metrics_save", "1"); err != nil {
			return place{}, err
		}
		if features := p.features(); len(features) > 0 {
			if err := h.Link().SetFeatures(features); err != nil {
				return place{}, err
			}
		}
	}
	return place{l, a, b}, nil
}

// features returns what is to be set at both ends of the cable. What the kernel
// does without being told to is left alone.
func (p path) features() map[string]bool {
	if !p.cut {
		return nil
	}
	f := map[string]bool{lab.FeatureUDPSegmentation: false, lab.FeatureGSO: false, lab.FeatureGRO: p.gro}
	for _, name := range lab.FeaturesTSO {
		f[name] = false
	}
	return f
}
