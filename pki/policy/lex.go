package policy

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A kind is what sort of token it is.
type kind uint8

const (
	end    kind = iota // of the statement
	word               // a name, an address, a keyword, a service
	quoted             // a name in quotes, without them
	both               // <->
	to                 // ->
	comma              // ,
	equals             // =
	colon              // :
)

var kindNames = [...]string{"the end of the line", "a word", "a name", `"<->"`, `"->"`, `","`, `"="`, `":"`}

// A token is a part of a statement.
type token struct {
	kind         kind
	text         string
	line, column int
}

// describe names a token in messages.
func (t token) describe() string {
	switch t.kind {
	case word:
		return quote(t.text)
	case quoted:
		return "the name " + quote(t.text)
	}
	return kindNames[t.kind]
}

// A statement is the tokens of a line, and of those that it goes on in.
type statement struct {
	tokens []token // the last one is end
	text   string  // as it is written, without comments, with single blanks
}

// A lexer cuts a text into statements.
type lexer struct {
	file string
	rest string
	line int
	errs errorList
}

// next returns the next statement that is not empty, and false at the end of the
// text. A statement with a mistake is reported and left out.
func (l *lexer) next() (statement, bool) {
	for l.rest != "" {
		var s statement
		good := true
		for more := true; more; {
			var text string
			text, l.rest, _ = strings.Cut(l.rest, "\n")
			l.line++
			tokens, used, ok := l.cut(strings.TrimSuffix(text, "\r"))
			good = good && ok
			s.tokens = append(s.tokens, tokens...)
			s.text += " " + used
			// A comma at the end of a line promises more, also behind blank
			// lines and comments.
			more = good && l.rest != "" && len(s.tokens) > 0 && s.tokens[len(s.tokens)-1].kind == comma
		}
		if good && len(s.tokens) > 0 {
			last := s.tokens[len(s.tokens)-1]
			column := last.column + utf8.RuneCountInString(last.text)
			s.tokens = append(s.tokens, token{kind: end, line: last.line, column: column})
			s.text = strings.Join(strings.Fields(s.text), " ")
			return s, true
		}
	}
	return statement{}, false
}

// cut cuts a line into tokens. used is the line without its comment.
func (l *lexer) cut(text string) (tokens []token, used string, ok bool) {
	for i := 0; i < len(text); {
		t := token{line: l.line, column: utf8.RuneCountInString(text[:i]) + 1}
		n := 1
		switch rest := text[i:]; {
		case rest[0] == '#':
			return tokens, text[:i], true
		case rest[0] == ' ' || rest[0] == '\t':
			i++
			continue
		case strings.HasPrefix(rest, "<->"):
			t.kind, n = both, 3
		case strings.HasPrefix(rest, "->"):
			t.kind, n = to, 2
		case rest[0] == ',':
			t.kind = comma
		case rest[0] == '=':
			t.kind = equals
		case rest[0] == ':' && !strings.HasPrefix(rest, "::"):
			t.kind = colon
		case rest[0] == '"':
			n = strings.IndexByte(rest[1:], '"') + 2
			if n < 2 {
				l.errs.add(l.file, t, "a name in quotes lacks the second quote")
				return nil, "", false
			}
			t.kind, t.text = quoted, rest[1:n-1]
		default:
			if n = wordLen(rest); n == 0 {
				l.errs.add(l.file, t, "%s", unexpectedCharacter(rest))
				return nil, "", false
			}
			t.kind, t.text = word, rest[:n]
		}
		if t.kind != word && t.kind != quoted {
			t.text = text[i : i+n]
		}
		tokens = append(tokens, t)
		i += n
	}
	return tokens, text, true
}

// unexpectedCharacter says what stands where no token can start, and what was
// perhaps meant.
func unexpectedCharacter(rest string) string {
	r, n := utf8.DecodeRuneInString(rest)
	switch {
	case strings.HasPrefix(rest, "<-"):
		return `unexpected "<-", expected "<->", or "->" with both sides exchanged`
	case r == ';':
		return `unexpected ";": statements end with their line, and comments start with "#"`
	case r > unicode.MaxASCII && r != utf8.RuneError:
		return "unexpected " + quote(rest[:n]) + ": a name with such letters belongs in quotes"
	}
	return "unexpected " + quote(rest[:n]) + ", expected a name, an address, a comma or an arrow"
}

// wordLen returns the length of the word at the start of s. A colon belongs to a
// word if more of the word follows (role:server, fd00::7), or as the end of an
// address (fd00::).
func wordLen(s string) int {
	n := 0
	for n < len(s) && isWordByte(s[n]) && !strings.HasPrefix(s[n:], "->") {
		n++
	}
	for n > 0 && s[n-1] == ':' {
		if _, err := netip.ParseAddr(s[:n]); err == nil {
			break
		}
		n--
	}
	return n
}

func isWordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("._-*/:", c) >= 0
}
