package main

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"campagnol/conf"
	"campagnol/internal/cli"
	"campagnol/internal/control"
	"campagnol/internal/logging"
	"campagnol/internal/version"
)

// An errand is something that the control socket was asked to do and that may move the
// socket: the request cannot do it itself, since moving the socket waits for requests.
type errand func(ctx context.Context)

// doErrands does what the control socket is asked to do, until ctx is done.
func (n *node) doErrands(ctx context.Context) {
	for {
		select {
		case do := <-n.errands:
			do(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// reloaded says what has come of reading the configuration again.
type reloaded struct {
	restarts bool // the client begins anew with it
	problems []conf.Problem
	warnings []string // about what it names
}

// texts returns what people should look at.
func (r *reloaded) texts() []string {
	texts := []string{}
	for _, p := range r.problems {
		texts = append(texts, strings.ReplaceAll(p.String(), "\nhint: ", "; hint: "))
	}
	return append(texts, r.warnings...)
}

// reloadAnd reads everything again. It tells what has come of it before it moves the
// control socket.
func (n *node) reloadAnd(ctx context.Context, tell func(reloaded, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r, err := n.readAgain(ctx)
	if ctx.Err() == nil {
		n.auditReload(time.Now(), err)
	}
	if err == nil {
		n.events.add(control.Event{Time: time.Now().UTC(), Kind: eventReloaded})
	} else if ctx.Err() == nil {
		n.events.add(control.Event{Time: time.Now().UTC(), Kind: eventNotReloaded, Reason: err.Error()})
	}
	tell(r, err)
	if err == nil && !r.restarts {
		n.moveDoor(ctx)
	}
}

// readAgain reads the configuration and what it names, and uses it. n.mu is locked.
func (n *node) readAgain(ctx context.Context) (r reloaded, err error) {
	n.log.Log(ctx, logging.LevelNotice, "reloading the configuration...")
	echo(n.log, n.file)
	cfg, problems, err := conf.LoadClient(n.file)
	r.problems = problems
	for _, p := range problems {
		hint := p.Hint
		p.Hint = ""
		n.warn(p.String(), hint)
	}
	if err != nil {
		n.log.Error("The configuration cannot be used; nothing was changed", "err", err)
		return r, err
	}
	if cfg.User != n.parts.cfg.User {
		n.warn(cfg.File+": another user counts from the next start of the client on", "")
	}
	old := n.cfg
	if !n.parts.mustBeReplaced(cfg) {
		if err = n.apply(ctx, cfg, n.parts.client.Apply); err == nil {
			n.moveAudit(old, cfg)
		}
		return r, err
	}
	warn := func(msg, hint string) {
		n.warn(msg, hint)
		r.warnings = append(r.warnings, msg)
	}
	_, err = loadTrust(ctx, cfg, time.Now(), n.log, warn)
	if err == nil && n.parts.cfg.User != "" {
		err = mayReplace(cfg, tunDriver)
	}
	if err != nil {
		n.log.Error("The configuration cannot be used; nothing was changed", "err", err)
		return r, err
	}
	n.cfg = cfg
	n.moveAudit(old, cfg)
	n.replace(errReplaced)
	r.restarts = true
	return r, nil
}

// reloadOnRequest answers a request to read the configuration again.
func (n *node) reloadOnRequest(r *http.Request) (any, error) {
	type answer struct {
		reloaded reloaded
		err      error
	}
	answers := make(chan answer, 1)
	busy := &control.Error{Status: http.StatusServiceUnavailable, Text: "the client is just being started or stopped, or reads its configuration already",
		Advice: "ask again in a moment"}
	select {
	case n.errands <- func(ctx context.Context) {
		n.reloadAnd(ctx, func(r reloaded, err error) { answers <- answer{r, err} })
	}:
	case <-r.Context().Done():
		return nil, busy
	}
	var a answer
	select {
	case a = <-answers:
	case <-r.Context().Done():
		select {
		case a = <-answers: // that is why the request ends
		default:
			return nil, busy
		}
	}
	if a.err != nil {
		return nil, reloadError(a.reloaded, a.err)
	}
	return &control.Reload{Version: version.String(), Time: time.Now().UTC(), ConfigFile: n.file,
		Restarts: a.reloaded.restarts, Warnings: a.reloaded.texts()}, nil
}

// reloadError returns what a request is told whose configuration cannot be used: all that
// is wrong with it.
func reloadError(r reloaded, err error) error {
	text, hint, _ := strings.Cut(err.Error(), "\nhint: ")
	for _, p := range r.problems {
		if p.Severity == conf.Error {
			p.Hint = ""
			text += "; " + p.String()
		}
	}
	if hint == "" {
		hint = strings.Join(cli.Hints(err), "; ")
	}
	return &control.Error{Status: http.StatusUnprocessableEntity, Err: err, Text: "nothing was changed: " + text,
		Advice: cmp.Or(hint, "put it right and reload again; the client goes on as before")}
}
