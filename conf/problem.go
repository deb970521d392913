package conf

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Severity says what a [Problem] did to the configuration.
type Severity uint8

const (
	// Warning marks something that is used, though probably not as it was
	// meant, or that has no effect.
	Warning Severity = iota
	// Error marks something that cannot be used: a line that is skipped, or a
	// value that is refused.
	Error
)

// String returns "warning" or "error".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// A Problem is something in a configuration file that its author should know.
// It is also the error of [ParseClient] and [LoadClient] for a file that cannot
// be used.
type Problem struct {
	File     string
	Pos      Pos // the zero Pos means the file as a whole
	Severity Severity
	Section  string // "" where it does not apply
	Key      string // "" where it does not apply
	Text     string // what is the matter; one line, no full stop
	Hint     string // what to do about it; one line, may be empty
}

// String returns "file:line:column: text", and the hint on a line of its own
// that starts with "hint: ". Line and column are left out if Pos is zero.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Pos != (Pos{}) {
		fmt.Fprintf(&b, ":%d:%d", p.Pos.Line, p.Pos.Column)
	}
	b.WriteString(": ")
	b.WriteString(p.Text)
	if p.Hint != "" {
		b.WriteString("\nhint: ")
		b.WriteString(p.Hint)
	}
	return b.String()
}

// Error returns the same as String.
func (p Problem) Error() string { return p.String() }

// maxProblems is how many problems of one severity are kept. Nobody reads more,
// and a file of another kind, given by mistake, has one in every line.
const maxProblems = 100

// A report collects the problems of a file.
type report struct {
	file   string
	list   []Problem
	count  [2]int // by severity
	hidden int
}

// add appends p, or counts it if there are too many already.
func (r *report) add(p Problem) {
	p.File = r.file
	if r.count[p.Severity]++; r.count[p.Severity] > maxProblems {
		r.hidden++
		return
	}
	r.list = append(r.list, p)
}

// full reports whether add would drop a problem of severity s, so that callers
// can save the work of wording it.
func (r *report) full(s Severity) bool { return r.count[s] >= maxProblems }

// problems returns what was collected, in the order of the file; what concerns
// the file as a whole comes last.
func (r *report) problems() []Problem {
	list := slices.Clone(r.list)
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(
			compareBool(a.Pos == (Pos{}), b.Pos == (Pos{})),
			cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Column, b.Pos.Column),
		)
	})
	if r.hidden > 0 {
		list = append(list, Problem{
			File:     r.file,
			Severity: Warning,
			Text:     fmt.Sprintf("%d more problems are not listed", r.hidden),
		})
	}
	return list
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// maxQuoted is how many bytes of a value a message repeats.
const maxQuoted = 64

// quote returns s in quotes for a message: control characters are escaped, so
// that a file cannot play with the terminal, and a long text is cut.
func quote(s string) string {
	if len(s) <= maxQuoted {
		return strconv.Quote(s)
	}
	cut := maxQuoted
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut] + "…")
}

// plain returns s as quote does, without the quotes.
func plain(s string) string {
	q := quote(s)
	return q[1 : len(q)-1]
}
