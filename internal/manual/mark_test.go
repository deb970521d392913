package manual

import (
	"strings"
	"testing"

	"campagnol/internal/cli"
)

// testMarker knows some commands and keys, and the placeholders PEER, FILE and
// HOST[:PORT].
func testMarker() *marker {
	m := &marker{
		commands: map[string]bool{"campagnol": true, "campagnol status": true, "campagnol ca": true, "campagnol ca init": true, "campagnol_rdv": true},
		keys:     map[string]bool{"vpn_ip": true, "mode": true, "user": true, "rdv_auth": true},
	}
	return m.with([]cli.Flag{{Value: "PEER"}, {Value: "A"}, {Value: "FILE"}, {Value: "HOST[:PORT]"}})
}

func marked(m *marker, text string) string {
	var f filler
	m.mark(&f, text)
	return strings.Join(f.lines, "\n")
}

// TestMark has what is found in texts.
func TestMark(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"text", "Show how it is.", "Show how it is."},
		{"sentences", "One is. Two are? Three", "One is.\nTwo are?\nThree"},
		{"option", "With --json, more; also -v.", "With\n.Fl \\-json ,\nmore; also\n.Fl v ."},
		{"option in brackets", "it (--no-start) ends", "it\n.Pq Fl \\-no\\-start\nends"},
		{"options in brackets", "it (--a, --b) ends", "it\n.Pf ( Fl \\-a ,\n.Fl \\-b )\nends"},
		{"dash", "- is no option, -- neither", "- is no option, -- neither"},
		{"path", "see docs/control.md and /run/campagnol.", "see\n.Pa docs/control.md\nand\n.Pa /run/campagnol ."},
		{"path with a placeholder", "in /run/INTERFACE.sock", "in\n.Pa /run/ Ns Ar interface Ns Pa .sock"},
		{"path that ends with a placeholder", "/dir/NAME", ".Pa /dir/ Ns Ar name"},
		{"slash", "/ filters, and 10.9.0.0/24 stays", "/ filters, and 10.9.0.0/24 stays"},
		{"signal", "as SIGHUP does", "as\n.Dv SIGHUP\ndoes"},
		{"variables", "NO_COLOR or $CAMPAGNOL_CA", ".Ev NO_COLOR\nor\n.Ev CAMPAGNOL_CA"},
		{"other page", "see campagnol.conf(5).", "see\n.Xr campagnol.conf 5 ."},
		{"placeholder", "PEER is one, HOST[:PORT] too", ".Ar peer\nis one,\n.Ar host Ns Oo Ns \\&: Ns Ar port Ns Oc\ntoo"},
		{"no placeholder", "A man, and a NAT", "A man, and a NAT"},
		{"key", "the vpn_ip is, the user not", "the\n.Cm vpn_ip\nis, the user not"},
		{"quoted key", `the key "user" is`, "the key\n.Cm user\nis"},
		{"setting", "frames (mode = tap) go", "frames\n.Pq Cm mode = tap\ngo"},
		{"quoted setting", `with "rdv_auth = auto".`, "with\n.Cm rdv_auth = auto ."},
		{"program", "the campagnol of campagnol_rdv", "the\n.Nm campagnol\nof\n.Nm campagnol_rdv"},
		{"command", "(campagnol ca init, or other) is", ".Pf ( Nm campagnol Cm ca init ,\nor other) is"},
		{"quoted command", `by "campagnol ca init FILE --rdv".`, "by\n.Nm campagnol Cm ca init Ar file Fl \\-rdv ."},
		{"command and what looks like one", "campagnol status. campagnol lab", ".Nm campagnol Cm status .\n.Nm campagnol\nlab"},
		{"quoted words", `a "scope" here`, "a\n.Dq scope\nhere"},
		{"quoted dash", `"-" is`, ".Ql \\-\nis"},
		{"quoted option", `write "--force"`, "write\n.Fl \\-force"},
		{"quote over words", `say "one two" now`, "say\n.Dq one two\nnow"},
		{"open quote", `5" of it`, `5" of it`},
		{"quote without end", `say "one`, `say "one`},
		{"empty quote", `say "" now`, `say "" now`},
		{"blank quote", `say " " now`, `say " " now`},
		{"names of macros", `a "No Fl" is`, "a\n.Dq \\&No \\&Fl\nis"},
		{"request", ".Sh it is, 'tis", "\\&.Sh it is, 'tis"},
		{"backslash", `a \n is`, `a \en is`},
		{"not ASCII", "1, 3 … and ü", `1, 3 \[u2026] and \[u00FC]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := marked(testMarker(), c.text); got != c.want {
				t.Errorf("%q becomes\n%s\nwant\n%s", c.text, got, c.want)
			}
		})
	}
}

// TestMarkFills: lines are no longer than mandoc likes them.
func TestMarkFills(t *testing.T) {
	got := marked(testMarker(), strings.Repeat("words and … ", 100))
	for line := range strings.Lines(got) {
		if len(line) > 80 {
			t.Errorf("%d bytes: %s", len(line), line)
		}
	}
	if n := strings.Count(got, "words"); n != 100 {
		t.Errorf("%d words, want 100", n)
	}
}

// TestMentioned: the commands in a text are told.
func TestMentioned(t *testing.T) {
	var got []string
	m := testMarker()
	m.mentioned = func(name string) { got = append(got, name) }
	marked(m, `See "campagnol ca init --x", campagnol_rdv and campagnol status more.`)
	if got, want := strings.Join(got, ", "), "campagnol ca init, campagnol_rdv, campagnol status"; got != want {
		t.Errorf("mentioned: %s, want %s", got, want)
	}
}

// FuzzMark: no text makes a request of troff that is none of ours, or loses a word.
func FuzzMark(f *testing.F) {
	for _, seed := range []string{
		`With "campagnol ca init" (--json), see campagnol.conf(5).`, ".Sh X\n'x \\fB", `"`, `""`, `(("a b")) c"`, "mode = tap", "PEER). -", "/A/BCD/e …\x00\xff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, line := range testMarker().blocks(text) {
			if strings.ContainsAny(line, "\n") {
				t.Errorf("%q: a line with a newline: %q", text, line)
			}
			if strings.HasPrefix(line, "'") {
				t.Errorf("%q: a request: %q", text, line)
			}
			if !strings.HasPrefix(line, ".") {
				continue
			}
			name, _, _ := strings.Cut(line[1:], " ")
			if !strings.Contains(" Fl Pq Pf Pa Ar Dv Ev Xr Cm Nm Dq Ql Pp Bl It El Bd Ed Dl ", " "+name+" ") {
				t.Errorf("%q: the macro %q, in %q", text, name, line)
			}
		}
	})
}
