package logging

import (
	"os"
	"strconv"
	"time"
)

// Facilities of messages (RFC 5424 section 6.2.1).
const (
	FacilityDaemon   = 3
	FacilityAuthPriv = 10 // what not everybody may read
)

// A SyslogSender sends texts to the system's log daemon as they are, for those who have
// their own form of them. It is safe for concurrent use.
type SyslogSender struct {
	conn     syslogConn
	facility int
	tag      string
}

// NewSyslogSender returns a SyslogSender that sends with a facility, the name of the
// program and its process ID.
func NewSyslogSender(program string, facility int) *SyslogSender {
	return newSyslogSender(program, facility, syslogSockets)
}

func newSyslogSender(program string, facility int, sockets []string) *SyslogSender {
	return &SyslogSender{conn: syslogConn{sockets: sockets}, facility: facility, tag: tagOf(program)}
}

// tagOf returns what is before the text of a program's messages.
func tagOf(program string) string { return program + "[" + strconv.Itoa(os.Getpid()) + "]: " }

// Send sends a text with a severity (RFC 5424 section 6.2.1), and reports whether the log
// daemon has taken it. It waits for a tenth of a second at most, and for a second after
// that not at all. The text has no line end.
func (s *SyslogSender) Send(now time.Time, severity int, text string) bool {
	b := appendHead(make([]byte, 0, 64+len(s.tag)+len(text)), s.facility<<3|severity, now, s.tag)
	b = append(b, text...)
	return s.conn.send(now, b[:min(len(b), maxSyslog)])
}

// Close ends the connection.
func (s *SyslogSender) Close() error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.conn.conn == nil {
		return nil
	}
	err := s.conn.conn.Close()
	s.conn.conn = nil
	return err
}

// appendHead appends what is before the text of a message: RFC 3164 section 4.1, without
// host name, as syslog(3) sends it.
func appendHead(b []byte, priority int, now time.Time, tag string) []byte {
	b = append(b, '<')
	b = strconv.AppendInt(b, int64(priority), 10)
	b = append(b, '>')
	b = now.AppendFormat(b, time.Stamp)
	b = append(b, ' ')
	return append(b, tag...)
}
