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
// it where texts are compared; what its first group matches stays there.
func Varies(name, pattern string) Mask { return Mask{name, regexp.MustCompile(pattern)} }

// Masks of what programs print of their surroundings.
var (
	RoundTrips = Varies("RTTS", `\b[\d.]+/[\d.]+/[\d.]+/[\d.]+ ms\b`)
	Dates      = Varies("DATE", `\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z| UTC)?)?`)
	Times      = Varies("TIME", `\b(?:\d+(?:\.\d+)? (?:s|ms|µs)|(?:\d+(?:\.\d+)?(?:d|h|ms|m|s|µs))+)\b`)
	Sizes      = Varies("SIZE", `\b\d+(?:\.\d+)? (?:B|[KMGT]iB)\b(?:/s)?`)
	Ports      = Varies("PORT", `([\d\]]):\d{4,5}\b`)
	Serials    = Varies("SERIAL", `\b[0-9A-F]{32}\b|\b[0-9A-F]{4}…[0-9A-F]{4}\b`)
	Keys       = Varies("KEY", `\b[0-9a-f]{12,64}\b`)
	Tokens     = Varies("TOKEN", `\bcampagnol-(?:[a-z2-7]{40,}|[a-z2-7]+…)`)
	Versions   = Varies("VERSION", `\bcampagnol(?:_rdv)? \d+\.\d+\.\d+[-+.\w]*(?: \(go[^)]*\))?`)
	Processes  = Varies("PROCESS", `\bprocess \d+`)
)

// Usual returns the masks of what every command may print, in the order in which they
// have to be: the first of them have parts that others match as well.
func Usual() []Mask {
	return []Mask{RoundTrips, Dates, Times, Sizes, Ports, Serials, Tokens, Keys, Versions, Processes}
}

// anything stands in a document for what it leaves out: lines, words or a part of a word.
const anything = "…"

// Check makes sure that a command has printed what the document shows, if it shows
// something. See [Command.Differs].
func (g *Guide) Check(t testing.TB, c Command, got string, masks ...Mask) {
	t.Helper()
	if problem := c.Differs(got, masks...); problem != "" {
		t.Errorf("%s:%d: %q prints something else than the document shows, %s\nthe document shows\n%s\nit prints\n%s", g.Path, c.At, c.Line, problem, c.Output, got)
	}
}

// Differs returns where an output is not what the document shows; "" if it is, or if
// the document shows nothing. Blanks, and empty lines, do not count, and a sentence may
// be wrapped elsewhere, since columns grow. "…" in the document stands for what it
// leaves out: alone on a line for any lines, among words for any words of a line, and in
// a word for any part of it.
func (c Command) Differs(got string, masks ...Mask) string {
	if c.Output == "" {
		return ""
	}
	shown := c.Output
	for _, m := range masks {
		shown = m.pattern.ReplaceAllString(shown, "${1}<"+m.name+">")
		got = m.pattern.ReplaceAllString(got, "${1}<"+m.name+">")
	}
	words := wordsOf(shown)
	var text strings.Builder
	for line := range strings.Lines(got) {
		if f := strings.Fields(line); len(f) > 0 {
			text.WriteString(strings.Join(f, " ") + "\n")
		}
	}
	if begins(text.String(), words, true) {
		return ""
	}
	good := 0 // so many words are there
	for good < len(words) && begins(text.String(), words[:good+1], false) {
		good++
	}
	if good == len(words) {
		return "which ends earlier"
	}
	var rest []string
	for _, w := range words[good:min(good+6, len(words))] {
		rest = append(rest, w.text)
	}
	return fmt.Sprintf("from %q on", strings.Join(rest, " "))
}

// A word is one of a document's.
type word struct {
	text        string
	first, last bool // in its line
}

// wordsOf returns the words of a text.
func wordsOf(text string) (words []word) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		for i, w := range f {
			words = append(words, word{w, i == 0, i == len(f)-1})
		}
	}
	return words
}

// begins reports whether a text, whose words have single blanks or ends of lines behind
// them, begins with words of a document, or consists of them.
func begins(text string, words []word, whole bool) bool {
	pattern, between := "^", ""
	for i, w := range words {
		switch {
		case w.text != anything:
			parts := strings.Split(w.text, anything)
			for i := range parts {
				parts[i] = regexp.QuoteMeta(parts[i])
			}
			pattern += between + strings.Join(parts, `\S*`)
			between = `[ \n]`
			if !whole && i == len(words)-1 {
				pattern += between
			}
		case w.first && w.last:
			if between != "" {
				pattern += `\n`
			}
			pattern += `(?:[^\n]*\n)*?`
			between = ""
		case w.first:
			pattern += between + `(?:\S+ )*?`
			between = ""
		case w.last:
			pattern += `(?: [^\n]*)?`
			between = `\n`
		default:
			pattern += `(?: \S+)*?`
		}
	}
	if whole && between != "" {
		pattern += `\n`
	}
	if whole {
		pattern += "$"
	}
	return regexp.MustCompile(pattern).MatchString(text)
}
