package conf

// A Pos is a place in a file. Lines and columns count from 1; columns count
// bytes. The zero Pos means no place in particular.
type Pos struct {
	Line, Column int
}

// A File is what [Parse] read: sections in the order in which they got their
// first key.
type File struct {
	Name     string
	Sections []*Section

	index map[string]*Section
}

// Section returns the section with that name, nil if the file sets no key in it.
func (f *File) Section(name string) *Section { return f.index[name] }

// section returns the section with that name and adds it if it is new.
func (f *File) section(name string, pos Pos) *Section {
	if s := f.index[name]; s != nil {
		return s
	}
	s := &Section{Name: name, Pos: pos, index: map[string]*Setting{}, used: map[string]bool{}}
	f.Sections = append(f.Sections, s)
	if f.index == nil {
		f.index = map[string]*Section{}
	}
	f.index[name] = s
	return s
}

// A Section holds the keys of all the places where its name was opened.
type Section struct {
	Name     string
	Pos      Pos // of the declaration before the first key
	Settings []*Setting

	index map[string]*Setting
	used  map[string]bool // names that a ${} of the section refers to
}

// Setting returns the key with that name, nil if it is not set. A nil Section
// has no keys.
func (s *Section) Setting(name string) *Setting {
	if s == nil {
		return nil
	}
	return s.index[name]
}

// add appends a value to a key.
func (s *Section) add(name string, v Value) {
	st := s.index[name]
	if st == nil {
		st = &Setting{Name: name}
		s.Settings = append(s.Settings, st)
		s.index[name] = st
	}
	st.Values = append(st.Values, v)
}

// A Setting is a key and the values that it was given, in the order of the
// file. There is at least one.
type Setting struct {
	Name   string
	Values []Value
}

// Last returns the value that counts for a key with one value.
func (s *Setting) Last() *Value { return &s.Values[len(s.Values)-1] }

// A Value is the right side of one "key = value".
type Value struct {
	Raw      string // parts joined and escapes resolved; never empty
	Expanded string // Raw with every ${name} replaced; may be empty
	KeyPos   Pos    // where the name of the key starts
	Pos      Pos    // where the value starts, its quote included

	comment   Pos      // a '#' or ';' that looks like a comment but is text; zero if none
	commentAt int      // its offset in Raw
	unknown   []string // names in ${} that are not set in the section
	tooLong   bool     // Expanded is Raw because expanding it went beyond a limit
}

// Append appends the file to b in the language of the package. Parsing the
// result gives the same sections, keys and values; comments and layout are
// gone.
func (f *File) Append(b []byte) []byte {
	for _, s := range f.Sections {
		b = append(b, '[')
		b = appendName(b, s.Name)
		b = append(b, "]\n"...)
		for _, st := range s.Settings {
			for i := range st.Values {
				b = appendName(b, st.Name)
				b = append(b, ` = "`...)
				b = appendQuoted(b, st.Values[i].Raw)
				b = append(b, "\"\n"...)
			}
		}
	}
	return b
}

// appendName appends the name of a section or key, which is not empty. The
// language takes the first byte of a name as it is, a backslash included.
func appendName(b []byte, name string) []byte {
	b = append(b, name[0])
	for _, c := range []byte(name[1:]) {
		switch c {
		case '#', ';', '[', ']', '=':
			b = append(b, '\\', c)
		default:
			b = appendByte(b, c)
		}
	}
	if isBlank(int(name[len(name)-1])) {
		// Blanks at the end are dropped, even escaped ones, but not those in
		// front of a NUL byte, which ends the name.
		b = append(b, `\0`...)
	}
	return b
}

// appendQuoted appends s as the inside of a quoted part.
func appendQuoted(b []byte, s string) []byte {
	for _, c := range []byte(s) {
		b = appendByte(b, c)
	}
	return b
}

// appendByte appends c, escaped if it means something in names and quoted
// parts alike.
func appendByte(b []byte, c byte) []byte {
	switch c {
	case '\\', '"':
		return append(b, '\\', c)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		// A raw one would be dropped in front of a line feed.
		return append(b, `\r`...)
	}
	return append(b, c)
}
