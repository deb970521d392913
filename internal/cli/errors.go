package cli

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// A HintError is an error with a sentence about what to do.
type HintError struct {
	Err  error
	Text string // of the hint, without "hint: "
}

func (e *HintError) Error() string { return e.Err.Error() }
func (e *HintError) Unwrap() error { return e.Err }

// Hint returns the hint. [Print] takes hints from any error with this method.
func (e *HintError) Hint() string { return e.Text }

// WithHint adds a hint to err.
func WithHint(err error, format string, args ...any) error {
	return &HintError{err, fmt.Sprintf(format, args...)}
}

// An ExitError makes [Execute] return Code.
type ExitError struct {
	Code int
	Err  error // what to print; nil: nothing
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return "exit status " + strconv.Itoa(e.Code)
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// usageError adds to err where the options are listed.
func usageError(root *cobra.Command, err error) error {
	return WithHint(err, "%q lists the options", root.Name()+" -h")
}

// Hints returns the hints of all errors in the tree of err, without repetitions.
func Hints(err error) []string { return hints(err) }

// hints returns the hints of all errors in the tree of err, without
// repetitions.
func hints(err error) (hs []string) {
	seen := map[string]bool{}
	var walk func(error)
	walk = func(err error) {
		if h, ok := err.(interface{ Hint() string }); ok && h.Hint() != "" && !seen[h.Hint()] {
			seen[h.Hint()] = true
			hs = append(hs, h.Hint())
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			if next := e.Unwrap(); next != nil {
				walk(next)
			}
		case interface{ Unwrap() []error }:
			for _, next := range e.Unwrap() {
				walk(next)
			}
		}
	}
	walk(err)
	return hs
}

// lines splits s and escapes what a terminal would obey. Names of files, and
// what is in them, may come from others.
func lines(s string) []string {
	s = strings.TrimRight(s, "\n")
	printable := func(c rune) bool { return unicode.IsPrint(c) || c == '\n' || c == '\t' }
	if strings.IndexFunc(s, func(c rune) bool { return !printable(c) || c == unicode.ReplacementChar }) >= 0 {
		var b strings.Builder
		for i := 0; i < len(s); {
			c, n := utf8.DecodeRuneInString(s[i:])
			if printable(c) && (c != unicode.ReplacementChar || n > 1) {
				b.WriteString(s[i : i+n])
			} else {
				q := strconv.Quote(s[i : i+n])
				b.WriteString(q[1 : len(q)-1])
			}
			i += n
		}
		s = b.String()
	}
	return strings.Split(s, "\n")
}
