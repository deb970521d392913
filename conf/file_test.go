package conf

import "testing"

// TestAppend checks the writer with every case file, and where it must escape.
func TestAppend(t *testing.T) {
	for _, name := range cases(t, "*") {
		checkRoundTrip(t, readCase(t, name+".conf"))
	}
	f, _ := Parse("f", []byte("[x\\#y]\na\\=b = \"1\n\\r2\\\\ # \\\"\"\na\\=b = 2\n"))
	want := "[x\\#y]\na\\=b = \"1\\n\\r2\\\\ # \\\"\"\na\\=b = \"2\"\n"
	if got := string(f.Append(nil)); got != want {
		t.Errorf("Append = %q, want %q", got, want)
	}
}

// TestAppendNames checks names that are hard to write.
func TestAppendNames(t *testing.T) {
	for _, name := range []string{`\`, `\x41`, "[", "a]", "a ", "a\t \t", "a\r", "\r", `a\`, "a\nb", `"a"`, "a=b#;", "\xff"} {
		f := &File{}
		f.section(name, Pos{}).add("k", Value{Raw: "v"})
		checkRoundTrip(t, f.Append(nil))
		if again, _ := Parse("f", f.Append(nil)); again.Section(name) == nil {
			t.Errorf("section %q was written as %q", name, f.Append(nil))
		}
		if name == "[" {
			continue // no key starts with it
		}
		f = &File{}
		f.section("A", Pos{}).add(name, Value{Raw: "v"})
		if again, _ := Parse("f", f.Append(nil)); again.Section("A").Setting(name) == nil {
			t.Errorf("key %q was written as %q", name, f.Append(nil))
		}
	}
}

// checkRoundTrip parses src, writes what was read, and parses that.
func checkRoundTrip(t *testing.T, src []byte) {
	t.Helper()
	f, _ := Parse("f", src)
	text := f.Append(nil)
	again, problems := Parse("f", text)
	if n := count(problems, Error); n > countTooLong(f) {
		t.Errorf("problems in what was written:\n%s\n%s", list(problems), text)
	}
	if !sameFile(f, again) {
		t.Errorf("read\n%s\nagain\n%s\nwritten %q", dump(f), dump(again), text)
	}
}

// countTooLong returns how many values of f are too long, which stays an error when
// the file is written.
func countTooLong(f *File) int {
	n := 0
	for _, s := range f.Sections {
		for _, st := range s.Settings {
			for _, v := range st.Values {
				if v.tooLong {
					n++
				}
			}
		}
	}
	return n
}

// sameFile compares sections, keys and raw values.
func sameFile(a, b *File) bool {
	if len(a.Sections) != len(b.Sections) {
		return false
	}
	for i, s := range a.Sections {
		o := b.Sections[i]
		if s.Name != o.Name || len(s.Settings) != len(o.Settings) {
			return false
		}
		for j, st := range s.Settings {
			if st.Name != o.Settings[j].Name || len(st.Values) != len(o.Settings[j].Values) {
				return false
			}
			for k := range st.Values {
				if st.Values[k].Raw != o.Settings[j].Values[k].Raw {
					return false
				}
			}
		}
	}
	return true
}
