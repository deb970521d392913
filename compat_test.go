package campagnol_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// compatDoc is the page that says how we compare with Campagnol 0.3.5.
const compatDoc = "docs/compat.md"

// defects of Campagnol 0.3.5, by the numbers that the page and the tests use.
var defects = strings.Fields(`D-R1 D-R2 D-R3 D-R4 D-R5 D-R6
	D-C1 D-C2 D-C3 D-C4 D-C5 D-C6 D-C7 D-C8 D-C9 D-C10 D-C11 D-C12 D-C13 D-C14 D-C15 D-C16`)

// verdicts are what a row may say of us. Those with a reason go on with what is
// better, or with what to do.
var verdicts = []struct {
	word   string
	reason bool
}{{"same", false}, {"better", true}, {"not supported", true}}

// A compatRow is a row of one of the page's tables.
type compatRow struct {
	line     int
	behavior string
	verdict  string
	tests    []string
}

// TestCompatibility checks that every row of every table of the page has a
// verdict, and names tests that exist.
func TestCompatibility(t *testing.T) {
	text, err := os.ReadFile(compatDoc)
	if err != nil {
		t.Fatal(err)
	}
	rows, problems := parseCompat(string(text))
	tests := findTests(t)
	for _, r := range rows {
		problems = append(problems, r.check(tests)...)
	}
	problems = append(problems, checkDefects(rows, tests)...)
	for _, p := range problems {
		t.Errorf("%s:%s", compatDoc, p)
	}
	if len(rows) < 100 {
		t.Errorf("%d rows; the page is not what it was", len(rows))
	}
}

// parseCompat returns the rows of all tables, and what is wrong with the tables
// themselves. A table has a column "Ours" and one "Shown by", the others are the
// behaviour.
func parseCompat(text string) (rows []compatRow, problems []string) {
	var header []string // of the table in which we are
	fenced := false     // in a block of code
	line := 0
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, "```") {
			fenced = !fenced
		}
		if fenced || !strings.HasPrefix(l, "|") {
			header = nil
			continue
		}
		cells := splitCells(l)
		switch {
		case header == nil:
			header = cells
			if !slices.Contains(header, "Ours") || !slices.Contains(header, "Shown by") {
				problems = append(problems, fmt.Sprintf("%d: a table without the columns Ours and Shown by", line))
			}
		case strings.Trim(strings.Join(cells, ""), "-: ") == "":
			// the line below the header
		case len(cells) != len(header):
			problems = append(problems, fmt.Sprintf("%d: %d cells, want %d", line, len(cells), len(header)))
		default:
			rows = append(rows, newRow(line, header, cells))
		}
	}
	return rows, problems
}

// splitCells returns the cells of a line of a table. A bar that belongs to a cell
// is written \|.
func splitCells(l string) (cells []string) {
	l = strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(l, "|"), "|"), `\|`, "\x00")
	for c := range strings.SplitSeq(l, "|") {
		cells = append(cells, strings.TrimSpace(strings.ReplaceAll(c, "\x00", "|")))
	}
	return cells
}

// quoted matches a span of code.
var quoted = regexp.MustCompile("`([^`]+)`")

func newRow(line int, header, cells []string) compatRow {
	r := compatRow{line: line}
	for i, c := range cells {
		switch header[i] {
		case "Ours":
			r.verdict = c
		case "Shown by":
			for _, m := range quoted.FindAllStringSubmatch(c, -1) {
				r.tests = append(r.tests, m[1])
			}
		default:
			r.behavior = strings.TrimSpace(r.behavior + " " + c)
		}
	}
	return r
}

// check returns what is wrong with a row.
func (r compatRow) check(tests testIndex) (problems []string) {
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%d: ", r.line)+fmt.Sprintf(format, args...))
	}
	if r.behavior == "" {
		bad("no behaviour")
	}
	if !goodVerdict(r.verdict) {
		bad("verdict %q, want same, better: how, or not supported: what to do", r.verdict)
	}
	if len(r.tests) == 0 {
		bad("no test shows %q", r.behavior)
	}
	for _, name := range r.tests {
		if err := tests.find(name); err != nil {
			bad("%v", err)
		}
	}
	return problems
}

