package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/logging"
	"campagnol/internal/version"
)

// A normalLevel is what is logged unless another level was asked for, for a while.
type normalLevel struct {
	mu      sync.Mutex
	level   slog.Level
	until   time.Time     // when it is used again; zero: it is used
	changed chan struct{} // until was; has room for one
}

// setLevel changes what is logged, until a moment; the zero Time: for good.
func (n *node) setLevel(level slog.Level, until time.Time) {
	l := &n.normal
	l.mu.Lock()
	defer l.mu.Unlock()
	if until.IsZero() {
		l.level = level
	}
	l.until = until
	n.level.Set(level)
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// restoreLevel logs as before once another level has had its time. It returns how long
// that is still; 0: there is no other.
func (n *node) restoreLevel(now time.Time) (left time.Duration) {
	l := &n.normal
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until.IsZero() {
		return 0
	}
	if left = l.until.Sub(now); left > 0 {
		return left
	}
	l.until = time.Time{}
	n.level.Set(l.level)
	n.log.Log(context.Background(), logging.LevelNotice, "The log level is {level} again", "level", logging.LevelName(l.level))
	return 0
}

// keepLevel logs as before when another level has had its time, until ctx is done.
func (n *node) keepLevel(ctx context.Context) {
	for {
		var timeout <-chan time.Time
		var timer *time.Timer
		if left := n.restoreLevel(time.Now()); left > 0 {
			timer = time.NewTimer(left)
			timeout = timer.C
		}
		select {
		case <-timeout:
		case <-n.normal.changed:
		case <-ctx.Done():
		}
		if timer != nil {
			timer.Stop()
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// levelDocument returns what the control socket tells of the level.
func (n *node) levelDocument(now time.Time) *control.LogLevel {
	l := &n.normal
	l.mu.Lock()
	defer l.mu.Unlock()
	d := &control.LogLevel{Version: version.String(), Time: now.UTC(), Level: logging.LevelName(n.level.Level()), Normal: logging.LevelName(l.level)}
	if !l.until.IsZero() {
		d.Until = l.until.UTC()
	}
	return d
}

// tellLevel answers a request what is logged.
func (n *node) tellLevel(*http.Request) (any, error) { return n.levelDocument(time.Now()), nil }

// changeLevel answers a request to log more or less.
func (n *node) changeLevel(r *http.Request) (any, error) {
	q := r.URL.Query()
	level, err := logging.ParseLevel(q.Get("level"))
	if err != nil {
		return nil, &control.Error{Status: http.StatusBadRequest, Text: err.Error(),
			Advice: "the levels are " + strings.Join(logging.LevelNames(), ", ") + ", of which each shows more than the one before"}
	}
	now := time.Now()
	var until time.Time
	if text := q.Get("seconds"); text != "" {
		during, err := seconds(text, control.MaxLogTime)
		if err != nil || during == 0 {
			return nil, &control.Error{Status: http.StatusBadRequest,
				Text:   fmt.Sprintf("%q is not a time for which another level can be used", text),
				Advice: fmt.Sprintf("a number of seconds up to %d; without it the level is for good", int(control.MaxLogTime.Seconds()))}
		}
		until = now.Add(during)
	}
	n.setLevel(level, until)
	attrs := []any{"level", logging.LevelName(level)}
	if !until.IsZero() {
		attrs = append(attrs, "until", until)
	}
	n.log.Log(r.Context(), logging.LevelNotice, "The log level is {level} now", attrs...)
	return n.levelDocument(now), nil
}

// seconds parses a number of seconds from 0 to a maximum.
func seconds(text string, most time.Duration) (time.Duration, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > most.Seconds() {
		return 0, fmt.Errorf("%q is not a number of seconds from 0 to %v", text, most.Seconds())
	}
	return time.Duration(f * float64(time.Second)), nil
}
