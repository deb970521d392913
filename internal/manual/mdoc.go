package manual

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// inputWidth is how long lines of a page's source are; mandoc complains about more
// than 80 bytes.
const inputWidth = 76

// callable matches what mdoc takes for the name of a macro where arguments are.
var callable = regexp.MustCompile(`^([A-Z][a-z]{1,2}|%[A-Z])$`)

// delimiters are the punctuation that mdoc sets apart, if it is a word of its own.
const delimiters = ".,:;()[]?!|"

// typed keeps the text of what people type: what troff sets as typographic
// characters stays what can be copied.
var typed = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`)

// literal returns a text that people type, as troff wants it.
func literal(text string) string { return ascii(typed.Replace(text)) }

// ascii returns a text in which what is not ASCII has its number, which every troff
// understands.
func ascii(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\[u%04X]`, r)
		}
	}
	return b.String()
}

// argument returns a word as an argument of a macro, with no meaning of its own.
func argument(word string) string {
	if callable.MatchString(word) || len(word) == 1 && strings.Contains(delimiters, word) {
		return `\&` + word
	}
	if strings.ContainsAny(word, " \t") {
		return `"` + literal(word) + `"`
	}
	return literal(word)
}

// arguments returns words as arguments of a macro.
func arguments(words string) string {
	var all []string
	for _, w := range strings.Fields(words) {
		all = append(all, argument(w))
	}
	return strings.Join(all, " ")
}

// textWord returns a word as it is in running text.
func textWord(word string) string {
	return ascii(strings.ReplaceAll(word, `\`, `\e`))
}

// guarded returns a line of text that troff does not take for a request.
func guarded(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}

// displayed returns lines as they are in a display.
func displayed(lines []string) []string {
	var out []string
	for _, l := range lines {
		out = append(out, guarded(literal(l)))
	}
	return out
}

// endsSentence reports whether a sentence ends with a word; the next begins a line
// then, as mdoc wants it.
func endsSentence(word string) bool {
	word = strings.TrimRight(word, `)"`)
	return strings.HasSuffix(word, ".") || strings.HasSuffix(word, "?") || strings.HasSuffix(word, "!")
}

// A filler makes lines of words and macros.
type filler struct {
	lines []string
	text  strings.Builder // of a line
}

// word adds a word of text.
func (f *filler) word(w string) {
	set := textWord(w)
	if f.text.Len() > 0 && f.text.Len()+1+len(set) > inputWidth {
		f.flush()
	}
	if f.text.Len() > 0 {
		f.text.WriteByte(' ')
	}
	f.text.WriteString(set)
	if endsSentence(w) {
		f.flush()
	}
}

// macro adds a line with a macro.
func (f *filler) macro(line string) {
	f.flush()
	f.lines = append(f.lines, "."+line)
}

func (f *filler) flush() {
	if f.text.Len() > 0 {
		f.lines = append(f.lines, guarded(f.text.String()))
		f.text.Reset()
	}
}
