package conf

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestExpansion(t *testing.T) {
	long := strings.Repeat("x", maxExpanded)
	chain := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "c%d = ${c%d}\n", i, i+1)
		}
		fmt.Fprintf(&b, "c%d = end\n", n)
		return b.String()
	}
	for _, c := range []struct {
		name, src, key, want string
		fits                 bool
	}{
		{"name may hold a brace", "}x = v\nk = ${}x}", "k", "v", true},
		{"unknown with a brace", "k = ${}", "k", "${}", true},
		{"dollar twice at the end", "k = a$$", "k", "a$", true},
		{"dollar thrice at the end", "k = a$$$", "k", "a$", true},
		{"only a dollar", "k = $", "k", "", true},
		{"empty inside", "e = $\nk = a${e}b", "k", "ab", true},
		{"an earlier value refers to the last", "k = y\nk = ${k} x\nk = z", "k", "z", true},
		{"as long as may be", "l = " + long + "\nk = ${l}", "k", long, true},
		{"one byte more", "l = " + long + "\nk = ${l}y", "k", "${l}y", false},
		{"long by itself", "k = " + long + "y", "k", long + "y", true},
		{"deep", chain(maxDepth - 1), "c0", "end", true},
		{"too deep", chain(maxDepth), "c0", "${c1}", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, problems := Parse("f", []byte("[A]\n"+c.src))
			v := f.Section("A").Setting(c.key).Last()
			if v.Expanded != c.want {
				t.Errorf("expanded to %.60q, want %.60q", v.Expanded, c.want)
			}
			if v.tooLong == c.fits || (count(problems, Error) == 0) != c.fits {
				t.Errorf("fits: %v, want %v; problems:\n%s", !v.tooLong, c.fits, list(problems))
			}
		})
	}
	f, _ := Parse("f", []byte("[A]\nk = ${k} x\nk = z"))
	if got, want := f.Section("A").Setting("k").Values[0].Expanded, "z x"; got != want {
		t.Errorf("an earlier value expanded to %q, want %q", got, want)
	}
}

// TestExpansionBombs checks that the limits hold. Without them most of these
// files would not be read before the test's time is up.
func TestExpansionBombs(t *testing.T) {
	doubling := func(last string) string {
		var b strings.Builder
		b.WriteString("[A]\n")
		for i := range 60 {
			fmt.Fprintf(&b, "k%d = ${k%d}${k%d}\n", i, i+1, i+1)
		}
		fmt.Fprintf(&b, "k60 = %s\n", last)
		return b.String()
	}
	big := strings.Repeat("x", 500_000)
	for name, src := range map[string]string{
		"doubling":               doubling("x"),
		"doubling of nothing":    doubling("$"),
		"everything inside all":  "[A]\n" + strings.Repeat("k = ${k}${k}\n", 50_000),
		"many of a long one":     "[A]\nbig = " + big + "\n" + strings.Repeat("a = ${big}\n", 40_000),
		"a long one of dollars":  "[A]\nbig = " + strings.Repeat("$$", 250_000) + "\n" + strings.Repeat("a = ${big}\n", 40_000),
		"open braces":            "[A]\nk = " + strings.Repeat("${", 500_000),
		"open braces, one close": "[A]\nk = }" + strings.Repeat("${", 500_000),
		"unknown names":          "[A]\nk = " + strings.Repeat("${x}", 250_000),
		"other unknown names":    "[A]\nk = " + manyNames(50_000),
		"backslashes":            "[A]\nk = " + strings.Repeat(" \\\n", 300_000),
		"blanks":                 "[A]\nk = x" + strings.Repeat(" ", 1_000_000),
		"blank parts":            "[A]\nk = " + strings.Repeat(`" " `, 250_000),
		"sections":               strings.Repeat("[A]\n[\n[B]x\n", 80_000),
	} {
		t.Run(name, func(t *testing.T) {
			f, problems := Parse("f", []byte(src))
			if got := len(problems); got > 2*maxProblems+1 {
				t.Errorf("%d problems", got)
			}
			checkBounds(t, f, len(src))
		})
	}
}

// manyNames returns n references to as many names.
func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "${%d}", i)
	}
	return b.String()
}

