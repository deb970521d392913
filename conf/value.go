package conf

// A state of the automaton that reads a value:
//
//	          '"'              '"'
//	start ──────────► quoted ──────────► start
//	  │  other         ▲
//	  ├──────────► unquoted ── '\' end of line ──► start
//	  │               │  '"' ─► quoted
//	  │               └─ end of line ──► end
//	  └─ '#' ';' end of line ──► end
//
// The end of the file counts as the end of a line, except in a quoted part and
// after a backslash, where it is a fault.
type state uint8

const (
	atStart state = iota
	inQuoted
	inUnquoted
	atEnd
	atFault
)

// value reads a value into buf, up to the end of its last line. It returns
// false, and has reported it, if the file ends in the middle.
func (p *parser) value() bool {
	p.brk = Pos{}
	for st := atStart; ; {
		switch st {
		case atStart:
			st = p.start()
		case inQuoted:
			st = p.quoted()
		case inUnquoted:
			st = p.unquoted()
		case atEnd:
			return true
		case atFault:
			return false
		}
	}
}

// start looks for the next part of the value.
func (p *parser) start() state {
	c := p.next()
	for isBlank(c) {
		c = p.next()
	}
	brk := p.brk
	p.brk = Pos{}
	if isEOL(c) {
		return atEnd
	}
	if isComment(c) {
		p.skipLine()
		return atEnd
	}
	if p.val.Pos == (Pos{}) {
		p.val.Pos = p.at()
	}
	if c == '"' {
		return inQuoted
	}
	if brk != (Pos{}) && c != '\\' {
		p.warn(brk, `quote the part that ends in a blank: "word " \`,
			`the blank in front of "\" is dropped, which joins the two lines of %s without one`, plain(p.key))
	}
	p.unread()
	return inUnquoted
}

// quoted reads a quoted part whose opening quote has just been read.
func (p *parser) quoted() state {
	open := p.at()
	for {
		c := p.next()
		if c == '\\' {
			c = p.next()
			switch c {
			case eof:
			case '\n':
				continue // goes on in the next line, with its blanks
			default:
				p.escape(c)
				continue
			}
		}
		switch c {
		case eof:
			p.err(open, `end the value with a quote; a quote inside it is written \"`,
				"the quoted value of %s never ends", plain(p.key))
			return atFault
		case '"':
			p.mark = len(p.buf)
			return atStart
		}
		p.buf = append(p.buf, byte(c))
	}
}

// unquoted reads an unquoted part.
func (p *parser) unquoted() state {
	blank := false // the last byte was one
	for {
		c := p.next()
		switch {
		case isEOL(c):
			p.trim()
			return atEnd
		case c == '"':
			p.trim()
			return inQuoted
		case c == '\\':
			slash := p.at()
			switch c = p.next(); c {
			case eof:
				p.err(slash, `take the backslash out, or write \\ for one`,
					`the file ends after the "\" in the value of %s`, plain(p.key))
				return atFault
			case '\n':
				n := len(p.buf)
				if p.trim(); len(p.buf) < n && len(p.buf) > 0 {
					p.brk = slash
				}
				return atStart
			}
			p.escape(c)
			blank = false
			continue
		case isComment(c) && blank && p.val.comment == (Pos{}):
			p.val.comment, p.val.commentAt = p.at(), len(p.buf)
		}
		p.buf = append(p.buf, byte(c))
		blank = isBlank(c)
	}
}
