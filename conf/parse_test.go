package conf

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the *.problems files")

// cases returns the names of the case files, without extension, that match
// pattern.
func cases(t testing.TB, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern+".conf"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("no case matches %s", pattern)
	}
	for i, p := range paths {
		paths[i] = strings.TrimSuffix(filepath.Base(p), ".conf")
	}
	return paths
}

func readCase(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// syntaxError matches a line in which the original reports a syntax error.
var syntaxError = regexp.MustCompile(`(?m)^\[.*\] Syntax error.*\n`)

// TestParseCases compares what is parsed with what the original made of the
// same files, and with the problems that are on record.
func TestParseCases(t *testing.T) {
	for _, name := range cases(t, "[01]*") {
		t.Run(name, func(t *testing.T) {
			expected := readCase(t, name+".expected")
			f, problems := Parse(name+".conf", readCase(t, name+".conf"))

			want := strings.TrimSuffix(string(syntaxError.ReplaceAll(expected, nil)), "exit=0\n")
			if got := dump(f); got != want {
				t.Errorf("parsed:\n%s\nwant:\n%s", got, want)
			}
			wantErrors := len(syntaxError.FindAll(expected, -1))
			if got := count(problems, Error); got != wantErrors {
				t.Errorf("%d errors, the original has %d:\n%s", got, wantErrors, list(problems))
			}
			compareProblems(t, name, problems)
		})
	}
}

// compareProblems compares problems with the file on record.
func compareProblems(t *testing.T, name string, problems []Problem) {
	t.Helper()
	path := filepath.Join("testdata", name+".problems")
	got := list(problems)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(readCase(t, name+".problems")); got != want {
		t.Errorf("problems:\n%s\nwant:\n%s", got, want)
	}
}

// list renders problems, one or two lines each.
func list(problems []Problem) string {
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&b, "%s: %s\n", p.Severity, p)
	}
	return b.String()
}

func count(problems []Problem, s Severity) int {
	n := 0
	for _, p := range problems {
		if p.Severity == s {
			n++
		}
	}
	return n
}

// dump renders f as the case files do.
func dump(f *File) string {
	var b strings.Builder
	for _, s := range f.Sections {
		fmt.Fprintf(&b, "[%s]\n", cString(s.Name))
		for _, st := range s.Settings {
			for i, v := range st.Values {
				fmt.Fprintf(&b, "  %s #%d line %d raw=%s expanded=%s\n",
					cString(st.Name), i, v.KeyPos.Line, cString(v.Raw), cString(v.Expanded))
			}
			x := st.Last().Expanded
			fmt.Fprintf(&b, "     last: bool=%s int=%s uint=%s ushort=%s float=%s\n",
				dumpBool(x), dumpInt(x), dumpUint(x, math.MaxUint32), dumpUint(x, math.MaxUint16), dumpFloat(x))
		}
	}
	return b.String()
}

// cString quotes s as the case files do.
func cString(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c == '\\' || c == '"':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return `"` + b.String() + `"`
}

func orERR(s string, ok bool) string {
	if !ok {
		return "ERR"
	}
	return s
}

func dumpBool(s string) string {
	v, ok := parseBool(s)
	return orERR(fmt.Sprint(v), ok)
}

func dumpInt(s string) string {
	v, _, ok := parseInt(s)
	return orERR(fmt.Sprint(v), ok)
}

func dumpUint(s string, limit uint64) string {
	v, _, ok := parseUint(s, limit)
	return orERR(fmt.Sprint(v), ok)
}

func dumpFloat(s string) string {
	v, _, ok := parseFloat(s)
	text := strconv.FormatFloat(v, 'g', 6, 64)
	switch {
	case math.IsNaN(v):
		text = "nan"
	case math.IsInf(v, 0):
		text = strings.ToLower(strings.TrimPrefix(text, "+"))
	}
	return orERR(text, ok)
}

