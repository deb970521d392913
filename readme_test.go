package campagnol_test

import (
	"os"
	"strings"
	"testing"

	"campagnol/internal/testenv/guide"
)

// TestReadmeDemonstrations: what the README shows whoever has the source and nothing
// else is typed by .ci/run, before every change.
func TestReadmeDemonstrations(t *testing.T) {
	b, err := os.ReadFile(".ci/run")
	if err != nil {
		t.Fatal(err)
	}
	for c := range guide.Open(t, "README.md", "See it work").Commands() {
		line, _, _ := strings.Cut(c.Line, " #")
		if !typed(string(b), strings.Fields(line)) {
			t.Errorf("README.md:%d: .ci/run does not type %q", c.At, line)
		}
	}
}

// typed reports whether a script has a command, with options more or without.
func typed(script string, words []string) bool {
	for line := range strings.Lines(script) {
		left := words
		for _, w := range strings.Fields(line) {
			if len(left) > 0 && w == left[0] {
				left = left[1:]
			}
		}
		if f := strings.Fields(line); len(left) == 0 && len(f) > 0 && f[0] == words[0] && f[len(f)-1] == words[len(words)-1] {
			return true
		}
	}
	return false
}

func TestTyped(t *testing.T) {
	const script = "# go run ./a lab\nset -e\n  go test -race -timeout 20m ./...\ngo run ./a lab\ngo run ./b lab --long\n"
	for line, want := range map[string]bool{"go test ./...": true, "go run ./a lab": true, "go run ./b lab": false, "go run ./c lab": false, "go vet ./...": false} {
		if got := typed(script, strings.Fields(line)); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}
