package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"campagnol/internal/testenv/guide"
)

const manual = "docs/performance.md" // from the top of the module

// benchArgs returns the arguments that a command of the manual gives to this program.
func benchArgs(line string) (args []string, ok bool) {
	line, _, _ = strings.Cut(line, "#")
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), "go run ./internal/bench")
	return strings.Fields(rest), ok
}

// TestManual reads the options of all the command lines in the manual, most of which
// measure for too long to be followed.
func TestManual(t *testing.T) {
	t.Parallel()
	n := 0
	for _, b := range guide.Read(t, manual) {
		for _, c := range b.Commands {
			args, ok := benchArgs(c.Line)
			if !ok {
				continue
			}
			n++
			if _, err := parseOptions(args, io.Discard); err != nil {
				t.Errorf("%s:%d: %s: %v", manual, c.At, c.Line, err)
			}
		}
	}
	if n < 9 {
		t.Errorf("the manual has %d command lines of this program, want all that it had", n)
	}
}

// TestManualFrom follows what the manual says of showing a report again.
func TestManualFrom(t *testing.T) {
	g := guide.Open(t, "docs/performance.md", "Again, without measuring")
	t.Chdir(t.TempDir())
	b, err := fullReport().encode()
	if err == nil {
		err = os.WriteFile("run.json", b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for c := range g.Commands() {
		args, ok := benchArgs(c.Line)
		var stdout, stderr bytes.Buffer
		if status := run(t.Context(), args, &stdout, &stderr); !ok || status != exitOK {
			t.Errorf("%s: exit status %d, %s", c.Line, status, &stderr)
		}
	}
	tables, err := os.ReadFile("run.md")
	if err != nil || !bytes.Contains(tables, []byte("| TCP, 1 stream |")) {
		t.Errorf("run.md has no tables: %v\n%s", err, tables)
	}
}

// TestManualBenchmarks finds the benchmarks of the data path that the manual names.
func TestManualBenchmarks(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("../..", manual))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n### Parts of the data path\n")
	rows := regexp.MustCompile("(?m)^\\| (`Benchmark.*) in `([a-z/]+)` \\|").FindAllStringSubmatch(section, -1)
	for _, r := range rows {
		var code []byte
		files, err := filepath.Glob(filepath.Join("../..", r[2], "*_test.go"))
		for _, f := range files {
			var b []byte
			if b, err = os.ReadFile(f); err != nil {
				t.Fatal(err)
			}
			code = append(code, b...)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`Benchmark\w+`).FindAllString(r[1], -1) {
			if !bytes.Contains(code, []byte("\nfunc "+name+"(")) {
				t.Errorf("%s names %s in %s, which is not there", manual, name, r[2])
			}
		}
		if !strings.Contains(section, " ./"+r[2]) {
			t.Errorf("%s does not run the benchmarks of %s", manual, r[2])
		}
	}
	if len(rows) < 4 {
		t.Errorf("%d rows of benchmarks, want all", len(rows))
	}
}
