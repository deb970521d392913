package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// saved writes a report to a file, for -from.
func saved(t *testing.T, r *report) (file string) {
	t.Helper()
	b, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "saved.json")
	if err := writeFile(file, b); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRunStatus(t *testing.T) {
	t.Parallel()
	good := reportOf(given{pathVeth, toolOurs, figCold, []float64{3}})
	bad := reportOf(given{pathVeth, toolOurs, figCold, []float64{30}})
	failed := reportOf()
	failed.Failures = []failure{{1, pathVeth, toolNebula, stepTCP1, "broken pipe"}}
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		name           string
		args           []string
		status         int
		stdout, stderr string // what is in them
	}{
		{"help", []string{"-h"}, exitOK, "", "usage: go run ./internal/bench"},
		{"bad value", []string{"-rounds", "0"}, exitUsage, "", "have to be positive"},
		{"bad option", []string{"-fast"}, exitUsage, "", "hint: go run ./internal/bench -h"},
		{"show", []string{"-from", saved(t, good)}, exitOK, "≤ 10 ms", ""},
		{"missed, but nobody asked", []string{"-from", saved(t, bad)}, exitOK, "✗ missed", ""},
		{"missed", []string{"-from", saved(t, bad), "-check"}, exitError, "✗ missed", ""},
		{"reached", []string{"-from", saved(t, good), "-check"}, exitOK, "✓", ""},
		{"failures", []string{"-from", saved(t, failed)}, exitError, "failed: round 1, veth, nebula, tcp1: broken pipe", ""},
		{"no such report", []string{"-from", none}, exitError, "", none},
		{"nowhere to write", []string{"-from", saved(t, good), "-json", filepath.Join(none, "x")}, exitError, "≤ 10 ms", none},
		{"nowhere to draw", []string{"-from", saved(t, good), "-svg", filepath.Join(none, "x")}, exitError, "≤ 10 ms", none},
		{"no document", []string{"-from", saved(t, good), "-docs", none}, exitError, "≤ 10 ms", docFile},
	} {
		var stdout, stderr strings.Builder
		if got := run(t.Context(), c.args, &stdout, &stderr); got != c.status {
			t.Errorf("%s: status %d, want %d\n%s%s", c.name, got, c.status, &stdout, &stderr)
		}
		if !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("%s: printed %q and %q, want %q and %q in them", c.name, &stdout, &stderr, c.stdout, c.stderr)
		}
	}
}

// TestRunWrites checks that a report becomes all files, and the same again of the
// file that it wrote.
func TestRunWrites(t *testing.T) {
	t.Parallel()
	from := saved(t, fullReport())
	for range 2 {
		dir := t.TempDir()
		doc := filepath.Join(dir, docFile)
		if err := os.WriteFile(doc, []byte(docBegin+docEnd), 0o600); err != nil {
			t.Fatal(err)
		}
		files := map[string]string{"-json": "r.json", "-markdown": "r.md", "-svg": "r.svg"}
		args := []string{"-from", from, "-docs", dir}
		for option, name := range files {
			args = append(args, option, filepath.Join(dir, name))
		}
		var stdout, stderr strings.Builder
		if got := run(t.Context(), args, &stdout, &stderr); got != exitOK {
			t.Fatalf("status %d, want %d\n%s", got, exitOK, &stderr)
		}
		text := func(name string) string {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		if !strings.Contains(text(docFile), strings.TrimSpace(text("r.md"))) {
			t.Error("the document and the Markdown file differ")
		}
		if text(chartFile) != text("r.svg") {
			t.Error("the chart of the document and the other one differ")
		}
		old, err := os.ReadFile(from)
		if err != nil || string(old) != text("r.json") {
			t.Errorf("the report has changed by being read and written (%v)", err)
		}
		from = filepath.Join(dir, "r.json")
	}
}

// TestRunInterrupted checks that a run that is interrupted before it has measured
// anything says so by its status, and writes nothing.
func TestRunInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := filepath.Join(t.TempDir(), "r.json")
	var stdout, stderr strings.Builder
	if got := run(ctx, []string{"-tools", toolOurs, "-json", file}, &stdout, &stderr); got != exitInterrupted {
		t.Errorf("status %d, want %d", got, exitInterrupted)
	}
	if stderr.Len() == 0 || stdout.Len() != 0 {
		t.Errorf("printed %q and %q, want a reason only", &stdout, &stderr)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a report (%v)", err)
	}
}
