package main

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"campagnol/client"
	"campagnol/internal/control"
	"campagnol/internal/version"
)

const (
	// maxEvents is how many events are remembered. Anybody can cause some.
	maxEvents = 1000

	// maxWaiting is how many requests may wait for an event, of those that the
	// control socket serves at a time: others have to get through.
	maxWaiting = 8

	// maxEventText bounds each text of an event, in bytes: reasons repeat what others
	// have sent.
	maxEventText = 512
)

// Kinds of events that the node adds to those of the client.
const (
	eventReloaded    = "reloaded"
	eventNotReloaded = "not_reloaded"
)

// An eventRing remembers the last events. Its zero value is empty; it is safe for
// concurrent use.
type eventRing struct {
	mu      sync.Mutex
	list    []control.Event // the oldest first
	last    uint64          // number of the last one
	more    chan struct{}   // closed when there is another; nil: nobody waits
	waiting int
}

// add remembers an event, and gives it its number.
func (r *eventRing) add(e control.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	e.Number = r.last
	e.Name, e.Reason = shorten(e.Name), shorten(e.Reason)
	if len(r.list) >= 2*maxEvents { // now and then, so that most cost nothing
		r.list = append([]control.Event{}, r.list[len(r.list)-maxEvents:]...)
	}
	r.list = append(r.list, e)
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
}

// shorten bounds a text.
func shorten(s string) string {
	if len(s) <= maxEventText {
		return s
	}
	return s[:maxEventText] + "..."
}

// since returns the events after the one with a number, and whether some of them are
// forgotten. A number that was not given yet is one of before the client was started.
func (r *eventRing) since(number uint64) (list []control.Event, last uint64, missed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if number > r.last {
		number = 0
	}
	held := r.list[max(0, len(r.list)-maxEvents):]
	fresh := r.last - number
	missed = fresh > uint64(len(held))
	fresh = min(fresh, uint64(len(held)))
	return append([]control.Event{}, held[uint64(len(held))-fresh:]...), r.last, missed
}

// wait waits until there is an event after the one with a number, or ctx is done. If too
// many wait already, it does not.
func (r *eventRing) wait(ctx context.Context, number uint64) {
	r.mu.Lock()
	if number != r.last || r.waiting >= maxWaiting {
		r.mu.Unlock()
		return
	}
	if r.more == nil {
		r.more = make(chan struct{})
	}
	more := r.more
	r.waiting++
	r.mu.Unlock()
	select {
	case <-more:
	case <-ctx.Done():
	}
	r.mu.Lock()
	r.waiting--
	r.mu.Unlock()
}

// noteEvent remembers what the client tells, and tells the audit trail.
func (n *node) noteEvent(e client.Event) {
	now := time.Now().UTC()
	if r, ok := auditRecord(now, &e); ok {
		n.trail.Record(r)
	}
	if e.Kind == client.EventSpoofed || e.Kind == client.EventFiltered {
		return // the counters of the peer tell people
	}
	n.events.add(control.Event{
		Time: now, Kind: string(e.Kind), VPNAddress: e.VPNAddr, Name: e.Name,
		Address: e.Addr, Before: e.Before, Code: e.Code, Reason: e.Reason,
	})
}

// tellEvents answers a request for what has happened.
func (n *node) tellEvents(r *http.Request) (any, error) {
	q := r.URL.Query()
	var since uint64
	var wait time.Duration
	var err error
	if text := q.Get("since"); text != "" {
		since, err = strconv.ParseUint(text, 10, 64)
	}
	if text := q.Get("wait"); text != "" && err == nil {
		wait, err = seconds(text, control.MaxEventWait)
	}
	if err != nil {
		return nil, &control.Error{Status: http.StatusBadRequest, Text: "the request for events is not understood: " + err.Error(),
			Advice: "since is the number of an event, wait a number of seconds up to 20: ?since=0&wait=10"}
	}
	if wait > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		n.events.wait(ctx, since)
		cancel()
	}
	list, last, missed := n.events.since(since)
	return &control.Events{Version: version.String(), Time: time.Now().UTC(), Started: n.started.UTC(), Next: last, Missed: missed, Events: list}, nil
}
