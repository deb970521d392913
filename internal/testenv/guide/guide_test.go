package guide

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const text = "# A document\n" +
	"```sh\n" +
	"go test ./...   # all\n" +
	"```\n" +
	"## On two hosts\n" +
	"```sh\n" +
	"# On alice: first\n" +
	"a \\\n" +
	"   b\n" +
	"\n" +
	"# On bob:\n" +
	"# more to say\n" +
	"c\n" +
	"```\n" +
	"- in a list:\n" +
	"\n" +
	"  ```ini\n" +
	"  [VPN]\n" +
	"    x = y\n" +
	"  ```\n" +
	"### With output\n" +
	"````console\n" +
	"noise\n" +
	"$ d --long \\\n" +
	"  --more\n" +
	"```\n" +
	"bob# e\n" +
	"one\n" +
	"two\n" +
	"````\n"

func TestParse(t *testing.T) {
	blocks, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{"", "sh", "go test ./...   # all\n", 2, []Command{{"", "go test ./...   # all", "", 3}}},
		{"On two hosts", "sh", "# On alice: first\na \\\n   b\n\n# On bob:\n# more to say\nc\n", 6,
			[]Command{{"alice", "a b", "", 8}, {"bob", "c", "", 13}}},
		{"On two hosts", "ini", "[VPN]\n  x = y\n", 17, nil},
		{"With output", "console", "noise\n$ d --long \\\n  --more\n```\nbob# e\none\ntwo\n", 22,
			[]Command{{"", "d --long --more", "```\n", 24}, {"bob", "e", "one\ntwo\n", 27}}},
	}
	if len(blocks) != len(want) {
		t.Fatalf("got %d blocks, want %d: %+v", len(blocks), len(want), blocks)
	}
	for i := range want {
		if !reflect.DeepEqual(blocks[i], want[i]) {
			t.Errorf("block %d: got\n%+v\nwant\n%+v", i, blocks[i], want[i])
		}
	}
}

func TestParseErrors(t *testing.T) {
	if _, err := Parse("a\n```sh\nb\n"); err == nil || err.Error() != "line 2: the block has no end" {
		t.Errorf("got %v, want the line of the open block", err)
	}
	for _, text := range []string{"", "```\n```\n", "```sh\n\\\n```\n", "```console\n```\n", "```sh\na \\\n```\n"} {
		if _, err := Parse(text); err != nil {
			t.Errorf("Parse(%q): %v", text, err)
		}
	}
}

// A witness is a test that notes what is said of it.
type witness struct {
	testing.TB
	said    []string
	cleanup []func()
}

func (w *witness) Helper()          {}
func (w *witness) Failed() bool     { return len(w.said) > 0 }
func (w *witness) Skipped() bool    { return false }
func (w *witness) Cleanup(f func()) { w.cleanup = append(w.cleanup, f) }
func (w *witness) Errorf(format string, args ...any) {
	w.said = append(w.said, fmt.Sprintf(format, args...))
}

func (w *witness) Fatalf(format string, args ...any) { w.Errorf(format, args...) }

// end ends the test, and returns what was said of it.
func (w *witness) end() []string {
	for _, f := range slices.Backward(w.cleanup) {
		f()
	}
	return w.said
}

func TestOpen(t *testing.T) {
	all := Open(t, "README.md", "See it work")
	var lines []string
	for c := range all.Commands() {
		lines = append(lines, c.Line)
	}
	if want := "go test ./..."; !slices.Contains(lines, want) {
		t.Errorf("got %q, want %q among them", lines, want)
	}

	lazy := &witness{TB: t}
	g := Open(lazy, "README.md", "See it work")
	first := g.Next(t)
	if got := lazy.end(); len(got) != 1 || !strings.Contains(got[0], "nobody has done") || strings.Contains(got[0], first.Line) {
		t.Errorf("one command done of more: got %q, want a complaint about the second one", got)
	}
}
