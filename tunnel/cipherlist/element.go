package cipherlist

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Operations of an element.
const (
	opAdd     = ':'
	opRemove  = '-'
	opToEnd   = '+'
	opKill    = '!'
	opCommand = '@'
)

// An element is one part of a list: an operation on suites, or a command.
type element struct {
	op   byte
	text string // as it stands in the list, with what is skipped
	want traits // what the names stand for together, unless unknown or nothing says more

	// command is the name behind an @, and skipped what stands between it and
	// the next separator.
	command, skipped string

	unknown string // the first name that is not known; "": none
	nothing bool   // the parts that "+" joins exclude each other
}

// next returns the element at the start of a list that does not begin with a
// separator, and the list behind it.
//
// As in OpenSSL an operator needs no separator before it: HIGH!aNULL is
// HIGH:!aNULL. And what follows a name without effect, up to the next separator,
// has none either.
func next(list string) (el element, rest string, err error) {
	el = element{op: opAdd}
	rest = list
	switch rest[0] {
	case opRemove, opToEnd, opKill, opCommand:
		el.op, rest = rest[0], rest[1:]
	}
	for more := true; more; {
		n := nameLen(rest)
		if n == 0 {
			return el, rest, syntaxError(list[:len(list)-len(rest)], rest)
		}
		var name string
		name, rest = rest[:n], rest[n:]
		if el.op == opCommand {
			el.command = name
			end := len(rest) - len(skip(rest))
			el.skipped, rest = rest[:end], rest[end:]
			break
		}
		rest, more = strings.CutPrefix(rest, "+")
		if t, ok := names()[name]; !ok {
			el.unknown = name
		} else if both, ok := el.want.and(t); !ok {
			el.nothing = true
		} else {
			el.want = both
			continue
		}
		rest = skip(rest)
		break
	}
	el.text = list[:len(list)-len(rest)]
	return el, rest, nil
}

// nameLen returns the length of the name at the start of s.
func nameLen(s string) int {
	for i := range len(s) {
		switch c := s[i]; {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.', c == '=':
		default:
			return i
		}
	}
	return len(s)
}

// isSeparator reports whether c separates elements.
func isSeparator(c byte) bool { return c == ':' || c == ',' || c == ';' || c == ' ' }

// skip returns what of s begins with its first separator.
func skip(s string) string {
	for i := range len(s) {
		if isSeparator(s[i]) {
			return s[i:]
		}
	}
	return ""
}

// syntaxError says that after, which stands behind before in an element, should
// begin with a name.
func syntaxError(before, after string) error {
	if after == "" || isSeparator(after[0]) {
		return fmt.Errorf("%s lacks the name of a suite or group", quote(before))
	}
	_, n := utf8.DecodeRuneInString(after)
	after = after[:n]
	if before == "" {
		return fmt.Errorf("%s neither begins a name nor separates names", quote(after))
	}
	return fmt.Errorf("%s after %s begins no name", quote(after), quote(before))
}
