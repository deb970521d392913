package conf

import (
	"bytes"
	"fmt"
	"strings"
)

// byteOrderMark is what some editors put in front of UTF-8.
const byteOrderMark = "\xef\xbb\xbf"

// Parse reads a file of the configuration language. Whatever src holds, it
// returns a File: what cannot be understood is a [Problem] of severity Error
// and is skipped. name is used in the problems.
//
// The work and the memory that Parse needs are bounded by a multiple of the
// length of src, whatever ${} refers to what.
func Parse(name string, src []byte) (*File, []Problem) {
	f, r := parse(name, src)
	return f, r.problems()
}

// parse is Parse for callers who have more to report.
func parse(name string, src []byte) (*File, *report) {
	p := &parser{
		file:   &File{Name: name},
		report: &report{file: name},
	}
	body, marked := bytes.CutPrefix(src, []byte(byteOrderMark))
	p.scanner = newScanner(body)
	if marked {
		p.report.add(Problem{
			Pos:  Pos{1, 1},
			Text: "the file starts with a UTF-8 byte order mark, which is skipped",
			Hint: "Campagnol 0.3.5 takes it for a part of the first line; save the file without it",
		})
	}
	for p.line() {
	}
	expandAll(p.file, p.report)
	return p.file, p.report
}

// A parser is the state of one Parse.
type parser struct {
	scanner
	file   *File
	report *report

	section    string // the current one, "" before the first
	sectionPos Pos
	key        string // the current one, for messages

	buf  []byte // the name or the value that is being read
	mark int    // how many bytes of buf trim must leave alone
	val  Value  // the value that is being read, without its text

	// brk is the backslash at the end of an unquoted part that had blanks in
	// front of it, until the start of the next part is seen.
	brk Pos
}

// err reports a syntax error at pos.
func (p *parser) err(pos Pos, hint, format string, args ...any) {
	p.add(Error, pos, hint, format, args...)
}

// warn reports a warning at pos.
func (p *parser) warn(pos Pos, hint, format string, args ...any) {
	p.add(Warning, pos, hint, format, args...)
}