func goodVerdict(s string) bool {
	for _, v := range verdicts {
		rest, ok := strings.CutPrefix(s, v.word)
		switch {
		case !ok:
		case rest == "" && !v.reason:
			return true
		case v.reason && strings.HasPrefix(rest, ": ") && len(rest) > len(": "):
			return true
		}
	}
	return false
}

// checkDefects returns which defects have no row with a test of their name, and
// which tests with the name of a defect are in no row.
func checkDefects(rows []compatRow, tests testIndex) (problems []string) {
	shown := map[string]bool{} // tests
	for _, r := range rows {
		for _, name := range r.tests {
			shown[name] = true
		}
	}
	for _, d := range defects {
		prefix := "Test" + strings.ReplaceAll(d, "-", "_") + "_"
		ok := slices.ContainsFunc(rows, func(r compatRow) bool {
			return strings.HasPrefix(r.behavior, d+" ") && slices.ContainsFunc(r.tests, func(name string) bool {
				_, function, _ := strings.Cut(name, ".")
				return strings.HasPrefix(function, prefix)
			})
		})
		if !ok {
			problems = append(problems, fmt.Sprintf(" defect %s has no row with a test %s…", d, prefix))
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(tests)) {
		for _, name := range slices.Sorted(maps.Keys(tests[pkg].functions)) {
			if full := pkg + "." + name; strings.HasPrefix(name, "TestD_") && !shown[full] {
				problems = append(problems, fmt.Sprintf(" %s is in no row", full))
			}
		}
	}
	return problems
}

// A testIndex has the tests of the module by package.
type testIndex map[string]*testPackage

// A testPackage is what the test files of a package declare.
type testPackage struct {
	dir       string
	functions map[string]*ast.FuncDecl
	values    map[string]ast.Node // variables and constants
}

// findTests reads all test files of the module, whatever their build
// constraints.
func findTests(t *testing.T) testIndex {
	t.Helper()
	index := testIndex{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		index.add(filepath.ToSlash(filepath.Dir(path)), f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func (ti testIndex) add(dir string, f *ast.File) {
	p := ti[dir]
	if p == nil {
		p = &testPackage{dir: dir, functions: map[string]*ast.FuncDecl{}, values: map[string]ast.Node{}}
		ti[dir] = p
	}
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				p.functions[d.Name.Name] = d
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if v, ok := s.(*ast.ValueSpec); ok {
					for _, name := range v.Names {
						p.values[name.Name] = v
					}
				}
			}
		}
	}
}

// find returns an error unless there is a test: package.TestName, with the path
// of the package in the module, or package.TestName/subtest.
func (ti testIndex) find(name string) error {
	pkg, test, ok := strings.Cut(name, ".")
	function, sub, hasSub := strings.Cut(test, "/")
	p := ti[pkg]
	switch {
	case !ok || !strings.HasPrefix(function, "Test"):
		return fmt.Errorf("%q is not written as package.TestName", name)
	case p == nil:
		return fmt.Errorf("%s: there is no package %q with tests", name, pkg)
	case p.functions[function] == nil:
		return fmt.Errorf("%s: there is no such test", name)
	case hasSub && !p.names(p.functions[function], sub):
		return fmt.Errorf("%s: the test names no such subtest", name)
	}
	return nil
}

// names reports whether a test has a subtest, as far as that can be seen: its
// name stands in the test, in a variable or a function that the test mentions, or
// is that of a file in testdata.
func (p *testPackage) names(function *ast.FuncDecl, subtest string) bool {
	if files, _ := filepath.Glob(filepath.Join(p.dir, "testdata", subtest+".*")); len(files) > 0 {
		return true
	}
	found := false
	var look func(n ast.Node, depth int)
	look = func(n ast.Node, depth int) {
		ast.Inspect(n, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
					found = found || s == subtest
				}
			case *ast.Ident:
				if v := p.values[n.Name]; v != nil && depth > 0 {
					look(v, depth-1)
				} else if f := p.functions[n.Name]; f != nil && depth > 0 {
					look(f.Body, depth-1)
				}
			}
			return !found
		})
	}
	look(function.Body, 2)
	return found
}

