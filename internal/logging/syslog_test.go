package logging

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// listen opens a log daemon's socket.
func listen(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// next returns the next message at conn.
func next(t *testing.T, conn net.Conn) string {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 64<<10)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestSyslog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	conn := listen(t, path)
	h := newSyslog("campagnol_rdv", LevelPacket, []string{path + ".absent", path})
	log := slog.New(h).With("a", 1).WithGroup("g")
	for _, c := range levels {
		log.Log(t.Context(), c.level, "Session timeout: {g.peer}", "peer", "10.9.0.2", "k", "x\ny")
		want := fmt.Sprintf(`^%s[A-Z][a-z][a-z] [ 0-9][0-9] \d\d:\d\d:\d\d campagnol_rdv\[%d\]: Session timeout: 10\.9\.0\.2 a=1 g\.k="x\\ny"$`,
			c.priority, os.Getpid())
		if got := next(t, conn); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s: message %q does not match %q", c.name, got, want)
		}
	}
}

func TestSyslogLevel(t *testing.T) {
	var level slog.LevelVar
	level.Set(LevelNotice)
	h := newSyslog("x", &level, nil)
	if h.Enabled(t.Context(), slog.LevelInfo) || !h.Enabled(t.Context(), LevelNotice) {
		t.Error("at LevelNotice, Info must be off and Notice on")
	}
	level.Set(slog.LevelDebug)
	if !h.Enabled(t.Context(), slog.LevelDebug) {
		t.Error("a change of the level has no effect")
	}
}

func TestSyslogLongMessage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	conn := listen(t, path)
	slog.New(newSyslog("x", LevelNotice, []string{path})).Error(strings.Repeat("a", 20000))
	if got := next(t, conn); len(got) != maxSyslog {
		t.Errorf("a long message has %d bytes, want %d", len(got), maxSyslog)
	}
}

// TestSyslogAbsent logs into the void, then finds a daemon that has started,
// then one that was restarted.
func TestSyslogAbsent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	h := newSyslog("x", LevelNotice, []string{path})
	now := time.Now()
	send := func(after time.Duration, msg string) {
		t.Helper()
		now = now.Add(after)
		if err := h.Handle(t.Context(), slog.NewRecord(now, slog.LevelError, msg, 0)); err != nil {
			t.Errorf("%s: %v", msg, err)
		}
	}
	send(0, "lost")
	conn := listen(t, path)
	send(syslogRetry-1, "lost, too soon to look again")
	send(1, "found")
	if got := next(t, conn); !strings.HasSuffix(got, ": found") {
		t.Errorf("got %q, want the message after the pause", got)
	}

	conn.Close()
	os.Remove(path)
	conn = listen(t, path)
	send(0, "restarted")
	if got := next(t, conn); !strings.HasSuffix(got, ": restarted") {
		t.Errorf("got %q, want the message after the restart", got)
	}
}

// TestSyslogStuck fills the socket of a daemon that does not read.
func TestSyslogStuck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	listen(t, path)
	h := newSyslog("x", LevelNotice, []string{path})
	start := time.Now()
	for range 10000 { // far more than the queue of any socket
		h.Handle(t.Context(), slog.NewRecord(start, slog.LevelError, "m", 0))
	}
	// One time out, then nothing is tried as long as the record's time stands
	// still. Waiting for ever would run into the test's own limit.
	if h.failedAt != start {
		t.Errorf("failure noted at %v, want %v", h.failedAt, start)
	}
}

func TestSyslogStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h := newSyslog("x", LevelNotice, []string{path})
	slog.New(h).Error("over a stream")
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := next(t, conn); !strings.HasSuffix(got, ": over a stream\n") {
		t.Errorf("got %q, want the message and a line end", got)
	}
}

// TestNewSyslog checks that a logger for a system without log daemon works.
func TestNewSyslog(t *testing.T) {
	log := New(Options{Program: "x", Syslog: true})
	if log.Enabled(t.Context(), slog.LevelInfo) {
		t.Error("Info is shown by default")
	}
	if _, ok := log.Handler().(*syslogHandler); !ok {
		t.Errorf("handler is a %T", log.Handler())
	}
}
