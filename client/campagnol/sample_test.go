package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"campagnol/internal/logging"
)

// echoed returns what echo logs of a file at a level.
func echoed(file string, level slog.Level) string {
	var out bytes.Buffer
	echo(logging.New(logging.Options{Stdout: &out, Stderr: &out, Level: level}), file)
	return out.String()
}

// TestEcho: with -d, and only then, what the file sets is shown in its order:
// every value of a key, with the line that the key is in.
func TestEcho(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "c")
	text := "lost = 1\n[A]\nx = 1\ny = a\\\n b\n[B]\nx = \"two\n lines\"\n[A] # again\nx = ${y}\\x21\ny=\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := "[" + file + ":3] [A] 'x' = '1'\n" +
		"[" + file + ":4] [A] 'y' = 'ab'\n" +
		"[" + file + `:7] [B] 'x' = 'two\n lines'` + "\n" +
		"[" + file + ":10] [A] 'x' = '${y}!'\n"
	for _, c := range []struct {
		name  string
		file  string
		level slog.Level
		want  string
	}{
		{"-d", file, slog.LevelDebug, want},
		{"-v", file, slog.LevelInfo, ""},
		{"no file", file + ".absent", slog.LevelDebug, ""},
		{"a folder", t.TempDir(), slog.LevelDebug, ""},
	} {
		if got := echoed(c.file, c.level); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}
