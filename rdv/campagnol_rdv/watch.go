package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"campagnol/internal/audit"
	"campagnol/internal/filewatch"
	"campagnol/internal/logging"
	"campagnol/internal/service"
	"campagnol/pki"
	"campagnol/rdv"
)

// files returns the files, and directories, that decide whom the server trusts, and
// who it is.
func (a *authOptions) files() []string {
	files := append([]string{a.certificate, a.key, a.ca, a.crl, a.policy}, filepath.SplitList(a.caDir)...)
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

// serve returns what serves. With a certificate, files that have changed are read
// again, and so are all at SIGHUP.
func (a *authOptions) serve(s *service.Starting, server *rdv.Server) func(context.Context) error {
	if a.certificate == "" {
		return server.Run
	}
	return func(ctx context.Context) error {
		watching, stop := context.WithCancel(ctx)
		var watcher sync.WaitGroup
		watcher.Go(func() { a.watch(watching, s, server) })
		err := server.Run(ctx)
		stop()
		watcher.Wait()
		return err
	}
}

// expiryInterval is how often it is looked whether a certificate is about to end.
const expiryInterval = time.Hour

// watch reads files again, and tells of certificates that are about to end, until ctx is
// done.
func (a *authOptions) watch(ctx context.Context, s *service.Starting, server *rdv.Server) {
	ticker := time.NewTicker(filewatch.Interval)
	defer ticker.Stop()
	var ends pki.ExpiryWatch
	var nextEnds time.Time
	reload := a.reload(s, server)
	for {
		a.authority.keep(ctx, time.Now(), s.Log)
		if now := time.Now(); !now.Before(nextEnds) {
			nextEnds = now.Add(expiryInterval)
			for _, text := range ends.Look(now, server.Expiries()) {
				s.Log.WarnContext(audit.Mark(ctx, audit.Record{Event: audit.CertificateExpires, Reason: text}), text)
			}
		}
		if changed := a.watched.Look(a.files()); len(changed) > 0 {
			s.Log.Log(ctx, logging.LevelNotice, "Changed: {files}; reading certificates, revocation lists and policy again", "files", strings.Join(changed, ", "))
			reload(ctx)
		}
		select {
		case <-ticker.C:
		case <-a.again:
			reload(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// reload returns what reads the files again. What is wrong with them leaves all as it
// was.
func (a *authOptions) reload(s *service.Starting, server *rdv.Server) func(context.Context) {
	return func(ctx context.Context) {
		trust, err := a.load(ctx, time.Now(), true, s.Log, func(msg, hint string) { s.Warn(msg, hint) })
		if err != nil {
			s.Log.ErrorContext(audit.Mark(ctx, audit.Record{Event: audit.Reloaded, Outcome: audit.Failed}), "The certificates cannot be read again; nothing changes", "err", err)
			return
		}
		server.SetTrust(trust)
		s.Log.InfoContext(audit.Mark(ctx, audit.Record{Event: audit.Reloaded}), "Certificates, revocation lists and policy are read again")
	}
}

// signals returns what the server does at signals. Without a certificate SIGHUP is
// ignored.
func (a *authOptions) signals() map[syscall.Signal]func(context.Context) {
	if a.certificate == "" {
		return nil
	}
	return map[syscall.Signal]func(context.Context){syscall.SIGHUP: func(context.Context) {
		select {
		case a.again <- struct{}{}:
		default: // it will be read after this signal anyway
		}
	}}
}
