package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Times of a process.
const (
	stopPatience = 3 * time.Second      // from SIGTERM to SIGKILL
	logPoll      = 5 * time.Millisecond // between two looks at a growing log
	tailLines    = 15                   // of a log that are shown with an error
)

// A Process is a program inside a node's namespace. Everything it prints goes
// to a file, so that it survives the program that made the lab. It is safe for
// concurrent use.
type Process struct {
	node    *Node
	label   string
	cmd     *exec.Cmd
	logPath string
	exited  chan struct{} // closed at the end, after err is set
	err     error         // how it ended; nil is status 0

	mu     sync.Mutex // protects the following
	read   int64      // of the log so far, in bytes
	rest   []byte     // a line whose end is not written yet
	lines  []LogLine
	raw    []string // the same lines as text
	latest time.Time
}

// Start runs a program inside the node's namespace. The label names it in
// messages and its log, and must be unique on the node. The program begins a
// session of its own: signals of the terminal do not reach it. It ends with
// [Process.Stop] or with the lab.
func (n *Node) Start(label, path string, args ...string) (*Process, error) {
	if err := checkName(label); err != nil {
		return nil, err
	}
	n.lab.mu.Lock()
	defer n.lab.mu.Unlock()
	if n.lab.ended {
		return nil, os.ErrClosed
	}
	dir, err := n.lab.logDir()
	if err != nil {
		return nil, err
	}
	p := &Process{
		node: n, label: label,
		cmd:     exec.Command(path, args...),
		logPath: filepath.Join(dir, n.name+"-"+label+".log"),
		exited:  make(chan struct{}),
	}
	out, err := os.OpenFile(p.logPath, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lab: log of %s: %w", label, err)
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Dir = n.lab.Dir()
	p.cmd.Env = append(p.cmd.Environ(), n.lab.env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := n.ns.do(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("lab: start %s on %s: %w", label, n.name, err)
	}
	n.lab.procs = append(n.lab.procs, p)
	go p.reap()
	return p, nil
}

// reap waits for the end of the process; it ends with it.
func (p *Process) reap() {
	p.err = p.cmd.Wait()
	close(p.exited)
}

// String returns the label and the node.
func (p *Process) String() string { return p.label + " on " + p.node.name }

// PID returns the identifier of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// LogPath returns the file that the process prints to.
func (p *Process) LogPath() string { return p.logPath }

// Exited returns a channel that is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Wait waits for the end of the process and returns how it ended: nil for
// status 0, else an *exec.ExitError, or the error of the context if that ends
// first.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.exited:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("lab: %v runs on: %w", p, ctx.Err())
	}
}

// Signal sends a signal. It returns os.ErrProcessDone after the end.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Stop ends the process with SIGTERM or, if that has no effect within three
// seconds, with SIGKILL, and waits for its end. It is no error if the process
// has ended already.
func (p *Process) Stop() error {
	for _, s := range []struct {
		signal   os.Signal
		patience time.Duration
	}{{syscall.SIGTERM, stopPatience}, {syscall.SIGKILL, killPatience}} {
		if err := p.Signal(s.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("lab: stop %v: %w", p, err)
		}
		timeout := time.NewTimer(s.patience)
		defer timeout.Stop()
		select {
		case <-p.exited:
			return nil
		case <-timeout.C:
		}
	}
	return fmt.Errorf("lab: %v does not end within %v of SIGKILL", p, killPatience)
}

// Await returns the first line of the log from since on that matches; the zero
// time takes the log from its beginning. It waits for the line until the
// context ends, or the process does.
func (p *Process) Await(ctx context.Context, since time.Time, match Pattern) (LogLine, error) {
	ticker := time.NewTicker(logPoll)
	defer ticker.Stop()
	for seen := 0; ; {
		// Whether it has ended is asked before the log is read: what it wrote
		// last is there then.
		ended := false
		select {
		case <-p.exited:
			ended = true
		default:
		}
		lines, err := p.Log()
		if err != nil {
			return LogLine{}, err
		}
		for _, l := range lines[seen:] {
			if !l.Time.Before(since) && match.Matches(l) {
				return l, nil
			}
		}
		seen = len(lines)
		if ended {
			return LogLine{}, fmt.Errorf("lab: %v ended (%s) before it logged %v", p, p.status(), match)
		}
		select {
		case <-ctx.Done():
			return LogLine{}, fmt.Errorf("lab: %v did not log %v in time: %w", p, match, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

// status describes how the process ended.
func (p *Process) status() string {
	if p.err == nil {
		return "exit status 0"
	}
	return p.err.Error()
}

// Log returns the lines that the process has written so far. Lines without a
// time have that of the line before.
func (p *Process) Log() ([]LogLine, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.readLocked(); err != nil {
		return nil, fmt.Errorf("lab: log of %v: %w", p, err)
	}
	return p.lines[:len(p.lines):len(p.lines)], nil
}

// readLocked reads what is new in the log.
func (p *Process) readLocked() error {
	f, err := os.Open(p.logPath)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || fi.Size() <= p.read {
		return err
	}
	fresh := make([]byte, fi.Size()-p.read)
	n, err := f.ReadAt(fresh, p.read)
	p.read += int64(n)
	p.rest = append(p.rest, fresh[:n]...)
	for {
		line, rest, found := bytes.Cut(p.rest, []byte("\n"))
		if !found {
			return err
		}
		p.rest = rest
		p.addLocked(line)
	}
}

// addLocked adds a line.
func (p *Process) addLocked(line []byte) {
	l := ParseLogLine(line)
	if l.Time.IsZero() {
		l.Time = p.latest
	}
	p.latest = l.Time
	p.lines = append(p.lines, l)
	p.raw = append(p.raw, string(line))
}

// Tail returns the last lines of the log as they are, for people to read.
func (p *Process) Tail() string {
	if _, err := p.Log(); err != nil {
		return err.Error()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var b bytes.Buffer
	for _, line := range p.raw[max(0, len(p.raw)-tailLines):] {
		fmt.Fprintln(&b, line)
	}
	if len(p.rest) > 0 {
		fmt.Fprintf(&b, "%s\n", p.rest)
	}
	if b.Len() == 0 {
		return "(nothing)\n"
	}
	return b.String()
}
