//go:build unix

package logging

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestJournal: each line has its priority in front, and no other word for it.
func TestJournal(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(NewJournal(&out, LevelPacket)).With("a", 1)
	want := ""
	for _, c := range []struct {
		level    slog.Level
		priority int
	}{{slog.LevelError, 3}, {slog.LevelWarn, 4}, {LevelNotice, 5}, {slog.LevelInfo, 6}, {slog.LevelDebug, 7}, {LevelPacket, 7}} {
		log.Log(t.Context(), c.level, "Session timeout", "peer", "10.9.0.2", "k", "x\n<0>y")
		want += fmt.Sprintf("<%d>Session timeout 10.9.0.2 a=1 k=\"x\\n<0>y\"\n", c.priority)
	}
	if got := out.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	out.Reset()
	slog.New(NewJournal(&out, LevelNotice)).Info("not shown")
	if out.Len() > 0 {
		t.Errorf("below the level: %q", out.String())
	}
}

// TestJournalStream: priorities are written to the stream that systemd names, and
// nowhere else: people would have to read them.
func TestJournalStream(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var st syscall.Stat_t
	if err := syscall.Fstat(int(file.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := os.Stdout, os.Stderr
	defer func() { os.Stdout, os.Stderr = stdout, stderr }()
	os.Stdout, os.Stderr = file, file
	this := fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	for _, c := range []struct {
		name, stream string
		format       Format
		want         string
	}{
		{"ours", this, Text, "<4>m\n"},
		{"another", fmt.Sprintf("%d:%d", st.Dev, st.Ino+1), Text, "warning: m\n"},
		{"none", "", Text, "warning: m\n"},
		{"nonsense", "journal", Text, "warning: m\n"},
		{"JSON is for programs, which read the level in it", this, JSON, `{"time":`},
	} {
		t.Setenv("JOURNAL_STREAM", c.stream)
		if err := file.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Seek(0, 0); err != nil {
			t.Fatal(err)
		}
		New(Options{Format: c.format}).Warn("m")
		got, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(got), c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
