package logging

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/slogtest"
)

func TestLevel(t *testing.T) {
	for _, c := range []struct {
		verbose bool
		debug   int
		want    slog.Level
	}{
		{false, 0, LevelNotice},
		{true, 0, slog.LevelInfo},
		{false, 1, slog.LevelDebug}, // -d implies -v
		{true, 1, slog.LevelDebug},
		{true, 2, LevelPacket},
		{false, 9, LevelPacket},
	} {
		if got := Level(c.verbose, c.debug); got != c.want {
			t.Errorf("Level(%v, %d) = %v, want %v", c.verbose, c.debug, got, c.want)
		}
	}
}

func TestFormat(t *testing.T) {
	var f Format
	if got := f.String(); got != "text" {
		t.Errorf("the zero format is %q, want text", got)
	}
	for _, name := range []string{"json", "text"} {
		if err := f.Set(name); err != nil || f.String() != name {
			t.Errorf("Set(%q): %v, format is %v", name, err, f)
		}
	}
	if err := f.Set("xml"); err == nil || !strings.Contains(err.Error(), `"xml"`) {
		t.Errorf("Set(xml): %v, want an error that names it", err)
	}
	if f != Text {
		t.Errorf("a refused format changed the value to %v", f)
	}
}

// levels are all that we use, with what JSON calls them and what syslog does.
var levels = []struct {
	level    slog.Level
	name     string
	priority string
	toStderr bool
}{
	{LevelPacket, "PACKET", "<31>", false},
	{slog.LevelDebug, "DEBUG", "<31>", false},
	{slog.LevelInfo, "INFO", "<30>", false},
	{LevelNotice, "NOTICE", "<29>", false}, // the original's only priority
	{slog.LevelWarn, "WARN", "<28>", true},
	{slog.LevelError, "ERROR", "<27>", true},
}

func TestJSON(t *testing.T) {
	for _, c := range levels {
		var out, errOut bytes.Buffer
		log := New(Options{Format: JSON, Level: LevelPacket, Stdout: &out, Stderr: &errOut})
		log.With("a", 1).WithGroup("g").Log(t.Context(), c.level, "New connection from {asker}", "asker", "10.9.0.1")
		used, unused := &out, &errOut
		if c.toStderr {
			used, unused = unused, used
		}
		if unused.Len() > 0 {
			t.Errorf("%s: %q is on the wrong stream", c.name, unused)
		}
		var got struct {
			Time, Level, Msg string
			A                int
			G                struct{ Asker string }
		}
		if err := json.Unmarshal(used.Bytes(), &got); err != nil {
			t.Fatalf("%s: %q: %v", c.name, used, err)
		}
		if got.Level != c.name || got.Time == "" || got.A != 1 || got.G.Asker != "10.9.0.1" {
			t.Errorf("%s: got %+v", c.name, got)
		}
		if want := "New connection from {asker}"; got.Msg != want {
			t.Errorf("message %q, want the constant %q", got.Msg, want)
		}
	}
}

// TestJSONConforms runs the test that comes with slog.
func TestJSONConforms(t *testing.T) {
	var out bytes.Buffer
	results := func() (ms []map[string]any) {
		for line := range bytes.Lines(out.Bytes()) {
			var m map[string]any
			if err := json.Unmarshal(line, &m); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			ms = append(ms, m)
		}
		return ms
	}
	if err := slogtest.TestHandler(NewJSON(&out, &out, slog.LevelDebug), results); err != nil {
		t.Error(err)
	}
}

// TestLevelAtRunTime changes the level of loggers that exist already.
func TestLevelAtRunTime(t *testing.T) {
	for _, format := range []Format{Text, JSON} {
		var out bytes.Buffer
		var level slog.LevelVar
		level.Set(LevelNotice)
		log := New(Options{Format: format, Level: &level, Stdout: &out, Stderr: &out}).With("k", "v")
		log.Info("one")
		level.Set(slog.LevelInfo)
		log.Info("two")
		level.Set(LevelNotice)
		log.Info("three")
		if got := out.String(); strings.Contains(got, "one") || !strings.Contains(got, "two") || strings.Contains(got, "three") {
			t.Errorf("%v: %q, want only the second message", format, got)
		}
	}
}

// TestDefaults checks that nothing below Notice is shown unless asked for.
func TestDefaults(t *testing.T) {
	var out bytes.Buffer
	log := New(Options{Stdout: &out, Stderr: &out})
	log.Info("hidden")
	log.Log(t.Context(), LevelNotice, "shown")
	if got, want := out.String(), "shown\n"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
}

// TestClosedPipe runs a process that logs to a pipe nobody reads from.
func TestClosedPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CAMPAGNOL_TEST_CLOSED_PIPE=1")
	cmd.Stdout = w
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("the process ended with %v", err)
	}
	if got, want := stderr.String(), "survived\n"; got != want {
		t.Errorf("standard error %q, want %q", got, want)
	}
}