// checkBounds checks that f, from a file of n bytes, is not larger than it may be.
func checkBounds(t *testing.T, f *File, n int) {
	t.Helper()
	raw, grown := 0, 0
	for _, s := range f.Sections {
		raw += len(s.Name)
		for _, st := range s.Settings {
			raw += len(st.Name)
			for _, v := range st.Values {
				raw += len(v.Raw)
				if v.Expanded != v.Raw {
					grown += len(v.Expanded)
				}
				if len(v.Expanded) > max(maxExpanded, len(v.Raw)) {
					t.Errorf("%s expands to %d bytes", st.Name, len(v.Expanded))
				}
				if v.Raw == "" || bytes.IndexByte([]byte(v.Raw+v.Expanded), 0) >= 0 {
					t.Errorf("value %.60q, expanded %.60q: empty, or with a NUL byte", v.Raw, v.Expanded)
				}
			}
		}
	}
	if raw > n {
		t.Errorf("%d bytes in names and values, %d in the file", raw, n)
	}
	if grown > maxWork {
		t.Errorf("expanded to %d bytes, limit %d", grown, maxWork)
	}
}

// expandPlainly is what expansion means, without limits: the definition in the
// fewest words, to compare with.
func expandPlainly(s *Section, v *Value, inside []*Value) string {
	if slices.Contains(inside, v) {
		return recursionText
	}
	inside = append(slices.Clone(inside), v)
	out, raw := "", v.Raw
	for raw != "" {
		end := -1
		if len(raw) > 2 {
			end = strings.Index(raw[3:], "}")
		}
		switch {
		case raw[0] != '$':
			out, raw = out+raw[:1], raw[1:]
		case raw == "$":
			raw = ""
		case raw[1] == '$':
			out, raw = out+"$", raw[2:]
		case raw[1] == '{' && end >= 0:
			name := raw[2 : 3+end]
			if st := s.Setting(name); st != nil {
				out += expandPlainly(s, st.Last(), inside)
			} else {
				out += "${" + name + "}"
			}
			raw = raw[4+end:]
		default:
			out, raw = out+raw[:2], raw[2:]
		}
	}
	return out
}

// TestExpansionByDefinition compares expansion with its definition, for files
// that are put together at random and refer to themselves a lot.
func TestExpansionByDefinition(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	parts := []string{"$", "$$", "{", "}", "${", "${a}", "${b}", "${c}", "${d}", "${}", "${}x}", "${ a}", "x", "a", " "}
	keys := []string{"a", "b", "c", "}x"}
	for range 5000 {
		var b strings.Builder
		b.WriteString("[A]\n")
		for range 4 {
			b.WriteString(keys[random.IntN(len(keys))] + " = ")
			for range random.IntN(6) {
				b.WriteString(parts[random.IntN(len(parts))])
			}
			b.WriteString(".\n")
		}
		f, _ := Parse("f", []byte(b.String()))
		s := f.Section("A")
		for _, st := range s.Settings {
			for i := range st.Values {
				v := &st.Values[i]
				if want := expandPlainly(s, v, nil); v.Expanded != want {
					t.Fatalf("%q in\n%s\nexpanded to %q, want %q", v.Raw, b.String(), v.Expanded, want)
				}
			}
		}
	}
}

// TestExpansionMarks checks what is remembered about references.
func TestExpansionMarks(t *testing.T) {
	f, _ := Parse("f", []byte("[A]\nk = ${a}${x}${y}${x}${}\na = ${b}${z}\nb = 1\n[B]\nk = ${a}\n"))
	a := f.Section("A")
	for name, want := range map[string]bool{"a": true, "b": true, "k": false, "x": false} {
		if got := a.used[name]; got != want {
			t.Errorf("%s is used: %v, want %v", name, got, want)
		}
	}
	for _, c := range []struct {
		section, key string
		want         []string
	}{
		{"A", "k", []string{"x", "y"}}, // z is told with a
		{"A", "a", []string{"z"}},
		{"A", "b", nil},
		{"B", "k", []string{"a"}},
	} {
		if got := f.Section(c.section).Setting(c.key).Last().unknown; !slices.Equal(got, c.want) {
			t.Errorf("[%s] %s: unknown names %q, want %q", c.section, c.key, got, c.want)
		}
	}
}

// TestExpansionWarnsOnce checks that a value is only told about its own text.
func TestExpansionWarnsOnce(t *testing.T) {
	_, problems := Parse("f", []byte("[A]\ne = 5$\nk = ${e}${e}\n"))
	if len(problems) != 1 || problems[0].Key != "e" {
		t.Errorf("problems:\n%swant one, about e", list(problems))
	}
}