// TestCompatibilityChecker gives the checker pages with one fault each.
func TestCompatibilityChecker(t *testing.T) {
	const source = `package p
var shared = []struct{ name string }{{"in a variable"}}
func helper(t *testing.T) { t.Run("in a helper", nil) }
func TestPlain(t *testing.T) { t.Run("in the test", nil); helper(t); _ = shared }
func TestD_R1_Spoof(t *testing.T) {}`
	f, err := parser.ParseFile(token.NewFileSet(), "p_test.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	tests := testIndex{}
	tests.add("p", f)
	const header = "| what | Ours | Shown by |\n|---|---|---|\n"
	for _, c := range []struct{ name, page, want string }{
		{"good", header + "| a | same | `p.TestPlain` |\n| b | better: faster | `p.TestPlain` `p.TestPlain/in the test` |", ""},
		{"in a variable", header + "| a | same | `p.TestPlain/in a variable` |", ""},
		{"in a helper", header + "| a | same | `p.TestPlain/in a helper` |", ""},
		{"a bar in a cell", header + "| a \\| b | same | `p.TestPlain` |", ""},
		{"code", "```\n| not | a table |\n```\n", ""},
		{"other columns", "| name | value |\n", "1: a table without the columns"},
		{"cell too many", header + "| a | b | same | `p.TestPlain` |", "3: 4 cells, want 3"},
		{"no behaviour", header + "| | same | `p.TestPlain` |", "3: no behaviour"},
		{"no verdict", header + "| a | | `p.TestPlain` |", `3: verdict ""`},
		{"other verdict", header + "| a | fine | `p.TestPlain` |", `3: verdict "fine"`},
		{"same, but", header + "| a | same: nearly | `p.TestPlain` |", `3: verdict "same: nearly"`},
		{"better, and not how", header + "| a | better | `p.TestPlain` |", `3: verdict "better"`},
		{"not supported, and not what to do", header + "| a | not supported: | `p.TestPlain` |", `3: verdict "not supported:"`},
		{"no test", header + "| a | same | soon |", `3: no test shows "a"`},
		{"no name of a test", header + "| a | same | `TestPlain` |", `3: "TestPlain" is not written as package.TestName`},
		{"a function", header + "| a | same | `p.helper` |", `is not written as package.TestName`},
		{"no package", header + "| a | same | `q.TestPlain` |", `there is no package "q"`},
		{"no such test", header + "| a | same | `p.TestOther` |", "there is no such test"},
		{"no such subtest", header + "| a | same | `p.TestPlain/other` |", "the test names no such subtest"},
		{"a second table", header + "| a | same | `p.TestPlain` |\n\n" + header + "| a | same | |", "7: no test shows"},
	} {
		rows, problems := parseCompat(c.page)
		for _, r := range rows {
			problems = append(problems, r.check(tests)...)
		}
		got := strings.Join(problems, "; ")
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: problems %q, want %q", c.name, got, c.want)
		}
	}

	rows, _ := parseCompat(header + "| D-R1 spoofing | better: refused | `p.TestPlain` |")
	problems := strings.Join(checkDefects(rows, tests), ";")
	for _, want := range []string{"defect D-R1 has no row with a test TestD_R1_", "defect D-C16 has no row", "p.TestD_R1_Spoof is in no row"} {
		if !strings.Contains(problems, want) {
			t.Errorf("defects: %q is missing in %q", want, problems)
		}
	}
	rows, _ = parseCompat(header + "| D-R1 spoofing | better: refused | `p.TestD_R1_Spoof` |")
	if got := strings.Join(checkDefects(rows, tests), ";"); strings.Contains(got, "D-R1 ") || strings.Contains(got, "D_R1_Spoof") {
		t.Errorf("D-R1 is shown, but: %s", got)
	}
}
