package policy

import (
	"fmt"
	"strings"
	"testing"
)

// tokens returns the statements of a text, one a line, their tokens as
// kind:column:text.
func tokens(t *testing.T, text string) (string, error) {
	t.Helper()
	l := lexer{file: "f", rest: text}
	var b strings.Builder
	for {
		s, ok := l.next()
		if !ok {
			return b.String(), l.errs.err()
		}
		for _, tok := range s.tokens {
			fmt.Fprintf(&b, "%s:%d:%d:%s ", [...]string{"end", "word", "quoted", "both", "to", "comma", "equals", "colon"}[tok.kind], tok.line, tok.column, tok.text)
		}
		fmt.Fprintf(&b, "| %s\n", s.text)
	}
}

func TestLexer(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"blank", " \t\n\r\n# comment\n   # another", ""},
		{"word", "a", "word:1:1:a end:1:2: | a\n"},
		{"blanks", "\t a \t b ", "word:1:3:a word:1:7:b end:1:8: | a b\n"},
		{"comment", "a # b\nc#d", "word:1:1:a end:1:2: | a\nword:2:1:c end:2:2: | c\n"},
		{"comment in quotes", `a "# b"`, `word:1:1:a quoted:1:3:# b end:1:6: | a "# b"` + "\n"},
		{"arrows", "a<->b->c", "word:1:1:a both:1:2:<-> word:1:5:b to:1:6:-> word:1:8:c end:1:9: | a<->b->c\n"},
		{"dash before an arrow", "a-->b-c<->-d", "word:1:1:a- to:1:3:-> word:1:5:b-c both:1:8:<-> word:1:11:-d end:1:13: | a-->b-c<->-d\n"},
		{"colon", "relay: b", "word:1:1:relay colon:1:6:: word:1:8:b end:1:9: | relay: b\n"},
		{"colon apart", "relay : b", "word:1:1:relay colon:1:7:: word:1:9:b end:1:10: | relay : b\n"},
		{"colon inside", "role:x y:", "word:1:1:role:x word:1:8:y colon:1:9:: end:1:10: | role:x y:\n"},
		{"IPv6", "fd00::1: fd00::: fd00::/64: ::1", "word:1:1:fd00::1 colon:1:8:: word:1:10:fd00:: colon:1:16:: word:1:18:fd00::/64 colon:1:27:: word:1:29:::1 end:1:32: | fd00::1: fd00::: fd00::/64: ::1\n"},
		{"all of IPv6", ":: :::", "word:1:1::: word:1:4::: colon:1:6:: end:1:7: | :: :::\n"},
		{"comma", "a,b ,c", "word:1:1:a comma:1:2:, word:1:3:b comma:1:5:, word:1:6:c end:1:7: | a,b ,c\n"},
		{"two lines", "a,\n  b\nc", "word:1:1:a comma:1:2:, word:2:3:b end:2:4: | a, b\nword:3:1:c end:3:2: | c\n"},
		{"lines between", "a, # one\n\n  # two\r\nb", "word:1:1:a comma:1:2:, word:4:1:b end:4:2: | a, b\n"},
		{"comma at the end", "a,", "word:1:1:a comma:1:2:, end:1:3: | a,\n"},
		{"comma, then nothing", "a,\n\n", "word:1:1:a comma:1:2:, end:1:3: | a,\n"},
		{"characters, not bytes", `"äö" b`, `quoted:1:1:äö word:1:6:b end:1:7: | "äö" b` + "\n"},
		{"services", "tcp/22,8000-8080", "word:1:1:tcp/22 comma:1:7:, word:1:8:8000-8080 end:1:17: | tcp/22,8000-8080\n"},
		{"no end of line", "a\nb", "word:1:1:a end:1:2: | a\nword:2:1:b end:2:2: | b\n"},
	} {
		got, err := tokens(t, c.text)
		if got != c.want || err != nil {
			t.Errorf("%s: %q:\n%s%v\nwant\n%s", c.name, c.text, got, err, c.want)
		}
	}
}

// A statement with a mistake is left out, and the others are read.
func TestLexerMistakes(t *testing.T) {
	for _, c := range []struct{ name, text, want, err string }{
		{"character", "a ! b\nc", "word:2:1:c end:2:2: | c\n", `f:1:3: unexpected "!"`},
		{"quote", "a \"b\nc", "word:2:1:c end:2:2: | c\n", "f:1:3: a name in quotes lacks the second quote"},
		{"in a continued line", "a,\n!\nc", "word:3:1:c end:3:2: | c\n", `f:2:1: unexpected "!"`},
		{"before the comma", "a !,\nc", "word:2:1:c end:2:2: | c\n", `f:1:3: unexpected "!"`},
		{"two", "!\n!\nc", "word:3:1:c end:3:2: | c\n", "f:1:1: unexpected \"!\", expected a name, an address, a comma or an arrow\nf:2:1:"},
		{"less than", "a < b", "", `f:1:3: unexpected "<", expected a name`},
		{"NUL", "a\x00", "", `f:1:2: unexpected "\x00"`},
	} {
		got, err := tokens(t, c.text)
		if got != c.want || err == nil || !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%s: %q:\n%s%v\nwant\n%s%s", c.name, c.text, got, err, c.want, c.err)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"allow", "deny", "filter", "group"}
	for _, c := range []struct{ word, want string }{
		{"alow", "allow"}, {"ALLOW", "allow"}, {"alolw", "allow"}, {"dney", "deny"}, {"den", "deny"}, {"filters", "filter"}, {"grp", ""},
		{"", ""}, {"x", ""}, {"permit", ""}, {strings.Repeat("allow", 100), ""},
	} {
		if got := nearest(c.word, known); got != c.want {
			t.Errorf("nearest to %.20q: %q, want %q", c.word, got, c.want)
		}
	}
}

func TestQuote(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"a", `"a"`}, {"a\x1b\"", `"a\x1b\""`},
		{strings.Repeat("x", 64), `"` + strings.Repeat("x", 64) + `"`},
		{strings.Repeat("x", 65), `"` + strings.Repeat("x", 64) + `…"`},
		{strings.Repeat("x", 63) + "ä", `"` + strings.Repeat("x", 63) + `…"`},
	} {
		if got := quote(c.text); got != c.want {
			t.Errorf("quote of %q = %s, want %s", c.text, got, c.want)
		}
	}
}
