package conf

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

func TestProblemLimit(t *testing.T) {
	_, problems := Parse("f", []byte("[A]\n"+strings.Repeat("x\nk = $\n", 150)))
	if got, want := count(problems, Error), maxProblems; got != want {
		t.Errorf("%d errors, want %d", got, want)
	}
	if got, want := len(problems), 2*maxProblems+1; got != want {
		t.Fatalf("%d problems, want %d", got, want)
	}
	last := problems[len(problems)-1]
	if want := "100 more problems are not listed"; last.Text != want || last.Pos != (Pos{}) {
		t.Errorf("last problem %+v, want %q", last, want)
	}
	for i := 1; i < len(problems)-1; i++ {
		if problems[i].Pos.Line < problems[i-1].Pos.Line {
			t.Fatalf("line %d after %d", problems[i].Pos.Line, problems[i-1].Pos.Line)
		}
	}
}

func TestProblemString(t *testing.T) {
	for _, c := range []struct {
		p    Problem
		want string
	}{
		{Problem{File: "/etc/x", Pos: Pos{14, 3}, Text: "t", Hint: "h"}, "/etc/x:14:3: t\nhint: h"},
		{Problem{File: "/etc/x", Text: "t"}, "/etc/x: t"},
	} {
		if got := c.p.String(); got != c.want {
			t.Errorf("String = %q, want %q", got, c.want)
		}
		if got := c.p.Error(); got != c.want {
			t.Errorf("Error = %q, want %q", got, c.want)
		}
	}
	if Warning.String() != "warning" || Error.String() != "error" {
		t.Errorf("severities are called %v and %v", Warning, Error)
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"a b":                         `"a b"`,
		"\x1b[2J\n":                   `"\x1b[2J\n"`,
		strings.Repeat("a", 64):       `"` + strings.Repeat("a", 64) + `"`,
		strings.Repeat("a", 65):       `"` + strings.Repeat("a", 64) + `…"`,
		strings.Repeat("a€", 20):      `"` + strings.Repeat("a€", 16) + `…"`,
		"a" + strings.Repeat("€", 22): `"a` + strings.Repeat("€", 21) + `…"`,
		strings.Repeat("\x80", 70):    `"…"`,
	} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}

// TestProblemStyle checks the wording of everything that the case files and
// the tables of the tests cause.
func TestProblemStyle(t *testing.T) {
	var sources []string
	for _, name := range cases(t, "*") {
		sources = append(sources, string(readCase(t, name+".conf")))
	}
	for _, w := range warnings {
		sources = append(sources, edit(w.section, w.key, w.lines))
	}
	for _, r := range refused {
		sources = append(sources, edit(r.section, r.key, r.key+" = "+r.value))
	}
	sources = append(sources, "[\x1b[2J]\nk\x07 = \x1b[1m # \x1b\n", "[NETWORK]\nserver_host = \x1b[2J\nk\\n\x1b = ${\x1b}\n\x1b")
	for _, src := range sources {
		_, problems, err := ParseClient("f", []byte(src))
		if err != nil {
			problems = append(problems, err.(Problem))
		}
		for _, p := range problems {
			checkStyle(t, p)
			for _, s := range []string{p.Text, p.Hint} {
				if strings.HasSuffix(s, ".") || strings.HasSuffix(s, " ") || strings.Contains(s, "%!") {
					t.Errorf("odd text %q", s)
				}
			}
		}
	}
}

// checkStyle checks that p can be shown to a person on a terminal.
func checkStyle(t *testing.T, p Problem) {
	t.Helper()
	for _, s := range []string{p.Text, p.Hint} {
		if strings.ContainsFunc(s, unicode.IsControl) {
			t.Errorf("control characters in %q", s)
		}
		if len(s) > 600 {
			t.Errorf("%d bytes: %q", len(s), s)
		}
	}
	if p.Text == "" {
		t.Errorf("no text: %+v", p)
	}
}

// TestProblemOrder checks the order of problems from different steps.
func TestProblemOrder(t *testing.T) {
	src := "[NETWORK]\nx = 1\nserver_port = 1 # 2\ny\n[B]\nz = ${z}\n"
	_, problems, err := ParseClient("f", []byte(src))
	if err == nil {
		t.Fatal("accepted without server_host")
	}
	var got []string
	for _, p := range problems {
		place := "file"
		if p.Pos != (Pos{}) {
			place = strconv.Itoa(p.Pos.Line)
		}
		got = append(got, place+" "+p.Key)
	}
	want := []string{"2 x", "3 server_port", "4 y", "5 ", "6 z",
		"file vpn_ip", "file network", "file certificate", "file key", "file ca_certificates"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
