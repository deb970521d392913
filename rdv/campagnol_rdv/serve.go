package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"campagnol/internal/daemon"
	"campagnol/internal/logging"
	"campagnol/punch/udp"
	"campagnol/rdv"
)

// serve runs the server until a signal ends it. child is nil in the foreground.
func (o *options) serve(ctx context.Context, child *daemon.Child) error {
	log := logging.New(logging.Options{
		Program: program,
		Level:   logging.Level(o.verbose, o.debug),
		Syslog:  o.Daemon,
		Format:  o.format,
	})
	err := o.listenAndServe(ctx, log, child)
	if err != nil && child != nil {
		log.Error("Stopped", "err", err) // standard error is /dev/null
	}
	return err
}

func (o *options) listenAndServe(ctx context.Context, log *slog.Logger, child *daemon.Child) error {
	warn := func(msg string) {
		log.Warn(msg)
		child.Warn(msg)
	}
	for _, w := range o.Warnings() {
		warn(w)
	}
	conn, err := udp.Listen(udp.Config{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), o.Port), Log: log})
	if err != nil {
		return err
	}
	server := rdv.New(rdv.Config{
		Conn:       conn,
		MaxClients: o.MaxClients,
		Log:        log,
		// The original keeps its messages out of syslog, and so do we: a
		// daemon with -d would fill it.
		LogMessages: o.debug > 0 && !o.Daemon,
	})
	var pidfile *daemon.Pidfile
	if o.Daemon {
		// The original goes on without a word: so may those who have relied
		// on the default file without the right to write it.
		if pidfile, err = daemon.WritePidfile(o.PIDFile); err != nil {
			warn(err.Error())
		}
	}
	removePidfile := sync.OnceFunc(func() {
		if err := pidfile.Remove(); err != nil {
			log.Warn(err.Error())
		}
	})
	defer removePidfile()

	ctx, stop := untilSignal(ctx, removePidfile)
	defer stop()
	child.Ready(nil)
	notify(log, daemon.Ready)
	err = server.Run(ctx)
	notify(log, daemon.Stopping)
	var s signalled
	if errors.As(context.Cause(ctx), &s) {
		log.Log(ctx, logging.LevelNotice, "Received signal {signal}, exiting...", "signal", int(s.Signal))
	}
	return err
}

// notify tells the service manager our state. That it does not listen is no
// reason to stop.
func notify(log *slog.Logger, state string) {
	if err := daemon.Notify(state); err != nil {
		log.Warn(err.Error())
	}
}

// untilSignal returns a context that a signal to terminate ends, with a
// signalled as cause. A second signal ends the process at once, after cleanup:
// it does nothing that can block, not even logging, since standard output may
// be what holds us up. SIGHUP is ignored, so that a closed terminal does not
// end the server.
func untilSignal(ctx context.Context, cleanup func()) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for s := range signals {
			switch {
			case s == syscall.SIGHUP:
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
		cancel(nil)
	}
}
