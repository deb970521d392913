// Package service runs a program as both of ours run: in the foreground or in
// the background, with a log, a pid file, the service manager told, and signals
// that end it. internal/daemon and internal/logging have the parts; here is
// their order.
package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"campagnol/internal/audit"
	"campagnol/internal/cli"
	"campagnol/internal/daemon"
	"campagnol/internal/logging"

	"github.com/spf13/pflag"
)

// A Service says how a program runs.
type Service struct {
	Name       string // of the program, for messages and syslog
	AuditName  string // of the program, in the audit trail; "": Name
	Background bool   // go to the background, log to syslog
	PIDFile    string // written in the background only; "": none
	LockMemory bool
	Level      slog.Level
	Format     logging.Format // of the log in the foreground
	PProf      string         // loopback address of the profiles; "": none

	// Start makes everything ready. Its error is one of starting: in the
	// background, too, the user is told, and the exit status says so.
	Start func(ctx context.Context, s *Starting) (*Running, error)
}

// recentLines is how much of the log is kept in memory.
const recentLines = 500

// A Running is what Start has made.
type Running struct {
	// Serve does the program's work until its context is done.
	Serve func(context.Context) error

	// Signals are called, one at a time, while Serve runs, when their signal
	// arrives. SIGHUP without a function is ignored.
	Signals map[syscall.Signal]func(context.Context)

	// Confine gives up what is needed no more when everything is open and the pid
	// file is written; nil: nothing. After an error Serve is not called, and what
	// Start has opened is Confine's to close.
	Confine func() error

	// Status returns in a few words how the program is, for the service manager to show
	// people; nil: nothing. It is called while Serve runs.
	Status func(context.Context) string

	// Alive returns an error if the program is stuck, for a service manager that
	// watches it; nil: it is alive while it runs. It is called while Serve runs.
	Alive func(context.Context) error
}

// A Starting is what Start gets.
type Starting struct {
	Log *slog.Logger

	// Recent has the last lines of Log.
	Recent *logging.Recent

	// Audit is the audit trail, for Start to open. It has the start and the end of the
	// program, and what is logged with an [audit.Mark].
	Audit *audit.Trail

	// Level is the least level that Log shows. It may be changed.
	Level *slog.LevelVar

	// Warn tells the user of something that does not keep the program from
	// starting. hint is what to do about it; it may be empty.
	Warn func(msg, hint string)
}

// Run starts the program and serves until a signal ends it. It returns nil after
// SIGINT, SIGTERM or SIGQUIT.
func (s *Service) Run(ctx context.Context) error {
	if !s.Background {
		return s.serve(ctx, nil)
	}
	waiting, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	child, err := daemon.Background(waiting, daemon.Options{Warn: func(msg string) {
		cli.Print(os.Stderr, s.Name+": warning", errors.New(msg))
	}})
	stop()
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted before the program was ready")
	case child == nil:
		return err
	}
	err = s.serve(ctx, child)
	child.Ready(err) // if it was not ready before
	return err
}

// serve runs the program in this process. child is nil in the foreground.
func (s *Service) serve(ctx context.Context, child *daemon.Child) error {
	level := new(slog.LevelVar)
	level.Set(s.Level)
	recent := logging.NewRecent(recentLines)
	trail := audit.New(cmp.Or(s.AuditName, s.Name))
	log := slog.New(trail.Handler(recent.Handler(logging.New(logging.Options{
		Program: s.Name,
		Level:   level,
		Syslog:  s.Background,
		Format:  s.Format,
	}).Handler())))
	go trail.Run()
	defer trail.Close() // waits for the last record, but not for a disk that has died
	err := s.startAndServe(ctx, &Starting{
		Log:    log,
		Recent: recent,
		Audit:  trail,
		Level:  level,
		Warn: func(msg, hint string) {
			if hint == "" {
				log.Warn(msg)
			} else {
				log.Warn(msg, "hint", hint)
				msg += "\nhint: " + hint
			}
			child.Warn(msg)
		},
	}, child)
	if err != nil && child != nil {
		log.Error("Stopped", "err", err) // standard error is /dev/null
	}
	return err
}

