package logging

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// NewSyslog returns a handler that sends records to the system's log daemon,
// with the facility "daemon", the name of the program, its process ID, and the
// priority that the level stands for. The text is that of [NewText], without
// "warning: " and "error: ".
//
// Where there is no log daemon, messages are lost without complaint, and it is
// looked for again from time to time. A log daemon that does not read its
// messages holds us up for about a tenth of a second in each second: unlike
// log/syslog, which would wait for ever.
func NewSyslog(program string, level slog.Leveler) slog.Handler {
	return newSyslog(program, level, syslogSockets)
}

// syslogSockets are where log daemons listen.
var syslogSockets = []string{"/dev/log", "/var/run/syslog", "/var/run/log"}

func newSyslog(program string, level slog.Leveler, sockets []string) *syslogHandler {
	return &syslogHandler{
		syslogConn: &syslogConn{sockets: sockets},
		tag:        tagOf(program),
		level:      level,
	}
}

const (
	// maxSyslog is the most that is sent in one message. RFC 5424 section 6.1
	// has receivers take 2048 bytes; those in use take 8 KiB.
	maxSyslog = 8 << 10

	// syslogWait is how long a message may wait for the log daemon.
	syslogWait = 100 * time.Millisecond

	// syslogRetry is how long we do without after a failure.
	syslogRetry = time.Second
)

// syslogHandler is shared by all loggers that are derived from it except for
// its scope.
type syslogHandler struct {
	*syslogConn
	tag   string
	level slog.Leveler
	scope scope
}

// syslogConn is the connection with the log daemon. It is safe for concurrent
// use.
type syslogConn struct {
	sockets []string // paths to try

	mu       sync.Mutex
	conn     net.Conn // nil: not connected
	stream   bool     // conn does not keep messages apart
	failedAt time.Time
}

func (h *syslogHandler) Enabled(_ context.Context, l slog.Level) bool {
	return l >= h.level.Level()
}

func (h *syslogHandler) Handle(_ context.Context, r slog.Record) error {
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	b := appendHead(make([]byte, 0, 256), FacilityDaemon<<3|severity(r.Level), r.Time, h.tag)
	b = h.scope.appendLine(b, r)
	h.send(r.Time, b[:min(len(b), maxSyslog)])
	return nil
}

func (h *syslogHandler) WithAttrs(as []slog.Attr) slog.Handler {
	c := *h
	c.scope = h.scope.withAttrs(as)
	return &c
}

func (h *syslogHandler) WithGroup(name string) slog.Handler {
	c := *h
	c.scope = h.scope.withGroup(name)
	return &c
}

// severity returns the syslog severity of a level (RFC 5424 section 6.2.1).
func severity(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3 // error
	case l >= slog.LevelWarn:
		return 4 // warning
	case l >= LevelNotice:
		return 5 // notice
	case l >= slog.LevelInfo:
		return 6 // informational
	}
	return 7 // debug
}

// send sends one message, and reports whether somebody has taken it. A connection that
// fails is replaced once: the log daemon may have been restarted.
func (c *syslogConn) send(now time.Time, msg []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.failedAt.IsZero() && now.Sub(c.failedAt) < syslogRetry {
		return false
	}
	for range 2 {
		if c.conn == nil && !c.dial() {
			break
		}
		err := c.write(msg)
		if err == nil {
			c.failedAt = time.Time{}
			return true
		}
		c.conn.Close()
		c.conn = nil
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	c.failedAt = now
	return false
}

func (c *syslogConn) write(msg []byte) error {
	if c.stream {
		msg = append(msg, '\n')
	}
	// The deadline is the kernel's business, not that of our clock.
	if err := c.conn.SetWriteDeadline(time.Now().Add(syslogWait)); err != nil {
		return err
	}
	_, err := c.conn.Write(msg)
	return err
}

// dial connects to the first socket that takes us.
func (c *syslogConn) dial() bool {
	for _, network := range []string{"unixgram", "unix"} {
		for _, path := range c.sockets {
			conn, err := net.DialTimeout(network, path, syslogWait)
			if err == nil {
				c.conn, c.stream = conn, network == "unix"
				return true
			}
		}
	}
	return false
}
