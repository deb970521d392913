package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// recentLine is how long a line is that a [Recent] keeps, in bytes; what is longer is cut.
const recentLine = 1024

// A Recent keeps the last lines of a log in memory, in the form that [NewText] describes,
// with time and level before them. It has more than what is shown: Info and above, and what
// else is enabled. It is safe for concurrent use.
type Recent struct {
	mu    sync.Mutex
	lines []string
	next  int // the place of the oldest, once all are in use
	limit int
}

// NewRecent returns a Recent for so many lines.
func NewRecent(lines int) *Recent { return &Recent{limit: lines} }

// Handler returns a handler that keeps what it hands on to next.
func (r *Recent) Handler(next slog.Handler) slog.Handler { return &recentHandler{to: r, next: next} }

// Lines returns what is kept, the oldest first.
func (r *Recent) Lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(append(make([]string, 0, len(r.lines)), r.lines[r.next:]...), r.lines[:r.next]...)
}

func (r *Recent) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) < r.limit {
		r.lines = append(r.lines, line)
		return
	}
	if r.limit > 0 {
		r.lines[r.next] = line
		r.next = (r.next + 1) % r.limit
	}
}

// A recentHandler keeps records.
type recentHandler struct {
	to    *Recent
	next  slog.Handler
	scope scope
}

// Enabled reports whether the record is shown or kept.
func (h *recentHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || h.next.Enabled(ctx, level)
}

// Handle keeps a record, and hands it on if it is to be shown.
func (h *recentHandler) Handle(ctx context.Context, rec slog.Record) error {
	b := rec.Time.UTC().AppendFormat(nil, time.RFC3339Nano)
	b = append(b, ' ')
	b = append(b, LevelName(rec.Level)...)
	b = append(b, ' ')
	b = h.scope.appendLine(b, rec)
	h.to.add(string(b[:min(len(b), recentLine)]))
	if !h.next.Enabled(ctx, rec.Level) {
		return nil
	}
	return h.next.Handle(ctx, rec)
}

// WithAttrs returns a handler that adds attributes.
func (h *recentHandler) WithAttrs(as []slog.Attr) slog.Handler {
	return &recentHandler{to: h.to, next: h.next.WithAttrs(as), scope: h.scope.withAttrs(as)}
}

// WithGroup returns a handler that puts the attributes to come into a group.
func (h *recentHandler) WithGroup(name string) slog.Handler {
	return &recentHandler{to: h.to, next: h.next.WithGroup(name), scope: h.scope.withGroup(name)}
}
