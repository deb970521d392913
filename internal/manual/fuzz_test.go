package manual

import (
	"strings"
	"testing"

	"campagnol/conf"
	"campagnol/internal/cli"
)

// FuzzContinued: a broken command is the same one to a shell, and no line is longer
// than it has to be.
func FuzzContinued(f *testing.F) {
	f.Add("campagnol ca init --rdv rdv.example.org --network 10.9.0.0/24 --network6 fd09::/64 --name \"VPN of Example Ltd\"")
	f.Add(strings.Repeat("word ", 50))
	f.Add("'" + strings.Repeat("in quotes ", 20))
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\n\\") {
			t.Skip("not one line, or broken already")
		}
		lines := continued(line)
		got := strings.Fields(strings.ReplaceAll(strings.Join(lines, "\n"), " \\\n", " "))
		if want := strings.Fields(line); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%q becomes %q", line, lines)
		}
		for _, l := range lines[:len(lines)-1] {
			if len(l) > displayWidth+1 || !strings.HasSuffix(l, ` \`) {
				t.Errorf("%q: the line %q is too long, or not continued", line, l)
			}
		}
	})
}

// FuzzSetting: a broken value is read as the same one.
func FuzzSetting(f *testing.F) {
	f.Add("ip addr add %V dev %D && ip link set %D mtu %M up && ip route replace %N dev %D && true")
	f.Add("short")
	f.Add(strings.Repeat("x", 200))
	f.Fuzz(func(t *testing.T, value string) {
		if value == "" || value != strings.TrimSpace(value) || strings.ContainsFunc(value, func(r rune) bool {
			return r < ' ' || r > '~' || strings.ContainsRune("\"\\$#;", r)
		}) {
			t.Skip("not a value that is written as it is")
		}
		text := "[A]\n" + strings.Join(setting("up", value), "\n") + "\n"
		file, problems := conf.Parse("f", []byte(text))
		st := file.Section("A").Setting("up")
		if st == nil || len(problems) > 0 || st.Last().Expanded != value {
			t.Errorf("%q becomes\n%s\nwhich is read as %+v, %v", value, text, st, problems)
		}
	})
}

// FuzzSynopsis: each argument of a line of use is in the synopsis.
func FuzzSynopsis(f *testing.F) {
	for _, use := range []string{"check FILE [A B]", "p [-dDhmvV] [-p FILE] [CONFIGURATION]", "forget VPN-ADDRESS | --rdv", "x [", "x ]A[", "x [[A]]", "x -", "[A"} {
		f.Add(use)
	}
	f.Fuzz(func(t *testing.T, use string) {
		lines := synopsis("p c", cli.Description{Use: use, Flags: []cli.Flag{{Name: "json"}}})
		text := strings.Join(lines, "\n")
		for _, p := range placeholdersOf(use) {
			if strings.HasPrefix(p.Value, "-") || !strings.ContainsAny(p.Value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
				continue
			}
			if want := "Ar " + argument(placeholder(p.Value)); !strings.Contains(text, want) {
				t.Errorf("%q becomes\n%s\nwithout %s", use, text, want)
			}
		}
		for _, l := range lines {
			if !strings.HasPrefix(l, ".") || strings.Contains(l, "\n") {
				t.Errorf("%q: the line %q is no macro", use, l)
			}
		}
	})
}

// FuzzExplanations: whatever the example says, only lines of comments are text.
func FuzzExplanations(f *testing.F) {
	f.Add("# x\n\n[A]\n\n# Text.\n#key = value\n")
	f.Add("\n\n\n[\n[]\n\n#\nkey = \n\n = \n")
	f.Fuzz(func(t *testing.T, example string) {
		about, language := explanations(example)
		for key, e := range about {
			name := key[strings.LastIndexByte(key, ' ')+1:]
			if !strings.Contains(example, name+" = "+e.value) {
				t.Errorf("%q: there is no %s with the value %q", example, key, e.value)
			}
			testMarker().blocks(tidied(e.text))
		}
		testMarker().blocks(language)
	})
}

// FuzzParseProse: a file is read as a whole, or refused.
func FuzzParseProse(f *testing.F) {
	f.Add(".\\\" option --x\nIt.\n.Sh NAME\nabout\n")
	f.Add(".Sh \n.Sh NAME")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseProse(text)
		if err != nil {
			return
		}
		n := 0
		for _, s := range p.sections {
			n += 1 + len(s.lines)
		}
		for _, lines := range p.options {
			n += 1 + len(lines)
		}
		if total := strings.Count(text, "\n") + 1; n > total {
			t.Errorf("%q has %d lines, and %d are read", text, total, n)
		}
	})
}
