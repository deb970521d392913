package logging

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// An attr is an attribute whose value is resolved and whose key tells its
// groups: "group.key".
type attr struct {
	key   string
	value slog.Value
}

// A scope holds what WithAttrs and WithGroup have added to a handler.
type scope struct {
	prefix string // of the keys to come: the open groups, each with a dot
	attrs  []attr
}

func (s scope) withAttrs(as []slog.Attr) scope {
	s.attrs = s.attrs[:len(s.attrs):len(s.attrs)] // append must copy: others share it
	for _, a := range as {
		s.attrs = appendAttr(s.attrs, s.prefix, a)
	}
	return s
}

func (s scope) withGroup(name string) scope {
	if name != "" {
		s.prefix += name + "."
	}
	return s
}

// appendAttr appends a, or the members of a if it is a group.
func appendAttr(as []attr, prefix string, a slog.Attr) []attr {
	v := a.Value.Resolve()
	if v.Kind() != slog.KindGroup {
		if a.Key == "" {
			return as
		}
		return append(as, attr{prefix + a.Key, v})
	}
	if a.Key != "" {
		prefix += a.Key + "."
	}
	for _, member := range v.Group() {
		as = appendAttr(as, prefix, member)
	}
	return as
}

// appendLine appends r in the form that [NewText] describes, without line end.
func (s scope) appendLine(b []byte, r slog.Record) []byte {
	as := append(make([]attr, 0, 16), s.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		as = appendAttr(as, s.prefix, a)
		return true
	})
	b, as = appendMessage(b, r.Message, as)
	for i, a := range as {
		if a.key == "peer" {
			b = append(b, ' ')
			b = appendBare(b, text(a.value))
			as = append(as[:i], as[i+1:]...)
			break
		}
	}
	for _, a := range as {
		b = append(b, ' ')
		b = appendQuoted(b, a.key)
		b = append(b, '=')
		b = appendQuoted(b, text(a.value))
	}
	return b
}

// appendMessage appends msg with the values of as in place of their names in
// braces, and returns as without them. Braces around anything else stay.
func appendMessage(b []byte, msg string, as []attr) ([]byte, []attr) {
	var used uint64 // bit i: as[i] is in the message; later ones are repeated
	for {
		end := strings.IndexByte(msg, '}')
		if end < 0 {
			break
		}
		at := -1
		start := strings.LastIndexByte(msg[:end], '{')
		if start >= 0 {
			at = find(as, msg[start+1:end])
		}
		if at >= 0 {
			b = appendBare(b, msg[:start])
			b = appendBare(b, text(as[at].value))
			used |= 1 << at
		} else {
			b = appendBare(b, msg[:end+1])
		}
		msg = msg[end+1:]
	}
	b = appendBare(b, msg)
	rest := as[:0]
	for i, a := range as {
		if used&(1<<i) == 0 {
			rest = append(rest, a)
		}
	}
	return b, rest
}

// find returns the index of the last attribute called key, which is the one
// that counts, or -1.
func find(as []attr, key string) int {
	for i := len(as) - 1; i >= 0; i-- {
		if as[i].key == key {
			return i
		}
	}
	return -1
}

// text returns the value in the form for people.
func text(v slog.Value) string {
	switch v.Kind() {
	case slog.KindString:
		return v.String()
	case slog.KindTime:
		return v.Time().Format(time.RFC3339)
	case slog.KindAny:
		return fmt.Sprint(v.Any()) // survives methods that panic
	}
	return v.String()
}

// appendBare appends s without quotes. What could move the cursor, start a
// line or hide text is escaped.
func appendBare(b []byte, s string) []byte {
	if printable(s) {
		return append(b, s...)
	}
	q := strconv.Quote(s)
	return append(b, q[1:len(q)-1]...)
}

// appendQuoted appends s, in quotes where s alone would not be recognised as
// one word.
func appendQuoted(b []byte, s string) []byte {
	if s == "" || strings.ContainsAny(s, " =\"\\") || !printable(s) {
		return strconv.AppendQuote(b, s)
	}
	return append(b, s...)
}

// printable reports whether s is valid UTF-8 without control and formatting
// characters.
func printable(s string) bool {
	for i, c := range s {
		if c == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return false
			}
		}
		if !unicode.IsPrint(c) {
			return false
		}
	}
	return true
}
