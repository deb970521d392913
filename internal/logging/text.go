package logging

import (
	"context"
	"io"
	"log/slog"
	"sync"
)

// NewText returns a handler that writes for people, one line a record and
// without time: to out below Warn, and from Warn on to errOut, where a line
// starts with "warning: " or "error: ".
//
// A line is the message followed by " key=value" for each attribute. Two kinds
// of attribute are written otherwise:
//
//   - The value of one that the message names in braces takes the place of the
//     braces.
//   - The value of the one with the key "peer" comes without key right after
//     the message: "Session timeout" with peer 10.9.0.2 becomes "Session
//     timeout 10.9.0.2".
//
// Values may come from the network. Control characters, line ends and
// invisible characters are escaped everywhere, and a value with blanks, quotes
// or an equals sign is quoted after its key. A value inside a message is not
// quoted; it should be of a kind that cannot contain blanks, as an address.
func NewText(out, errOut io.Writer, level slog.Leveler) slog.Handler {
	return &textHandler{writers: &writers{out: out, errOut: errOut}, level: level}
}

// textHandler is shared by all loggers that are derived from it except for
// its scope.
type textHandler struct {
	*writers
	level slog.Leveler
	scope scope

	priorities bool // in front of lines: see NewJournal
}

// writers are the two streams; mu keeps lines whole, also where both are the
// same file.
type writers struct {
	mu          sync.Mutex
	out, errOut io.Writer
}

func (h *textHandler) Enabled(_ context.Context, l slog.Level) bool {
	return l >= h.level.Level()
}

func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	w := h.out
	b := make([]byte, 0, 256)
	switch {
	case h.priorities:
		b = append(b, '<', byte('0'+severity(r.Level)), '>')
	case r.Level >= slog.LevelError:
		w, b = h.errOut, append(b, "error: "...)
	case r.Level >= slog.LevelWarn:
		w, b = h.errOut, append(b, "warning: "...)
	}
	// Outside the lock: a value's String method may log, too.
	b = append(h.scope.appendLine(b, r), '\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := w.Write(b)
	return err
}

func (h *textHandler) WithAttrs(as []slog.Attr) slog.Handler {
	c := *h
	c.scope = h.scope.withAttrs(as)
	return &c
}

func (h *textHandler) WithGroup(name string) slog.Handler {
	c := *h
	c.scope = h.scope.withGroup(name)
	return &c
}
