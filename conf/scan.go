package conf

// eof is what a scanner returns behind the last byte.
const eof = -1

// A scanner reads bytes and knows where it is. CR LF is read as LF.
type scanner struct {
	src  []byte
	off  int
	pos  Pos // of src[off]
	last struct {
		off int
		pos Pos
	} // before the last next
}

func newScanner(src []byte) scanner {
	return scanner{src: src, pos: Pos{1, 1}}
}

// next reads a byte; it returns eof at the end.
func (s *scanner) next() int {
	s.last.off, s.last.pos = s.off, s.pos
	if s.off >= len(s.src) {
		return eof
	}
	c := s.src[s.off]
	s.off++
	if c == '\r' && s.off < len(s.src) && s.src[s.off] == '\n' {
		s.off++
		c = '\n'
	}
	if c == '\n' {
		s.pos = Pos{s.pos.Line + 1, 1}
	} else {
		s.pos.Column++
	}
	return int(c)
}

// unread takes back the last next. It cannot be called twice in a row.
func (s *scanner) unread() { s.off, s.pos = s.last.off, s.last.pos }

// at returns the position of the byte that next returned.
func (s *scanner) at() Pos { return s.last.pos }

// skipLine reads up to the end of the line.
func (s *scanner) skipLine() {
	for c := s.next(); c != '\n' && c != eof; {
		c = s.next()
	}
}

// number reads up to n digits of base 8 or 16, continuing the number v, and
// returns the number and how many digits there were.
func (s *scanner) number(v, base, n int) (int, int) {
	for i := range n {
		if s.off >= len(s.src) {
			return v, i
		}
		d := digit(s.src[s.off])
		if d >= base {
			return v, i
		}
		v = v*base + d
		s.next()
	}
	return v, n
}

// digit returns the value of hexadecimal digit c, 16 if it is none.
func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return 16
}

// Classes of bytes, as next returns them.

func isEOL(c int) bool     { return c == '\n' || c == eof }
func isComment(c int) bool { return c == '#' || c == ';' }
func isBlank(c int) bool   { return c == ' ' || c == '\t' }
