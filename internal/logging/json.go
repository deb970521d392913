package logging

import (
	"context"
	"io"
	"log/slog"
)

// NewJSON returns a handler that writes one JSON object a line, with the time:
// to out below Warn, and to errOut from Warn on. Levels are named PACKET,
// DEBUG, INFO, NOTICE, WARN and ERROR.
func NewJSON(out, errOut io.Writer, level slog.Leveler) slog.Handler {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: nameLevel}
	return jsonHandler{slog.NewJSONHandler(out, o), slog.NewJSONHandler(errOut, o)}
}

// jsonHandler sends a record to one of two handlers.
type jsonHandler struct{ out, errOut slog.Handler }

func (h jsonHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.out.Enabled(ctx, l)
}

func (h jsonHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		return h.errOut.Handle(ctx, r)
	}
	return h.out.Handle(ctx, r)
}

func (h jsonHandler) WithAttrs(as []slog.Attr) slog.Handler {
	return jsonHandler{h.out.WithAttrs(as), h.errOut.WithAttrs(as)}
}

func (h jsonHandler) WithGroup(name string) slog.Handler {
	return jsonHandler{h.out.WithGroup(name), h.errOut.WithGroup(name)}
}

// nameLevel gives the levels of this package names instead of INFO+2.
func nameLevel(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 || a.Key != slog.LevelKey {
		return a
	}
	if l, ok := a.Value.Any().(slog.Level); ok {
		switch l {
		case LevelNotice:
			a.Value = slog.StringValue("NOTICE")
		case LevelPacket:
			a.Value = slog.StringValue("PACKET")
		}
	}
	return a
}
