package logging

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestRecent keeps more than is shown, in the same form, and not for ever.
func TestRecent(t *testing.T) {
	var shown bytes.Buffer
	r := NewRecent(3)
	log := slog.New(r.Handler(NewText(&shown, &shown, LevelNotice)))
	log.Debug("not enabled")
	log.Info("kept only", "peer", "10.9.0.2")
	log.With("server", "s").WithGroup("g").Warn("Lost {what}", "what", "x", "k", "two words\n")
	if got := shown.String(); strings.Contains(got, "kept only") || !strings.Contains(got, "two words") {
		t.Errorf("shown: %s", got)
	}
	lines := r.Lines()
	for i, want := range []string{" info kept only 10.9.0.2", ` warn Lost {what} server=s g.what=x g.k="two words\n"`} {
		if i >= len(lines) || !strings.HasSuffix(lines[i], want) {
			t.Errorf("lines %q, want %q at %d", lines, want, i)
		}
	}
	for i := range 5 {
		log.Warn(fmt.Sprint("line ", i))
	}
	log.Warn(strings.Repeat("x", 5000))
	lines = r.Lines()
	if len(lines) != 3 || !strings.HasSuffix(lines[0], "line 3") || !strings.HasSuffix(lines[1], "line 4") || len(lines[2]) != recentLine {
		t.Errorf("the last three are %.80q", lines)
	}
	lines[0] = "changed"
	if slices.Contains(r.Lines(), "changed") {
		t.Error("who has the lines can change them")
	}
}

// TestRecentDebug: what is enabled is kept, too.
func TestRecentDebug(t *testing.T) {
	level := new(slog.LevelVar)
	r := NewRecent(10)
	log := slog.New(r.Handler(NewText(new(bytes.Buffer), new(bytes.Buffer), level)))
	level.Set(slog.LevelDebug)
	log.Debug("a")
	level.Set(slog.LevelError)
	log.Debug("b")
	log.Info("c")
	if got := r.Lines(); len(got) != 2 || !strings.HasSuffix(got[0], "debug a") || !strings.HasSuffix(got[1], "info c") {
		t.Errorf("got %q", got)
	}
}

// TestRecentTogether: many write while one reads.
func TestRecentTogether(t *testing.T) {
	r := NewRecent(50)
	log := slog.New(r.Handler(slog.DiscardHandler))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				log.Info("x")
			}
		})
	}
	for range 50 {
		if n := len(r.Lines()); n > 50 {
			t.Errorf("%d lines", n)
		}
	}
	wg.Wait()
	if n := len(r.Lines()); n != 50 {
		t.Errorf("%d lines, want 50", n)
	}
	if none := NewRecent(0); len(none.Lines()) != 0 {
		t.Error("one that keeps nothing has lines")
	}
}

func TestLevels(t *testing.T) {
	for _, name := range LevelNames() {
		level, err := ParseLevel(name)
		if err != nil || LevelName(level) != name {
			t.Errorf("%s is %v (%v), which is called %s", name, level, err, LevelName(level))
		}
	}
	for level, want := range map[slog.Level]string{12: "error", 8: "error", 7: "error", 4: "warn", 3: "warn", 2: "notice", 1: "notice", 0: "info", -1: "info", -4: "debug", -8: "packet", -20: "packet"} {
		if got := LevelName(level); got != want {
			t.Errorf("level %d is called %s, want %s", level, got, want)
		}
	}
	for _, name := range []string{"", "INFO", "verbose", "0"} {
		if _, err := ParseLevel(name); err == nil {
			t.Errorf("%q is a level", name)
		}
	}
}
