package logging

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSyslogSender: texts come as they are, with their own facility; what nobody takes is
// told.
func TestSyslogSender(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s := newSyslogSender("campagnol-audit", FacilityAuthPriv, []string{path})
	now := time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC)
	if s.Send(now, 5, "nobody is there") {
		t.Error("nobody is there, and has taken it")
	}
	conn := listen(t, path)
	now = now.Add(2 * syslogRetry)
	if !s.Send(now, 4, `{"event":"peer_refused"}`) {
		t.Error("the log daemon has not taken it")
	}
	want := fmt.Sprintf(`<84>Nov  2 03:04:07 campagnol-audit[%d]: {"event":"peer_refused"}`, os.Getpid())
	if got := next(t, conn); got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	if !s.Send(now, 5, strings.Repeat("x", 2*maxSyslog)) || len(next(t, conn)) != maxSyslog {
		t.Errorf("a long message is not cut to %d bytes", maxSyslog)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if !s.Send(now, 5, "again") {
		t.Error("after Close it does not connect again")
	}
}
