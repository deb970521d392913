package logging

import (
	"io"
	"log/slog"
)

// NewJournal returns a handler for a stream that ends in the journal of systemd: the
// lines of [NewText], each with the priority that the level stands for in front of it,
// as sd-daemon(3) has it, instead of "warning: " and "error: ".
func NewJournal(w io.Writer, level slog.Leveler) slog.Handler {
	return &textHandler{writers: &writers{out: w, errOut: w}, level: level, priorities: true}
}
