package load

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"campagnol/internal/testenv/guide"
)

const manual = "docs/rdv-load.md" // from the top of the module

// testArgs returns the arguments of the test program for a command of the manual, and
// which benchmark it runs; ok is false if it runs none of ours.
func testArgs(line string) (args []string, bench string, ok bool) {
	line, _, _ = strings.Cut(strings.ReplaceAll(line, "'", ""), " # ")
	if _, rest, built := strings.Cut(line, "./load.test "); built {
		args = strings.Fields(rest)
	} else if rest, run := strings.CutPrefix(line, "go test -run "); run {
		rest = strings.NewReplacer(" -bench ", " -test.bench ", " ./rdv/internal/load", "", " -tags long", "").Replace(rest)
		args = strings.Fields("-test.run " + rest)
	}
	i := slices.Index(args, "-test.bench")
	if i < 0 || i+1 == len(args) {
		return nil, "", false
	}
	return args, args[i+1], true
}

// runSelf runs this test program again.
func runSelf(t *testing.T, args ...string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), self, append([]string{"-program=" + program}, args...)...).CombinedOutput()
	return string(out), err
}

// TestManual follows the short form of the measurements.
func TestManual(t *testing.T) {
	g := guide.Open(t, "docs/rdv-load.md", "Try it")
	for c := range g.Commands() {
		args, bench, ok := testArgs(c.Line)
		out, err := runSelf(t, args...)
		if !ok || err != nil || !strings.Contains(out, "Benchmark"+bench) || !strings.Contains(out, "PASS") {
			t.Errorf("%s:%d: %s: %v\n%s", manual, c.At, c.Line, err, out)
		}
	}
}

// TestManualOptions reads the options of the long forms, and finds their benchmarks.
func TestManualOptions(t *testing.T) {
	t.Parallel()
	n := 0
	for _, b := range guide.Read(t, manual) {
		for _, c := range b.Commands {
			args, bench, ok := testArgs(c.Line)
			if !ok {
				continue
			}
			n++
			if out, err := runSelf(t, append(args, "-test.list", "^Benchmark"+bench)...); err != nil || !strings.Contains(out, "Benchmark"+bench) {
				t.Errorf("%s:%d: %s: %v\n%s", manual, c.At, c.Line, err, out)
			}
		}
	}
	if n < 8 {
		t.Errorf("the manual has %d measurements, want all", n)
	}
	if out, err := runSelf(t, "-test.list", "none", "-no-such-option"); err == nil {
		t.Errorf("an option that is not there is accepted: %s", out)
	}
}

// TestManualSetting knows the kernel's setting that the manual changes.
func TestManualSetting(t *testing.T) {
	t.Parallel()
	g, err := os.ReadFile(filepath.Join("../../..", manual))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(g), "\n# sysctl -w ")
	name, _, _ := strings.Cut(rest, "=")
	if _, err := os.Stat("/proc/sys/" + strings.ReplaceAll(name, ".", "/")); !ok || err != nil {
		t.Errorf("%s sets %q: %v", manual, name, err)
	}
}
