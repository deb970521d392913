package guide

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// A Mask is something that differs from one run of a command to the next. What it
// matches is the same in a document and in the terminal.
type Mask struct {
	name    string
	pattern *regexp.Regexp
}

// Varies returns the mask of what matches a regular expression. The name stands for
// it where texts are compared.
func Varies(name, pattern string) Mask { return Mask{name, regexp.MustCompile(pattern)} }

// Masks of what programs print of their surroundings.
var (
	Dates     = Varies("DATE", `\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z| UTC)?)?`)
	Times     = Varies("TIME", `\b(?:\d+(?:\.\d+)? (?:s|ms|µs)|(?:\d+(?:\.\d+)?(?:d|h|ms|m|s|µs))+)\b`)
	Sizes     = Varies("SIZE", `\b\d+(?:\.\d+)? (?:B|[KMGT]iB)\b(?:/s)?`)
	Endpoints = Varies("ENDPOINT", `\b\d+\.\d+\.\d+\.\d+:\d+\b`)
	Serials   = Varies("SERIAL", `\b[0-9A-F]{32}\b`)
	Keys      = Varies("KEY", `\b[0-9a-f]{12,64}\b`)
	Versions  = Varies("VERSION", `\bcampagnol(?:_rdv)? \d+\.\d+\.\d+[-+.\w]*(?: \(go[^)]*\))?`)
	Processes = Varies("PROCESS", `\bprocess \d+`)
)

// anything stands in a document for what it leaves out: alone for any words, in a
// word for all of it.
const anything = "…"

// Check makes sure that a command has printed what the document shows, if it shows
// something. Blanks and the ends of lines do not count, since columns grow and
// sentences are wrapped. "…" in the document stands for what it leaves out: any
// words, or, as a part of a word, that one.
func (g *Guide) Check(t testing.TB, c Command, got string, masks ...Mask) {
	t.Helper()
	if problem := differs(c.Output, got, masks); c.Output != "" && problem != "" {
		t.Errorf("%s:%d: %q prints something else than the document shows, %s\nthe document shows\n%s\nit prints\n%s", g.Path, c.At, c.Line, problem, c.Output, got)
	}
}

// differs returns where an output is not what a document shows.
func differs(shown, got string, masks []Mask) string {
	for _, m := range masks {
		shown = m.pattern.ReplaceAllString(shown, "<"+m.name+">")
		got = m.pattern.ReplaceAllString(got, "<"+m.name+">")
	}
	words := strings.Fields(shown)
	text := strings.Join(strings.Fields(got), " ") + " "
	if matches(words, text, "$") {
		return ""
	}
	good := 0 // so many words are there
	for good < len(words) && matches(words[:good+1], text, "") {
		good++
	}
	if good == len(words) {
		return "which ends earlier"
	}
	return fmt.Sprintf("from %q on", strings.Join(words[good:min(good+6, len(words))], " "))
}

// matches reports whether a text begins with words of a document, and goes on with
// what a regular expression matches.
func matches(words []string, text, rest string) bool {
	var pattern strings.Builder
	pattern.WriteString("^")
	for _, w := range words {
		switch {
		case w == anything:
			pattern.WriteString(`(?:\S+ )*?`)
		case strings.Contains(w, anything):
			pattern.WriteString(`\S+ `)
		default:
			pattern.WriteString(regexp.QuoteMeta(w) + " ")
		}
	}
	return regexp.MustCompile(pattern.String() + rest).MatchString(text)
}
