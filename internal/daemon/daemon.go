// Package daemon is what a program of ours needs to run as a service: going to
// the background, a pid file, telling systemd, locking memory. It knows nothing
// of the rest of the module.
//
// # The background
//
// A Go program cannot fork, since only the calling thread would survive. So
// [Background] starts the program again, in a session of its own and without
// terminal, and the two talk over a pipe:
//
//	first process                        second process, same arguments
//	     │── start, with a pipe ───────────▶│  Background returns a *Child
//	     │                                  │  reads files, opens sockets …
//	     │◀─────────────── Warn (any time) ─│
//	     │◀──────────────────── Ready(err) ─│
//	     │  exits: 0 if err was nil         │  serves, or exits
//
// The user sees every error of the start and gets an exit status that tells the
// truth. Memory locks are not inherited, so they are to be taken in the second
// process, after Background.
package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Options says how Background talks to the user.
type Options struct {
	// Stdout is where "Going in background..." goes; nil means os.Stdout.
	Stdout io.Writer

	// Warn is given warnings of the background process while it starts; nil
	// ignores them.
	Warn func(msg string)
}

// A Child is the background process's end of the pipe. Its methods may be
// called on a nil *Child, as in a process that stays in the foreground, and do
// nothing then. They are safe for concurrent use.
type Child struct {
	mu   sync.Mutex
	pipe *os.File // nil after Ready
}

// A report is one message over the pipe, a JSON object.
type report struct {
	Warning string `json:"warning,omitempty"`
	Ready   bool   `json:"ready,omitempty"`
	Error   string `json:"error,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// Warn has the first process tell the user msg, if it is still there.
func (c *Child) Warn(msg string) { c.send(report{Warning: msg}, false) }

// Ready ends the first process: successfully if err is nil, else with err and
// its hint, if err has a method Hint() string, and exit status 1. Later calls
// do nothing.
func (c *Child) Ready(err error) {
	r := report{Ready: err == nil}
	if err != nil {
		r.Error = err.Error()
		var h interface {
			error
			Hint() string
		}
		if errors.As(err, &h) {
			r.Hint = h.Hint()
		}
	}
	c.send(r, true)
}

func (c *Child) send(r report, last bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pipe == nil {
		return
	}
	if b, err := json.Marshal(r); err == nil {
		// It fails if the first process was killed, which is no reason to
		// stop.
		c.pipe.Write(append(b, '\n'))
	}
	if last {
		c.pipe.Close()
		c.pipe = nil
	}
}

// A StartError is an error of the background process.
type StartError struct {
	msg, hint string
}

func (e *StartError) Error() string { return e.msg }

// Hint returns what to do about it, or "".
func (e *StartError) Hint() string { return e.hint }

// errSilent means that the background process has ended without a word.
var errSilent = errors.New("the process in the background ended before it was ready")

// maxReport bounds what a background process may say.
const maxReport = 1 << 20

// await reads reports until the one that says how the start went, and returns
// nil, a *StartError, or errSilent.
func await(r io.Reader, warn func(string)) error {
	for d := json.NewDecoder(io.LimitReader(r, maxReport)); ; {
		var rep report
		if err := d.Decode(&rep); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return err
			}
			return errSilent
		}
		switch {
		case rep.Ready:
			return nil
		case rep.Error != "":
			return &StartError{rep.Error, rep.Hint}
		case rep.Warning != "" && warn != nil:
			warn(rep.Warning)
		}
	}
}

// announce tells the user, in the words of the original.
func announce(w io.Writer) {
	if w == nil {
		w = os.Stdout
	}
	fmt.Fprintln(w, "Going in background...")
}
