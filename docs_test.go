package campagnol_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"campagnol/internal/testenv/guide"
)

// unfollowed lists what no test does to the letter, by document and section, and
// why. Nothing else in a document may be without a test.
var unfollowed = map[string]string{
	"docs/performance.md#":                       "measures for more than an hour; internal/bench.TestManual reads the options",
	"docs/performance.md#A part of it":           "measures for minutes; internal/bench.TestManual reads the options",
	"docs/performance.md#Parts of the data path": "measures for minutes, and needs the module proxy; internal/bench.TestManualBenchmarks finds the benchmarks",
	"docs/performance.md#Profiles":               "measures for minutes; internal/bench.TestManual reads the options",
	"docs/rdv-load.md#The figures of this page":  "measures for minutes, with real-time priority; rdv/internal/load.TestManualOptions reads the options",
	"docs/rdv-load.md#What limits it":            "would change the machine; rdv/internal/load.TestManualSetting knows the setting",
}

// TestDocumentsAreFollowed makes sure that every section of a document that tells
// people to type something is followed by a test (guide.Open), which does all of it.
func TestDocumentsAreFollowed(t *testing.T) {
	followed := followedSections(t)
	checkExcuses(t)
	for _, path := range documents(t) {
		for _, b := range guide.Read(t, path) {
			if len(b.Commands) == 0 {
				continue
			}
			at := path + "#" + b.Section
			_, excused := unfollowed[at]
			switch does := followed[path] || followed[at]; {
			case does && excused:
				t.Errorf("%s is followed by a test: strike it from the table unfollowed", at)
			case !does && !excused:
				t.Errorf("%s:%d: no test follows the section %q: nobody knows whether %q works", path, b.At, b.Section, b.Commands[0].Line)
			}
		}
	}
}

// checkExcuses makes sure that the tests are there which reasons in unfollowed name.
func checkExcuses(t *testing.T) {
	t.Helper()
	tests := findTests(t)
	for at, reason := range unfollowed {
		for _, name := range regexp.MustCompile(`[a-z/]+\.Test\w+`).FindAllString(reason, -1) {
			if err := tests.find(name); err != nil {
				t.Errorf("unfollowed[%q]: %v", at, err)
			}
		}
	}
}

// documents returns the project's documents for people.
func documents(t *testing.T) []string {
	t.Helper()
	all := []string{"README.md"}
	err := filepath.WalkDir("docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			all = append(all, filepath.ToSlash(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// followedSections returns what the calls of guide.Open in the module's tests name:
// "docs/x.md" for all of a document, "docs/x.md#A section" for a section.
func followedSections(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") || path == "internal/testenv/guide/guide_test.go" {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && isGuideOpen(call) {
				names, err := literals(call.Args[1:])
				if err != nil {
					t.Errorf("%s: guide.Open: %v", path, err)
				}
				note(all, names)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func isGuideOpen(call *ast.CallExpr) bool {
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != "Open" || len(call.Args) < 2 {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == "guide"
}

// literals returns the values of string literals; nothing else may be there, so that
// this test can read it.
func literals(args []ast.Expr) (values []string, err error) {
	for _, a := range args {
		l, ok := a.(*ast.BasicLit)
		if !ok || l.Kind != token.STRING {
			return nil, fmt.Errorf("the document and its sections have to be string literals")
		}
		v, err := strconv.Unquote(l.Value)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// note adds a document and its sections to all.
func note(all map[string]bool, names []string) {
	switch len(names) {
	case 0:
	case 1:
		all[names[0]] = true
	default:
		for _, section := range names[1:] {
			all[names[0]+"#"+section] = true
		}
	}
}
