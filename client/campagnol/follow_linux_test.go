package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"campagnol/internal/testenv/guide"
)

// A reader does on the hosts of a village what a document says: types its commands
// where they are to be typed, and holds the document to what they print.
type reader struct {
	*village
	g       *guide.Guide
	home    string // where commands are typed for which the document names no host
	invited guide.Invitations
	masks   []guide.Mask

	secret string // the pass phrase that is typed where a command asks for one; "": none does
	status int    // the exit status of the next commands
}

// readIn returns a reader of a document in a village.
func readIn(v *village, g *guide.Guide) *reader {
	return &reader{village: v, g: g, invited: guide.Invitations{}, masks: guide.Usual()}
}

// all does the commands that have not been done yet.
func (r *reader) all() {
	r.t.Helper()
	for c := range r.g.Commands() {
		r.do(c)
	}
}

// next does the next command, which has to begin with some words, and returns what it
// prints.
func (r *reader) next(words string) string {
	r.t.Helper()
	c := r.g.Next(r.t)
	if !strings.HasPrefix(c.Line, words) {
		r.t.Fatalf("%s:%d: the next command is %q, want %q: the test has to follow the document", r.g.Path, c.At, c.Line, words)
	}
	return r.do(c)
}

// through does the commands up to the first that begins with some words, that one
// included, and returns what that prints.
func (r *reader) through(words string) string {
	r.t.Helper()
	for c := range r.g.Commands() {
		if out := r.do(c); strings.HasPrefix(c.Line, words) {
			return out
		}
	}
	r.t.Fatalf("%s: no command begins with %q", r.g.Path, words)
	return ""
}

// do does a command, which has to succeed, and to print what the document shows. It
// returns what is printed.
func (r *reader) do(c guide.Command) string {
	r.t.Helper()
	host := cmp.Or(c.Host, r.home)
	if r.shells[host] == nil {
		r.t.Fatalf("%s:%d: there is no host %q to type %q on", r.g.Path, c.At, host, c.Line)
	}
	line := r.invited.Fill(r.t, host, c.Line)
	if strings.HasPrefix(line, "scp ") {
		r.scp(host, line)
		return ""
	}
	if to, ok := strings.CutPrefix(line, "ping -c 3 "); ok {
		r.answers(host, to)
	}
	if r.secret != "" {
		line = onTerminal(line, r.secret)
	}
	out, err := c.Answer(func() (string, error) { return r.ends(host, line) }, r.masks...)
	if err != nil {
		r.t.Fatalf("%s:%d: %v\n%s", r.g.Path, c.At, err, out)
	}
	r.g.Check(r.t, c, out, r.masks...)
	r.invited.Note(r.t, c.Line, out)
	return out
}

// ends runs a command line, which has to end with the reader's status.
func (r *reader) ends(host, line string) (string, error) {
	r.t.Helper()
	out, err := r.try(host, line)
	status := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		status, err = exit.ExitCode(), nil
	}
	if err == nil && status != r.status {
		err = fmt.Errorf("%q on %s: exit status %d, want %d", line, host, status, r.status)
	}
	return out, err
}

// answers waits until an address answers to pings: ping itself waits for ten seconds for
// the answer to its last one. If it never answers, ping says so.
func (r *reader) answers(host, addr string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), guide.Patience)
	defer cancel()
	if _, err := r.hosts[host].PingUntil(ctx, mustAddr(addr), 100*time.Millisecond); err != nil {
		r.t.Logf("%s does not reach %s: %v", host, addr, err)
	}
}

// onTerminal returns the command line that runs another one on a terminal, where
// somebody answers the question for a pass phrase.
func onTerminal(line, secret string) string {
	return `rm -f answer said; mkfifo answer
(while ! grep -qi 'pass phrase' said 2>/dev/null; do sleep 0.05; done; echo ` + secret + `) >answer &
script -qefc '` + strings.ReplaceAll(line, `'`, `'\''`) + `' said <answer`
}

// onDesk runs a command line in a folder of this machine, with our programs.
func onDesk(t *testing.T, dir, line string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CAMPAGNOL_CA=", "PATH="+binaries+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	t.Logf("$ %s\n%s", line, out)
	return string(out), err
}
