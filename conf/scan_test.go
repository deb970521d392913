package conf

import (
	"fmt"
	"strings"
	"testing"
)

func TestScannerPositions(t *testing.T) {
	type step struct {
		c  int
		at Pos
	}
	for _, c := range []struct {
		name, src string
		want      []step
	}{
		{"nothing", "", []step{{eof, Pos{1, 1}}, {eof, Pos{1, 1}}}},
		{"lines", "a\nb", []step{{'a', Pos{1, 1}}, {'\n', Pos{1, 2}}, {'b', Pos{2, 1}}, {eof, Pos{2, 2}}}},
		{"CR LF is one", "a\r\nb", []step{{'a', Pos{1, 1}}, {'\n', Pos{1, 2}}, {'b', Pos{2, 1}}, {eof, Pos{2, 2}}}},
		{"CR alone", "\rb", []step{{'\r', Pos{1, 1}}, {'b', Pos{1, 2}}, {eof, Pos{1, 3}}}},
		{"CR CR LF", "\r\r\n", []step{{'\r', Pos{1, 1}}, {'\n', Pos{1, 2}}, {eof, Pos{2, 1}}}},
		{"CR at the end", "\r", []step{{'\r', Pos{1, 1}}, {eof, Pos{1, 2}}}},
		{"columns are bytes", "é\tx", []step{{0xc3, Pos{1, 1}}, {0xa9, Pos{1, 2}}, {'\t', Pos{1, 3}}, {'x', Pos{1, 4}}}},
	} {
		s := newScanner([]byte(c.src))
		for i, want := range c.want {
			if got := (step{s.next(), s.at()}); got != want {
				t.Errorf("%s, step %d: got %v, want %v", c.name, i, got, want)
			}
		}
	}
}

func TestScannerUnread(t *testing.T) {
	s := newScanner([]byte("a\r\nb"))
	s.next()
	for range 2 {
		if c, at := s.next(), s.at(); c != '\n' || at != (Pos{1, 2}) {
			t.Errorf("got %q at %v, want a line feed at 1:2", rune(c), at)
		}
		s.unread()
	}
	s.skipLine()
	if c, at := s.next(), s.at(); c != 'b' || at != (Pos{2, 1}) {
		t.Errorf("after skipLine: %q at %v, want b at 2:1", rune(c), at)
	}
	s.skipLine()
	if c := s.next(); c != eof {
		t.Errorf("after the last line: %q, want the end", rune(c))
	}
}

func TestScannerNumber(t *testing.T) {
	for _, c := range []struct {
		src     string
		v, base int
		n       int
		want    string // number, digits, next byte
	}{
		{"41g", 0, 16, 2, "65 2 g"},
		{"fFf", 0, 16, 2, "255 2 f"},
		{"4g", 0, 16, 2, "4 1 g"},
		{"g", 0, 16, 2, "0 0 g"},
		{"018", 1, 8, 2, "65 2 8"},
		{"8", 1, 8, 2, "1 0 8"},
		{"77", 7, 8, 2, "511 2 end"},
		{"", 7, 8, 2, "7 0 end"},
	} {
		s := newScanner([]byte(c.src))
		v, n := s.number(c.v, c.base, c.n)
		next := "end"
		if b := s.next(); b != eof {
			next = string(rune(b))
		}
		if got := fmt.Sprint(v, n, " ", next); got != c.want {
			t.Errorf("%q after %d in base %d: %s, want %s", c.src, c.v, c.base, got, c.want)
		}
	}
}

