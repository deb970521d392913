package policy

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"campagnol/internal/spell"
)

// An Error is a mistake in the text of a policy. [Parse] joins several.
type Error struct {
	File         string
	Line, Column int    // from 1; the column counts characters
	Text         string // what was found, and what was expected
}

// Error returns "file:line:column: text".
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Text)
}

// A Warning is something in a policy that works, but hardly as it was meant.
type Warning struct {
	Line int // 0: the policy as a whole
	Text string
}

// String returns "line N: text".
func (w Warning) String() string {
	if w.Line == 0 {
		return w.Text
	}
	return fmt.Sprintf("line %d: %s", w.Line, w.Text)
}

// maxQuoted is how many bytes of a word a message repeats.
const maxQuoted = 64

// quote returns s in quotes, escaped and cut.
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

// didYouMean returns the question about the known word nearest to s, or "".
func didYouMean(s string, known ...string) string {
	if near := nearest(s, known); near != "" && near != s {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// nearest returns the one of known that s is most likely a misspelling of, or "".
func nearest(s string, known []string) string {
	if len(s) > maxQuoted {
		return ""
	}
	s = strings.ToLower(s)
	near, least := "", max(len(s)/3, 1)+1
	for _, k := range known {
		if len(k)-len(s) >= least || len(s)-len(k) >= least {
			continue
		}
		if d := spell.Distance(s, k); d < least {
			near, least = k, d
		}
	}
	return near
}
