package campagnol_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestIndexOfDocuments: docs/README.md lists each document exactly once, and none that
// is not there.
func TestIndexOfDocuments(t *testing.T) {
	b, err := os.ReadFile("docs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]int{}
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "- ") {
			continue
		}
		links := readPage(line).links
		i := slices.IndexFunc(links, func(l link) bool { return filepath.Ext(l.file()) == ".md" })
		if i < 0 {
			t.Errorf("docs/README.md: %q is about no document", strings.TrimSpace(line))
			continue
		}
		listed[links[i].file()]++
	}
	paths, err := filepath.Glob("docs/*.md")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d documents, %v", len(paths), err)
	}
	for _, p := range paths {
		name := filepath.Base(p)
		switch n := listed[name]; {
		case name == "README.md":
		case n == 0:
			t.Errorf("docs/README.md does not list %s: say in one line, below its kind, what it is for", name)
		case n > 1:
			t.Errorf("docs/README.md lists %s %d times, want once", name, n)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("docs/README.md lists %s, which is not there", name)
	}
}

// TestIndexKinds: the kinds of documents are in the order in which people need them.
func TestIndexKinds(t *testing.T) {
	b, err := os.ReadFile("docs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for line := range strings.Lines(string(b)) {
		if kind, ok := strings.CutPrefix(line, "## "); ok {
			kinds = append(kinds, strings.TrimSpace(kind))
		}
	}
	if want := []string{"Learn it", "Do something with it", "Look something up", "Understand it"}; !slices.Equal(kinds, want) {
		t.Errorf("docs/README.md has the kinds %q, want %q", kinds, want)
	}
}
