package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestProcessLivesInside(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	h := addHost(t, l, "h", nil)
	p := startHelper(t, h.Node, "where", "where")
	if err := p.Wait(testContext(t)); err != nil {
		t.Fatal(err)
	}
	line, err := p.Await(testContext(t), time.Time{}, Pattern{Message: "Here"})
	if err != nil {
		t.Fatal(err)
	}
	inside, err := inodeOf(h.Namespace())
	if err != nil {
		t.Fatal(err)
	}
	// JSON numbers are floats; the inode fits.
	if got, want := line.Attr("inode"), fmt.Sprint(float64(inside.ino)); got != want {
		t.Errorf("the process is in namespace %s, want %s", got, want)
	}
	if got := line.Attr("leads"); got != "true" {
		t.Errorf("the process leads its session: %s, want true", got)
	}
	if got, want := p.String(), "where on h"; got != want {
		t.Errorf("String = %q, want %q", got, want)
	}
	if got, want := p.LogPath(), l.Dir()+"/log/h-where.log"; got != want {
		t.Errorf("LogPath = %q, want %q", got, want)
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	h := addHost(t, l, "h", nil)
	for _, c := range []struct {
		helper string
		last   string // message of the log
		status string
	}{
		{"hold", "Ending", "exit status 0"},
		{"stubborn", "Holding", "signal: killed"},
	} {
		p := startHelper(t, h.Node, c.helper, c.helper)
		if _, err := p.Await(testContext(t), time.Time{}, Pattern{Message: "Holding"}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-p.Exited():
			t.Errorf("%v ended by itself", p)
		default:
		}
		for range 2 { // the second finds it ended
			if err := p.Stop(); err != nil {
				t.Errorf("stop %v: %v", p, err)
			}
		}
		if got := p.status(); got != c.status {
			t.Errorf("%v ended with %s, want %s", p, got, c.status)
		}
		lines, err := p.Log()
		if err != nil || len(lines) == 0 || lines[len(lines)-1].Message != c.last {
			t.Errorf("the log of %v is %v (%v), want %q at its end", p, lines, err, c.last)
		}
		if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("signal after the end: error %v, want %v", err, os.ErrProcessDone)
		}
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	h := addHost(t, l, "h", nil)
	failing := startHelper(t, h.Node, "fail", "fail")
	var exit *exec.ExitError
	if err := failing.Wait(testContext(t)); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("Wait = %v, want exit status 3", err)
	}
	want := "goroutine 1 [running]:\n"
	if got := failing.Tail(); !strings.HasPrefix(got, `{"time":`) || !strings.HasSuffix(got, want) {
		t.Errorf("the tail of the log is\n%swant a JSON line and at the end %q", got, want)
	}
	holding := startHelper(t, h.Node, "hold", "hold")
	ctx, cancel := context.WithTimeout(testContext(t), 20*ms)
	defer cancel()
	if err := holding.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait beyond its context = %v, want %v", err, context.DeadlineExceeded)
	}
}

func TestAwait(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	h := addHost(t, l, "h", nil)
	at := func(second int) time.Time { return time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC) }
	p := startHelper(t, h.Node, "say", "say",
		"not JSON, before any time",
		`{"time":"2026-01-01T00:00:01Z","msg":"tick","peer":"a"}`,
		"panic: has the time of the line before",
		`{"time":"2026-01-01T00:00:02Z","msg":"tick","peer":"b"}`,
		`{"time":"2026-01-01T00:00:03Z","msg":"tick","peer":"a"}`,
		`{"time":"2026-01-01T00:00:04Z","msg":"unfinished"}`,
	)
	for _, c := range []struct {
		name  string
		since time.Time
		match Pattern
		want  time.Time
	}{
		{"from the beginning", time.Time{}, Pattern{Message: "tick"}, at(1)},
		{"since its own time", at(1), Pattern{Message: "tick"}, at(1)},
		{"after that", at(1).Add(1), Pattern{Message: "tick"}, at(2)},
		{"by peer", at(2), Pattern{"tick", "a"}, at(3)},
		{"no JSON", at(1), Pattern{Message: "panic: has the time of the line before"}, at(1)},
		{"no time", time.Time{}, Pattern{Message: "not JSON, before any time"}, time.Time{}},
	} {
		got, err := p.Await(testContext(t), c.since, c.match)
		if err != nil || !got.Time.Equal(c.want) {
			t.Errorf("%s: %v, %v, want the line of %v", c.name, got, err, c.want)
		}
	}
	_, err := p.Await(testContext(t), at(4), Pattern{Message: "tick"})
	want := `lab: say on h ended (exit status 0) before it logged "tick"`
	if err == nil || err.Error() != want {
		t.Errorf("a line that never comes: error %v, want %s", err, want)
	}
	if got := p.Tail(); !strings.HasSuffix(got, `"unfinished"}`+"\n") || strings.Count(got, "\n") != 6 {
		t.Errorf("the tail is\n%swant all six lines", got)
	}
}

func TestAwaitEndsWithContext(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	p := startHelper(t, addHost(t, l, "h", nil).Node, "hold", "hold")
	ctx, cancel := context.WithTimeout(testContext(t), 20*ms)
	defer cancel()
	_, err := p.Await(ctx, time.Time{}, Pattern{Message: "never"})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `hold on h did not log "never" in time`) {
		t.Errorf("Await beyond its context: %v", err)
	}
}

func TestStartFailures(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	h := addHost(t, l, "h", nil)
	if _, err := h.Start("x", "/no/such/program"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that does not exist: error %v, want %v", err, os.ErrNotExist)
	}
	if _, err := h.Start("../x", os.Args[0]); err == nil {
		t.Error("a label that leaves the folder of logs is accepted")
	}
	startHelper(t, h.Node, "twice", "say", "x")
	if _, err := h.Start("twice", os.Args[0]); !errors.Is(err, os.ErrExist) {
		t.Errorf("a label used twice: error %v, want %v", err, os.ErrExist)
	}
}

// TestTailIsShort checks that only the end of a long log is shown, and that an
// empty one says so.
func TestTailIsShort(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	h := addHost(t, l, "h", nil)
	args := []string{"say"}
	for i := range 100 {
		args = append(args, fmt.Sprintf("line %d", i))
	}
	p := startHelper(t, h.Node, "long", append(args, "")...)
	if err := p.Wait(testContext(t)); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(p.Tail(), "\n"), "\n")
	if len(got) != tailLines || got[0] != "line 85" || got[tailLines-1] != "line 99" {
		t.Errorf("the tail is %q, want the last %d lines", got, tailLines)
	}
	silent := startHelper(t, h.Node, "silent", "say")
	if err := silent.Wait(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got, want := silent.Tail(), "(nothing)\n"; got != want {
		t.Errorf("the tail of an empty log is %q, want %q", got, want)
	}
}

// TestManyWait lets several goroutines wait for lines of one log while it grows.
func TestManyWait(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	p := startHelper(t, addHost(t, l, "h", nil).Node, "count", "count", "200")
	errs := make(chan error)
	const waiters = 8
	for i := range waiters {
		go func() {
			for n := i; n < 200; n += waiters {
				line, err := p.Await(testContext(t), time.Time{}, Pattern{Message: fmt.Sprintf("line %d.", n)})
				if err == nil && line.Attr("n") != fmt.Sprint(n) {
					err = fmt.Errorf("line %d has n=%s", n, line.Attr("n"))
				}
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range waiters {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if lines, err := p.Log(); err != nil || len(lines) != 200 {
		t.Errorf("the log has %d lines (%v), want 200", len(lines), err)
	}
}
