package channel

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean returns a text that can be shown to people, wherever it comes from: what
// does not print is replaced, and what is too long is cut.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
