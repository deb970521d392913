package policy

import (
	"os"
	"strings"
	"testing"
)

// TestDocs parses every example of the manual, and of the package's comment.
func TestDocs(t *testing.T) {
	manual, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, block := range strings.Split(string(manual), "```policy\n")[1:] {
		text, _, ok := strings.Cut(block, "```")
		if !ok {
			t.Fatalf("example %d of the manual has no end", i+1)
		}
		parse(t, text)
		n++
	}
	if n < 8 {
		t.Errorf("%d examples in the manual, want all", n)
	}
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(source), "# The language\n//\n")
	text, _, ok := strings.Cut(rest, "//\n// A statement")
	if !ok {
		t.Fatal("the package's comment has no example")
	}
	p := parse(t, strings.NewReplacer("//\t", "", "//\n", "\n").Replace(text))
	if s := p.Summary(); s.TalkRules != 2 || s.RelayRules != 1 || s.FilterRules != 2 || len(s.Groups) != 2 {
		t.Errorf("the example of the package's comment has %+v", s)
	}
	// Inline examples of the manual that stand in the text.
	for _, line := range []string{"default allow", "allow laptops -> backup", "filter all -> 192.168.7.9: deny", "version 7"} {
		if !strings.Contains(string(manual), line) {
			t.Errorf("the manual does not have %q any more", line)
		}
		parse(t, line)
	}
}