// TestEscapes checks what a backslash does in front of every byte, in all the
// places where it is one.
func TestEscapes(t *testing.T) {
	want := map[byte]string{
		'\\': "\\", '"': "\"", '\'': "'", '?': "?", '#': "#", ';': ";", '[': "[", ']': "]", '=': "=",
		'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v",
		'1': "\x01", '2': "\x02", '3': "\x03", '4': "\x04", '5': "\x05", '6': "\x06", '7': "\x07",
	}
	for i := range 256 {
		c := byte(i)
		if c == '\n' || c == '0' || c == 0 {
			continue // a continuation, and ends of values
		}
		text, ok := want[c]
		if !ok {
			text = "\\" + string([]byte{c})
		}
		text = "_" + text + "_"
		src := "[_\\" + string([]byte{c}) + "_]\n" +
			"_\\" + string([]byte{c}) + "_ = _\\" + string([]byte{c}) + "_\n" +
			"q = \"_\\" + string([]byte{c}) + "_\"\n"
		f, problems := Parse("f", []byte(src))
		if len(problems) > 0 {
			t.Errorf("%q: problems:\n%s", c, list(problems))
			continue
		}
		s := f.Section(text)
		if s == nil {
			t.Errorf("%q: section %q, want %q", c, f.Sections[0].Name, text)
			continue
		}
		if st := s.Setting(text); st == nil || st.Last().Raw != text {
			t.Errorf("%q: key %q with %q, want %q", c, s.Settings[0].Name, s.Settings[0].Last().Raw, text)
		}
		if st := s.Setting("q"); st == nil || st.Last().Raw != text {
			t.Errorf("%q: in quotes, want %q, got %s", c, text, dump(f))
		}
	}
}

// TestNumericEscapes checks all bytes that have an octal or hexadecimal escape,
// and that digits of the following text are left alone.
func TestNumericEscapes(t *testing.T) {
	for i := 1; i < 256; i++ {
		b := string([]byte{byte(i)})
		for form, want := range map[string]string{
			fmt.Sprintf(`"\x%02x5"`, i):   b + "5",
			fmt.Sprintf(`"\x%02Xg"`, i):   b + "g",
			fmt.Sprintf(`"\%03o5"`, i):    b + "5",
			fmt.Sprintf(`"\%o8"`, i):      b + "8",
			fmt.Sprintf(`x\x%02x5y`, i):   "x" + b + "5y",
			fmt.Sprintf(`"\%03o"`, i+256): b, // the ninth bit is lost
		} {
			if i+256 > 0o777 {
				t.Fatalf("%d has more than three octal digits", i+256)
			}
			f, _ := Parse("f", []byte("[A]\nk = "+form))
			st := f.Section("A").Setting("k")
			if st == nil || st.Last().Raw != want {
				t.Errorf("%s: got %s, want %q", form, dump(f), want)
			}
		}
	}
}

// TestErrorRecovery puts each kind of faulty line between good ones, which must
// be read as if it were not there.
func TestErrorRecovery(t *testing.T) {
	for _, bad := range []string{
		"= 1", "x", "x # = 1", "x \\", "x =", `x = ""`, "x = # 1", "x = \\0", "]", "] = 1",
		"[", "[]", "[ ]", "[B", "[B;]", "[B#]", "[#", "[B\\", "\x00 = 1",
	} {
		src := "[A]\nfirst = 1\n" + bad + "\nlast = 2\n"
		f, problems := Parse("f", []byte(src))
		if got := count(problems, Error); got != 1 {
			t.Errorf("%q: %d errors, want 1:\n%s", bad, got, list(problems))
		}
		for _, p := range problems {
			if p.Pos.Line != 3 {
				t.Errorf("%q: reported in line %d, want 3", bad, p.Pos.Line)
			}
		}
		want := "[A]\nfirst = \"1\"\nlast = \"2\"\n"
		if got := string(f.Append(nil)); got != want {
			t.Errorf("%q: read %q, want %q", bad, got, want)
		}
	}
}

// TestLineEnds reads the same file with both kinds of line ends.
func TestLineEnds(t *testing.T) {
	for _, name := range cases(t, "*") {
		src := strings.ReplaceAll(string(readCase(t, name+".conf")), "\r\n", "\n")
		unix, problems := Parse("f", []byte(src))
		dos, dosProblems := Parse("f", []byte(strings.ReplaceAll(src, "\n", "\r\n")))
		if dump(unix) != dump(dos) {
			t.Errorf("%s: with CR LF\n%s\nwithout\n%s", name, dump(dos), dump(unix))
		}
		if list(problems) != list(dosProblems) {
			t.Errorf("%s: with CR LF\n%s\nwithout\n%s", name, list(dosProblems), list(problems))
		}
	}
}