func (s *Service) startAndServe(ctx context.Context, st *Starting, child *daemon.Child) error {
	if s.LockMemory {
		if err := daemon.LockMemory(); err != nil {
			return err
		}
	}
	if s.PProf != "" {
		stop, err := profiles(s.PProf)
		if err != nil {
			return err
		}
		defer stop()
	}
	var pidfile *daemon.Pidfile
	removePidfile := sync.OnceFunc(func() {
		if err := pidfile.Remove(); err != nil {
			st.Log.Warn(err.Error())
		}
	})
	ctx, stop := untilSignal(ctx, st.Log, st.Audit, removePidfile)
	defer stop()
	running, err := s.Start(ctx, st)
	if err != nil {
		return err
	}
	if s.Background {
		// The original goes on without a word: so may those who have relied
		// on the default file without the right to write it.
		if pidfile, err = daemon.WritePidfile(s.PIDFile); err != nil {
			st.Warn(err.Error(), "")
		}
	}
	defer removePidfile()
	if running.Confine != nil {
		if err := running.Confine(); err != nil {
			return err
		}
	}
	defer running.listen(ctx, st.Log)()
	child.Ready(nil)
	notify(st.Log, daemon.Ready)
	st.Audit.Record(audit.Record{Event: audit.Started})
	defer running.prove(ctx, st.Log)()
	defer running.tell(ctx, st.Log)()
	err = running.Serve(ctx)
	st.Audit.Record(ending(ctx, err))
	notify(st.Log, daemon.Stopping)
	return err
}

// ending returns what the audit trail says of the end of the program.
func ending(ctx context.Context, err error) audit.Record {
	var by signalled
	switch {
	case err != nil:
		return audit.Record{Event: audit.Stopped, Outcome: audit.Failed, Reason: err.Error()}
	case errors.As(context.Cause(ctx), &by):
		return audit.Record{Event: audit.Stopped, Reason: by.Error()}
	}
	return audit.Record{Event: audit.Stopped}
}

// listen calls the functions of r's signals until stop is called.
func (r *Running) listen(ctx context.Context, log *slog.Logger) (stop func()) {
	if len(r.Signals) == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 8)
	for s := range r.Signals {
		signal.Notify(signals, s)
	}
	var caller sync.WaitGroup
	caller.Go(func() {
		for s := range signals {
			if s == syscall.SIGHUP {
				notify(log, daemon.Reloading(monotonic()))
			}
			r.Signals[s.(syscall.Signal)](ctx)
			if s == syscall.SIGHUP {
				notify(log, daemon.Ready)
			}
		}
	})
	return func() {
		signal.Stop(signals)
		cancel()
		close(signals)
		caller.Wait()
	}
}

// prove tells the service manager that the program is alive, if it wants to hear that,
// until stop is called.
func (r *Running) prove(ctx context.Context, log *slog.Logger) (stop func()) {
	interval := daemon.WatchdogInterval()
	if interval == 0 {
		return func() {}
	}
	return every(ctx, interval, func(ctx context.Context) { r.proveOnce(ctx, log, interval) })
}

// proveOnce keeps silent about a program that is stuck, which the service manager
// takes for a reason to start it again.
func (r *Running) proveOnce(ctx context.Context, log *slog.Logger, limit time.Duration) {
	if r.Alive != nil {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if err := r.Alive(ctx); err != nil {
			log.Warn("The program seems to be stuck", "err", err)
			return
		}
	}
	notify(log, daemon.Alive)
}

// notify tells the service manager our state. That it does not listen is no
// reason to stop.
func notify(log *slog.Logger, state string) {
	if err := daemon.Notify(state); err != nil {
		log.Warn(err.Error())
	}
}

// signalled is the reason to stop after a signal.
type signalled struct{ syscall.Signal }

func (s signalled) Error() string { return fmt.Sprintf("signal %d", int(s.Signal)) }

// untilSignal returns a context that a signal to terminate ends. A second signal
// ends the process at once, after cleanup: it does nothing that can block, not
// even logging, since standard output may be what holds us up. SIGHUP is no such
// signal, so that a closed terminal does not end the program; it is one to look for the
// file of the audit trail anew.
func untilSignal(ctx context.Context, log *slog.Logger, trail *audit.Trail, cleanup func()) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP)
	var watcher sync.WaitGroup
	reported := make(chan struct{})
	unreport := context.AfterFunc(ctx, func() {
		defer close(reported)
		var s signalled
		if errors.As(context.Cause(ctx), &s) {
			log.Log(context.Background(), logging.LevelNotice, "Received signal {signal}, exiting...", "signal", int(s.Signal))
		}
	})
	watcher.Go(func() {
		for s := range signals {
			switch {
			case s == syscall.SIGHUP:
				trail.Renew()
			case ctx.Err() == nil:
				cancel(signalled{s.(syscall.Signal)})
			default:
				cleanup()
				os.Exit(128 + int(s.(syscall.Signal)))
			}
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		watcher.Wait()
		if !unreport() { // it has begun
			<-reported
		}
		cancel(nil)
	}
}

// Flags are the options that both programs have beside the original's.
func (s *Service) Flags(f *pflag.FlagSet) {
	f.Var(&s.Format, "log-format", "form of the log in the foreground: `text|json`")
	f.StringVar(&s.PProf, "pprof", "", "serve profiles (net/http/pprof) at this loopback `ADDRESS:PORT`")
	cli.MarkNew(f, "log-format", "pprof")
}
