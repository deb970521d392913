// Package logging is how both programs talk to people and to log collectors:
// handlers for [log/slog] that write plain text, JSON or syslog messages, and
// the levels that the command line selects.
//
// The text of Campagnol 0.3.5 is kept, because scripts search for it, without
// giving up constant messages and typed attributes. A message may name its
// attributes in braces:
//
//	log.Info("New connection from {asker} to {asked}", "asker", a, "asked", b)
//
// The text and syslog handlers put the values in place, and the JSON handler
// leaves the message as it is, so that it can be grouped by. See [NewText].
//
// Lines of text that systemd's journal reads have their priority before them.
//
// It knows nothing of the rest of the module but internal/journal, and may be used by
// every package.
package logging

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"campagnol/internal/journal"
)

// The levels that slog does not have. Together with slog's they are, from the
// least to the most frequent: Error (we stop), Warn (someone should look),
// Notice, Info (once per peer and change of state), Debug (control messages),
// Packet.
const (
	LevelNotice = slog.Level(2)       // always shown; the original's level 0
	LevelPacket = slog.LevelDebug - 4 // contents of packets
)

// Level returns the least level that is shown: LevelNotice, with verbose (-v)
// Info, with debug 1 (-d) Debug, and with debug 2 or more (-d -d) LevelPacket.
func Level(verbose bool, debug int) slog.Level {
	switch {
	case debug >= 2:
		return LevelPacket
	case debug == 1:
		return slog.LevelDebug
	case verbose:
		return slog.LevelInfo
	}
	return LevelNotice
}

// A Format is the form of what is written to standard output and error. Its
// zero value is Text. *Format is a flag value for the command line.
type Format uint8

// The formats.
const (
	Text Format = iota
	JSON
)

// String returns the name of the format on the command line.
func (f Format) String() string {
	if f == JSON {
		return "json"
	}
	return "text"
}

// Set takes the name of a format.
func (f *Format) Set(name string) error {
	switch name {
	case "text":
		*f = Text
	case "json":
		*f = JSON
	default:
		return fmt.Errorf("the format is text or json, not %q", name)
	}
	return nil
}

// Type names the kind of value in help texts.
func (*Format) Type() string { return "text|json" }

// Options says where the log goes.
type Options struct {
	// Program is the name that syslog messages carry.
	Program string

	// Level is the least level that is shown; nil means LevelNotice. A
	// *slog.LevelVar can be changed while the program runs.
	Level slog.Leveler

	// Syslog sends everything to the system's log, as text, instead of
	// standard output and error, which a daemon does not have.
	Syslog bool

	// Format is the form of what goes to Stdout and Stderr.
	Format Format

	// Stdout takes messages below Warn, Stderr those from Warn on. nil means
	// os.Stdout and os.Stderr. If both are nil, and systemd says that the second
	// one is the journal, text goes there with its priority.
	Stdout, Stderr io.Writer
}

// New returns the logger that o describes. If that uses the process's standard
// output or error, the process survives from then on that one of them is a
// closed pipe; the messages are lost.
func New(o Options) *slog.Logger {
	if o.Level == nil {
		o.Level = LevelNotice
	}
	forJournal := o.Stdout == nil && o.Stderr == nil && journal.Reads(os.Stderr)
	if o.Stdout == nil {
		o.Stdout = os.Stdout
		survivePipes()
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
		survivePipes()
	}
	switch {
	case o.Syslog:
		return slog.New(NewSyslog(o.Program, o.Level))
	case o.Format == JSON:
		return slog.New(NewJSON(o.Stdout, o.Stderr, o.Level))
	case forJournal:
		return slog.New(NewJournal(o.Stderr, o.Level))
	}
	return slog.New(NewText(o.Stdout, o.Stderr, o.Level))
}

// survivePipes makes a write to a closed standard output fail instead of ending
// the process. Nobody reads the channel. SIGPIPE is not simply ignored, since
// the programs that we start would inherit that.
var survivePipes = sync.OnceFunc(func() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
})