// TestParseProblems checks where each problem points, and what it says of
// section and key.
func TestParseProblems(t *testing.T) {
	for _, c := range []struct {
		name string
		src  string
		want Problem // Text is a part of it
	}{
		{"no name", "[A]\n  = 1\n", Problem{Pos: Pos{2, 3}, Severity: Error, Section: "A", Text: `in front of "="`}},
		{"no value", "[A]\n  key\n", Problem{Pos: Pos{2, 3}, Severity: Error, Section: "A", Key: "key", Text: `no "=" after "key"`}},
		{"no value before a comment", "[A]\nkey # = 1\n", Problem{Pos: Pos{2, 1}, Severity: Error, Section: "A", Key: "key", Text: `no "="`}},
		{"no value at the end", "[A]\nkey", Problem{Pos: Pos{2, 1}, Severity: Error, Section: "A", Key: "key", Text: `no "="`}},
		{"key over two lines", "[A]\nke\\\n", Problem{Pos: Pos{2, 3}, Severity: Error, Section: "A", Text: "continued"}},
		{"key ends in a backslash", "[A]\nke\\", Problem{Pos: Pos{2, 3}, Severity: Error, Section: "A", Text: "continued"}},
		{"empty value", "[A]\n k =\n", Problem{Pos: Pos{2, 2}, Severity: Error, Section: "A", Key: "k", Text: "empty value"}},
		{"value of NUL", "[A]\nk = \\0x\n", Problem{Pos: Pos{2, 1}, Severity: Error, Section: "A", Key: "k", Text: "empty value"}},
		{"value with NUL", "[A]\nk = a\\x00b\n", Problem{Pos: Pos{2, 5}, Severity: Warning, Section: "A", Key: "k", Text: "NUL"}},
		{"key of NUL", "[A]\n\x00k = 1\n", Problem{Pos: Pos{2, 1}, Severity: Error, Section: "A", Text: "no name"}},
		{"no section", "k = 1\n", Problem{Pos: Pos{1, 1}, Severity: Error, Key: "k", Text: "before the first section"}},
		{"unclosed section", "[A]\n [B\n", Problem{Pos: Pos{2, 2}, Severity: Error, Section: "A", Text: `without "]"; the keys below it go to [A]`}},
		{"unclosed first section", "[B", Problem{Pos: Pos{1, 1}, Severity: Error, Text: `without "]"; the keys below it are in no section`}},
		{"unopened section", "]\n", Problem{Pos: Pos{1, 1}, Severity: Error, Text: `"]" without "["`}},
		{"empty section", "[ \t]\n", Problem{Pos: Pos{1, 1}, Severity: Error, Text: "empty section name"}},
		{"section of NUL", "[\x00]\n", Problem{Pos: Pos{1, 1}, Severity: Error, Text: "empty section name"}},
		{"comment in section", "[A;B]\n", Problem{Pos: Pos{1, 3}, Severity: Error, Text: `';' in a section name`}},
		{"comment for a section", "[#]\n", Problem{Pos: Pos{1, 2}, Severity: Error, Text: `'#' in a section name`}},
		{"section over two lines", "[A\\\n", Problem{Pos: Pos{1, 3}, Severity: Error, Text: "continued"}},
		{"text after section", "[A]  x\n", Problem{Pos: Pos{1, 6}, Severity: Error, Section: "A", Text: "ignored"}},
		{"open quote", "[A]\nk = a \"b\n\n", Problem{Pos: Pos{2, 7}, Severity: Error, Section: "A", Key: "k", Text: "never ends"}},
		{"open quote and backslash", "[A]\nk = \"b\\", Problem{Pos: Pos{2, 5}, Severity: Error, Section: "A", Key: "k", Text: "never ends"}},
		{"backslash at the end", "[A]\nk = ab\\", Problem{Pos: Pos{2, 7}, Severity: Error, Section: "A", Key: "k", Text: `file ends after the "\"`}},
		{"joined words", "[A]\nk = a \\\n b\n", Problem{Pos: Pos{2, 7}, Severity: Warning, Section: "A", Key: "k", Text: "joins the two lines"}},
		{"recursion", "[A]\nk = ${k}\n", Problem{Pos: Pos{2, 5}, Severity: Warning, Section: "A", Key: "k", Text: "refers to itself"}},
		{"lone dollar", "[A]\nk = 5$\n", Problem{Pos: Pos{2, 5}, Severity: Warning, Section: "A", Key: "k", Text: "dropped"}},
		{"byte order mark", "\ufeff[A]\nk = 1\n", Problem{Pos: Pos{1, 1}, Severity: Warning, Text: "byte order mark"}},
		{"long name", strings.Repeat("é", 100), Problem{Pos: Pos{1, 1}, Severity: Error, Key: strings.Repeat("é", 100), Text: `no "=" after "` + strings.Repeat("é", 32) + `…"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := Parse("f", []byte(c.src))
			if len(problems) != 1 {
				t.Fatalf("%d problems, want 1:\n%s", len(problems), list(problems))
			}
			got := problems[0]
			if !strings.Contains(got.Text, c.want.Text) {
				t.Errorf("text %q, want %q in it", got.Text, c.want.Text)
			}
			if got.Hint == "" {
				t.Error("no hint")
			}
			got.Text, got.Hint, c.want.File = c.want.Text, "", "f"
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestParseValues covers what the cases of the original do not.
func TestParseValues(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"equal multi-line forms", "k = aze\\\n    \" rty \"\\\n    uio", "aze rty uio"},
		{"quote after unquoted", `k = aze " rty " uio`, "aze rty uio"},
		{"quoted over lines", "k = \"aze\n  rty\n uio\"", "aze\n  rty\n uio"},
		{"quoted continuation", "k = \"aze\\\n rty \\\nuio\"", "aze rty uio"},
		{"continued at the start", "k = \\\n v", "v"},
		{"continued after a quote", "k = \"a \" \\\n b", "a b"},
		{"blanks dropped in front of a continuation", "k = a \\\n \"b\"", "ab"},
		{"continuation, then comment", "k = a \\\n # c\n", "a"},
		{"continuation, then nothing", "k = a \\\n\nl = 2\n", "a"},
		{"continuation of nothing", "k = a \\\n \\\n \"b\"\n", "ab"},
		{"words joined by a continuation", "k = a \\\n b", "ab"},
		{"only blanks in front of a continuation", "k = \\t \\\n b", "b"},
		{"carriage returns", "k = a\r\r\n", "a\r"},
		{"carriage return at the end", "k = a\r", "a\r"},
		{"octal stops at 8", `k = \18`, "\x018"},
		{"hex case", `k = \xFf\xfg`, "\xff\x0fg"},
		{"quote escaped", `k = "a\"b"`, `a"b`},
		{"escaped quote starts an unquoted part", `k = \"a b\" c`, `"a b" c`},
		{"blank after an escaped backslash", `k = a\\ `, `a\`},
		{"form feed is no blank", "k = \fa\f", "\fa\f"},
		{"bytes above 127", "k = \xff\xc3\xa9", "\xff\xc3\xa9"},
		{"escaped blank from before the mark stays", `k = "a "\t `, "a "},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, problems := Parse("f", []byte("[A]\n"+c.src))
			joins := strings.Contains(c.name, "joined")
			if got := len(problems) > 0; got != joins {
				t.Errorf("problems: %v, want %v:\n%s", got, joins, list(problems))
			}
			got := ""
			if st := f.Section("A").Setting("k"); st != nil {
				got = st.Last().Raw
			}
			if got != c.want {
				t.Errorf("value %q, want %q", got, c.want)
			}
		})
	}
}

func TestParseNames(t *testing.T) {
	for _, c := range []struct{ name, src, section, key string }{
		{"plain", "[A]\nk=v", "A", "k"},
		{"after a byte order mark", "\ufeff[A]\nk=v", "A", "k"},
		{"blanks inside", "[ a\tb ]\n k l\t= v", "a\tb", "k l"},
		{"quotes are text", "[\"A\"]\n\"k\"=v", `"A"`, `"k"`},
		{"escapes", `[A\x42\n]` + "\n" + `k\=\#\;\[\]=v`, "AB\n", "k=#;[]"},
		{"a backslash in front is text", `[\x41]` + "\n" + `\x41=v`, `\x41`, `\x41`},
		{"escaped blanks at the end go", `[A\t]` + "\n" + `k\t=v`, "A", "k"},
		{"NUL ends a name", `[A\0B]` + "\n" + `k\0l=v`, "A", "k"},
		{"carriage return is text", "[A\r]\r\nk\r=v", "A\r", "k\r"},
		{"case counts", "[a]\nK=v", "a", "K"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, problems := Parse("f", []byte(c.src))
			if n := count(problems, Error); n > 0 {
				t.Errorf("problems:\n%s", list(problems))
			}
			if len(f.Sections) != 1 || f.Section(c.section) == nil || f.Section(c.section).Setting(c.key) == nil {
				t.Errorf("got %s, want [%q] %q", dump(f), c.section, c.key)
			}
		})
	}
}

func TestParsePositions(t *testing.T) {
	f, _ := Parse("f", []byte("[A]\n\n  [ B ]\n  key  =   \"v\" # c\n k2=\\\n w\n[A]\nk3 = 1 # 2 # 3\n"))
	b := f.Section("B")
	if got, want := b.Pos, (Pos{3, 3}); got != want {
		t.Errorf("section at %v, want %v", got, want)
	}
	for _, c := range []struct {
		section, key string
		keyPos, pos  Pos
	}{
		{"B", "key", Pos{4, 3}, Pos{4, 12}},
		{"B", "k2", Pos{5, 2}, Pos{5, 5}},
		{"A", "k3", Pos{8, 1}, Pos{8, 6}},
	} {
		v := f.Section(c.section).Setting(c.key).Last()
		if v.KeyPos != c.keyPos || v.Pos != c.pos {
			t.Errorf("%s: key at %v, value at %v, want %v and %v", c.key, v.KeyPos, v.Pos, c.keyPos, c.pos)
		}
	}
	v := f.Section("A").Setting("k3").Last()
	if want := (Pos{8, 8}); v.comment != want || v.Raw[v.commentAt:] != "# 2 # 3" {
		t.Errorf("comment at %v, %q, want %v, the first one", v.comment, v.Raw[v.commentAt:], want)
	}
}

// TestCommentLookalikes checks which '#' and ';' look like a comment.
func TestCommentLookalikes(t *testing.T) {
	for src, want := range map[string]bool{
		"a # b":       true,
		"a\t; b":      true,
		`"a"b # c`:    true,
		"a#b":         false,
		"a;b":         false,
		`"a # b"`:     false,
		`"a" # b`:     false,
		`a \# b`:      false,
		`a \x20# b`:   false,
		"a \\\n # b":  false,
		"a # b\\0 c":  true,
		"a\\0 # b":    false,
		"a \"b\" # c": false,
	} {
		f, _ := Parse("f", []byte("[A]\nk = "+src))
		if got := f.Section("A").Setting("k").Last().comment != (Pos{}); got != want {
			t.Errorf("%q: looks like a comment: %v, want %v", src, got, want)
		}
	}
}
