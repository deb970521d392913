package main

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"campagnol/conf"
	"campagnol/internal/control"
)

// minName is how long a name is that is replaced, in bytes.
const minName = 2

// A span is a part of a text that something else takes the place of. All are looked for
// in the text as it was: what has taken the place of one hides no other.
type span struct {
	from, to int
	mark     string
}

// A hiddenName is how a name may be written.
type hiddenName struct{ text, mark string }

// hide notes names that an anonymous report is not to have, as they may stand in a log,
// in JSON and in a URL. Certificates have them as they were given, DNS in lower case.
func (r *redactor) hide(names []string) {
	known := map[string]bool{}
	for _, name := range names {
		lower := strings.ToLower(name)
		quoted := strconv.Quote(name)
		document, err := json.Marshal(name)
		if err != nil {
			document = []byte(quoted)
		}
		for _, text := range []string{name, lower, quoted[1 : len(quoted)-1], string(document[1 : len(document)-1]), url.PathEscape(name), url.QueryEscape(name)} {
			if len(name) >= minName && !known[text] {
				known[text] = true
				r.names = append(r.names, hiddenName{text, "name-" + r.mark(lower)})
			}
		}
	}
}

// replace returns s without names and addresses. What overlaps goes as one.
func (r *redactor) replace(s string) string {
	spans := r.nameSpans(s, r.addrSpans(s, nil))
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(a.from-b.from, b.to-a.to) })
	var b strings.Builder
	done := 0
	for i := 0; i < len(spans); {
		whole := spans[i]
		for i++; i < len(spans) && spans[i].from < whole.to; i++ {
			if spans[i].to > whole.to {
				whole.to = spans[i].to
				whole.mark = "name-" + r.mark(strings.ToLower(s[whole.from:whole.to]))
			}
		}
		b.WriteString(s[done:whole.from])
		b.WriteString(whole.mark)
		done = whole.to
	}
	b.WriteString(s[done:])
	return b.String()
}

// nameSpans appends where names stand as words of their own.
func (r *redactor) nameSpans(s string, spans []span) []span {
	for _, n := range r.names {
		for at := 0; ; {
			i := strings.Index(s[at:], n.text)
			if i < 0 {
				break
			}
			from := at + i
			to := from + len(n.text)
			if at = from + 1; ownWord(s, from, to) {
				spans, at = append(spans, span{from, to, n.mark}), to
			}
		}
	}
	return spans
}

// An escape, or its end, may stand in front of a name, and end in a letter or a digit.
var escapePattern = regexp.MustCompile(`(?:\\(?:[abefnrtv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3})|%[0-9a-fA-F]{2}|\x1b\[[0-9;]{0,16}m)$`)

const maxEscape = 20 // bytes

// ownWord reports whether s[from:to] is a word of its own, and not part of another one.
// An underscore joins words in what this program calls things, and nowhere else.
func ownWord(s string, from, to int) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:from])
	first, _ := utf8.DecodeRuneInString(s[from:])
	last, _ := utf8.DecodeLastRuneInString(s[:to])
	after, _ := utf8.DecodeRuneInString(s[to:])
	switch {
	case inWord(last) && inWord(after):
		return false
	case inWord(first) && inWord(before) && !escapePattern.MatchString(s[max(0, from-maxEscape):from]):
		return false
	}
	return before != '_' && after != '_' || !ownTerms()[identifierAround(s, from, to)]
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// maxTerm is longer than any of ownTerms, in bytes.
const maxTerm = 64

// identifierAround returns the identifier in s that s[from:to] is part of; one that is
// longer than any of ownTerms is cut.
func identifierAround(s string, from, to int) string {
	cut := max(0, from-maxTerm)
	s, from, to = s[cut:min(to+maxTerm, len(s))], from-cut, to-cut
	outside := func(r rune) bool {
		return r != '_' && !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}
	from = strings.LastIndexFunc(s[:from], outside) + 1
	if n := strings.IndexFunc(s[to:], outside); n >= 0 {
		return s[from : to+n]
	}
	return s[from:]
}

// ownTerms are what this program calls things, as far as underscores are in it: keys of
// the configuration, fields of documents, and codes.
var ownTerms = sync.OnceValue(func() map[string]bool {
	terms := map[string]bool{}
	for _, k := range conf.Keys() {
		terms[k.Name] = true
	}
	for _, k := range refusalKinds {
		terms[k.code] = true
	}
	for _, t := range []reflect.Type{reflect.TypeFor[control.Status](), reflect.TypeFor[control.Explanation](), reflect.TypeFor[control.Event]()} {
		fieldNames(t, terms)
	}
	return terms
})

// fieldNames adds the names in JSON of the fields of a type, and of those below it; of
// fields with the same name those below one of them are enough.
func fieldNames(t reflect.Type, terms map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		fieldNames(t.Elem(), terms)
	case reflect.Struct:
		for f := range t.Fields() {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); f.IsExported() && !terms[name] {
				terms[name] = true
				fieldNames(f.Type, terms)
			}
		}
	}
}

// What may have an IP or a hardware address in it.
var (
	addrPattern = regexp.MustCompile(`[0-9a-fA-F]*[:.][0-9a-fA-F:.]*[0-9a-fA-F:]`)
	macPattern  = regexp.MustCompile(`\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b`)
)

// maxAddr is the length of the longest IP address, in bytes.
const maxAddr = 45

// addrSpans appends where addresses are. Ports stay.
func (r *redactor) addrSpans(s string, spans []span) []span {
	for _, m := range macPattern.FindAllStringIndex(s, -1) {
		spans = append(spans, span{m[0], m[1], "mac-" + r.mark(strings.ToLower(s[m[0]:m[1]]))})
	}
	for _, m := range addrPattern.FindAllStringIndex(s, -1) {
		spans = r.addrsWithin(s, m[0], m[1], spans)
	}
	return spans
}

// addrsWithin appends where addresses are in s[from:to], which looks like one: ports,
// other numbers and punctuation may be around them.
func (r *redactor) addrsWithin(s string, from, to int, spans []span) []span {
	for i := from; i < to; i++ {
		if !addrBegins(s, from, i) {
			continue
		}
		for j := min(i+maxAddr, to); j > i+1; j-- {
			if !addrEnds(s, j, to) {
				continue
			}
			if a, err := netip.ParseAddr(s[i:j]); err == nil {
				if !a.IsUnspecified() && !a.IsLoopback() { // others say nothing about a host
					spans = append(spans, span{i, j, r.addrMark(a)})
				}
				i = j - 1
				break
			}
		}
	}
	return spans
}

// addrBegins reports whether an address may begin at s[i], of a part of s from from on.
func addrBegins(s string, from, i int) bool {
	switch {
	case i == from, s[i-1] == ':', s[i-1] == '.':
		return true
	case s[i] == ':': // "::" is a beginning
		return i+1 < len(s) && s[i+1] == ':'
	}
	return isDigit(s[i]) && !isDigit(s[i-1])
}

// addrEnds reports whether an address may end before s[j], of a part of s up to to.
func addrEnds(s string, j, to int) bool {
	switch {
	case j == to, s[j] == ':', s[j-1] == ':':
		return true
	case s[j] == '.':
		return j+1 == to || !isDigit(s[j+1])
	}
	return isDigit(s[j-1]) && !isDigit(s[j])
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// addrMark stands for an address.
func (r *redactor) addrMark(a netip.Addr) string {
	if a = a.Unmap().WithZone(""); a.Is4() {
		return "ip4-" + r.mark(a.String())
	}
	return "ip6-" + r.mark(a.String())
}