func (p *parser) add(s Severity, pos Pos, hint, format string, args ...any) {
	p.report.add(Problem{
		Pos: pos, Severity: s, Section: p.section, Key: p.key,
		Text: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// line reads one line, or several where a value goes on, and reports whether
// there may be more.
func (p *parser) line() bool {
	p.buf, p.mark, p.key = p.buf[:0], 0, ""
	c := p.next()
	for isBlank(c) {
		c = p.next()
	}
	switch {
	case c == eof:
		return false
	case c == '\n':
	case isComment(c):
		p.skipLine()
	case c == '[':
		p.declaration(p.at())
	case c == ']':
		p.err(p.at(), "a section is declared by [NAME]", `"]" without "["`)
		p.skipLine()
	case c == '=':
		p.err(p.at(), "a setting has the form: key = value", `no name in front of "="`)
		p.skipLine()
	default:
		p.setting(p.at(), byte(c))
	}
	return true
}

// A stop is what ended a name.
type stop uint8

const (
	stopWanted    stop = iota // the byte that should end it
	stopEOL                   // end of line or file
	stopComment               // '#' or ';'
	stopContinued             // a backslash at the end of the line or file
)

// name reads a name whose first byte is known into buf, up to the byte end. It
// returns what ended the name; p.at() is the place. The first byte is taken as
// it is: the original does not look for an escape there.
func (p *parser) name(first, end byte) stop {
	p.buf = append(p.buf, first)
	for {
		switch c := p.next(); {
		case isEOL(c):
			return stopEOL
		case isComment(c):
			return stopComment
		case c == int(end):
			return stopWanted
		case c == '\\':
			slash := p.at()
			if c = p.next(); isEOL(c) {
				p.err(slash, `write the name on one line, or \\ for a backslash`,
					"a name cannot be continued on the next line")
				return stopContinued
			}
			p.escape(c)
		default:
			p.buf = append(p.buf, byte(c))
		}
	}
}

// text returns buf up to the first NUL byte, where a string ends for the
// original, and whether there is one.
func (p *parser) text() (string, bool) {
	before, _, cut := bytes.Cut(p.buf, []byte{0})
	return string(before), cut
}

// declaration reads the rest of a section's declaration, which starts at pos. A
// faulty one leaves the section as it was.
func (p *parser) declaration(pos Pos) {
	c := p.next()
	for isBlank(c) {
		c = p.next()
	}
	end := stopWanted
	switch {
	case isEOL(c):
		end = stopEOL
	case isComment(c):
		end = stopComment
	case c != ']':
		end = p.name(byte(c), ']')
	}
	switch end {
	case stopEOL:
		p.err(pos, "a section is declared by [NAME]", `a section name without "]"; %s`, p.stays())
	case stopComment:
		p.err(p.at(), `write \# or \; if it belongs to the name`,
			"%q in a section name; %s", p.src[p.last.off], p.stays())
		p.skipLine()
	case stopWanted:
		p.trim()
		name, _ := p.text()
		if name == "" {
			p.err(pos, "a section is declared by [NAME]", "an empty section name; %s", p.stays())
			p.skipLine()
			return
		}
		p.section, p.sectionPos = name, pos
		p.afterDeclaration()
	}
}

// stays says where the keys after a faulty declaration go.
func (p *parser) stays() string {
	if p.section == "" {
		return "the keys below it are in no section"
	}
	return fmt.Sprintf("the keys below it go to [%s]", plain(p.section))
}

// afterDeclaration reads what follows the "]".
func (p *parser) afterDeclaration() {
	c := p.next()
	for isBlank(c) {
		c = p.next()
	}
	if isEOL(c) {
		return
	}
	if !isComment(c) {
		p.err(p.at(), "write a key on a line of its own, and # or ; in front of a comment",
			"the text after the section name is ignored")
	}
	p.skipLine()
}

// setting reads a key that starts at pos with first, and its value.
func (p *parser) setting(pos Pos, first byte) {
	end := p.name(first, '=')
	p.trim()
	p.key, _ = p.text()
	if end == stopContinued {
		return
	}
	if end != stopWanted {
		p.err(pos, `a setting has the form: key = value; write \# or \; if it belongs to the name`,
			`no "=" after %s`, quote(p.key))
		if end == stopComment {
			p.skipLine()
		}
		return
	}

	p.buf, p.mark, p.val = p.buf[:0], 0, Value{KeyPos: pos}
	if !p.value() {
		return
	}
	text, cut := p.text()
	switch {
	case p.key == "":
		p.err(pos, "a setting has the form: key = value", `no name in front of "="`)
	case text == "":
		p.err(pos, "give it a value, or take the line out to have the default",
			"%s has an empty value and is ignored", plain(p.key))
	case p.section == "":
		p.err(pos, sectionHint(p.key),
			"%s stands before the first section and is ignored", plain(p.key))
	default:
		if cut {
			p.warn(p.val.Pos, `a value cannot hold the bytes \0 or \x0`,
				"the value of %s ends at its NUL byte", plain(p.key))
		}
		p.store(text)
	}
}

// store adds the value that was read to the file.
func (p *parser) store(text string) {
	p.val.Raw, p.val.Expanded = text, text
	if p.val.commentAt >= len(text) { // behind a NUL byte
		p.val.comment, p.val.commentAt = Pos{}, 0
	}
	p.file.section(p.section, p.sectionPos).add(p.key, p.val)
}

// escapes are the bytes that may follow a backslash, and escaped what they
// stand for.
const (
	escapes = `\"'?#;[]=` + "nrbtfav"
	escaped = `\"'?#;[]=` + "\n\r\b\t\f\a\v"
)

// escape appends what a backslash followed by c stands for. Numbers above 255
// keep their low byte.
func (p *parser) escape(c int) {
	if i := strings.IndexByte(escapes, byte(c)); i >= 0 {
		p.buf = append(p.buf, escaped[i])
		return
	}
	if c == 'x' {
		if v, n := p.number(0, 16, 2); n > 0 {
			p.buf = append(p.buf, byte(v))
			return
		}
	}
	if d := digit(byte(c)); d < 8 {
		v, _ := p.number(d, 8, 2)
		p.buf = append(p.buf, byte(v))
		return
	}
	p.buf = append(p.buf, '\\', byte(c))
}

// trim removes the blanks at the end of buf, as far as the mark. A blank that
// was written as an escape goes too.
func (p *parser) trim() {
	for len(p.buf) > p.mark && isBlank(int(p.buf[len(p.buf)-1])) {
		p.buf = p.buf[:len(p.buf)-1]
	}
}
