package manual

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/conf"
	"campagnol/internal/cli"
	"campagnol/pki/policy"
)

// testSource describes a small program, and a file with two keys.
func testSource(t *testing.T) Source {
	t.Helper()
	prose := func(text string) *Prose {
		p, err := ParseProse(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	return Source{
		Edition: Edition{Version: "1.2.3-dev", Date: time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)},
		Programs: []cli.Description{{
			Name: "campagnol", Use: "campagnol [-d] [FILE]", Long: "The client.", Example: "  campagnol -d",
			Flags: []cli.Flag{{Name: "debug", Shorthand: "d", Usage: "log all"}},
			Commands: []cli.Description{
				{Name: "ca", Use: "ca", Short: "Make certificates", Long: "Make them.", Example: "  campagnol ca list\n  campagnol ca make x",
					Flags: []cli.Flag{{Name: "dir", Value: "DIR", Usage: "directory of the CA"}},
					Commands: []cli.Description{
						{Name: "list", Use: "list", Short: "List them", Long: "List all.", Example: "  campagnol ca list"},
						{Name: "make", Use: "make NAME", Short: "Make one", Long: "Make one for NAME.\n\nThe exit status is 2 if there is one.", Example: "  campagnol ca make y"},
					}},
				{Name: "help", Use: "help [COMMAND]", Short: "Show help", Long: "Show the help of COMMAND.", Example: "  campagnol help ca"},
				{Name: "try", Use: "try PEER", Short: "Try a peer", Long: "Try PEER, as \"campagnol ca list\" does.\n\nThe exit status is 0, or 2.\n\nMore.", Example: "  campagnol try x"},
			},
		}},
		Keys: []conf.Key{
			{Section: "NETWORK", Name: "server_host", Type: conf.TypeHost, Needed: true, Several: true},
			{Section: "CLIENT", Name: "timeout", Type: conf.TypeInteger, Default: "120", Min: 5, Unit: "seconds", New: true},
		},
		Example: "# A file.\n#\n#   - A line is one.\n#\n# More.\n\n[NETWORK]\n\n# The server. Required.\nserver_host = rdv.example.org\n\n# What follows is new.\n[CLIENT]\n\n# How long. Campagnol 0.3.5 ignores this key.\n#timeout = 120\n",
		Prose: map[string]*Prose{
			"campagnol.8": prose(".\\\" option --debug\nIt is a lot.\n.Sh NAME\nclient of a VPN\n.Sh DESCRIPTION\nThis is\n.Nm .\n.Sh COMMANDS\nSome ask.\n.Sh FILES\n.Pa /x\n.Sh SIGNALS\nNone.\n"),
			"other.5":     prose(".Sh NAME\nanother page\n.Sh DESCRIPTION\nSee\n.Xr campagnol-ca 8 .\n.Sh SEE ALSO\n.Xr syslog 3\n"),
		},
	}
}

// pagesByFile makes pages.
func pagesByFile(t *testing.T, src Source) map[string]string {
	t.Helper()
	pages, err := Pages(src)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, p := range pages {
		all[p.File()] = string(p.Text)
	}
	return all
}

// TestPages makes the pages of a small program, and compares some with those in testdata,
// but for the head, which all have.
func TestPages(t *testing.T) {
	pages := pagesByFile(t, testSource(t))
	var files []string
	for f := range pages {
		files = append(files, f)
	}
	slices.Sort(files)
	if got, want := strings.Join(files, " "), "campagnol-ca.8 campagnol-try.8 campagnol.8 campagnol.conf.5 other.5"; got != want {
		t.Errorf("pages %s, want %s", got, want)
	}
	for _, file := range []string{"campagnol.8", "campagnol-try.8", "campagnol.conf.5", "other.5"} {
		want, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimPrefix(pages[file], origin); got != string(want) {
			t.Errorf("%s is\n%s\nwant\n%s", file, got, want)
		}
	}
}

// TestFamilies: a command with others below it has all in its page, each example once.
func TestFamilies(t *testing.T) {
	page := pagesByFile(t, testSource(t))["campagnol-ca.8"]
	for _, want := range []string{
		".Nm campagnol Cm ca list\n.Nm campagnol Cm ca make\n.Ar name\n",
		"These options are for all commands below:\n.Bl -tag -width Ds\n.It Fl \\-dir Ar dir\n",
		".Ss ca list: list them\nList all.\n",
		".Ss ca make: make one\nMake one for\n.Ar name .\n",
		".Sh EXIT STATUS\nThe exit status is 0, and 1 after an error.\n.Pp\nOf\n.Nm campagnol Cm ca make :\nThe exit status is 2 if there is one.\n",
		"campagnol ca list\ncampagnol ca make x\ncampagnol ca make y\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks\n%s\nit is\n%s", want, page)
		}
	}
}

// TestPagesRefuse: what pages cannot be made of is told.
func TestPagesRefuse(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(s *Source)
		want   string
	}{
		{"a program without a line about it", func(s *Source) { delete(s.Prose, "campagnol.8") }, "needs a section NAME"},
		{"prose without a page", func(s *Source) { s.Prose["campagnol-gone.8"] = &Prose{} }, "campagnol-gone.8, which is no page"},
		{"prose about an option that is gone", func(s *Source) { s.Prose["campagnol.8"].options["--gone"] = []string{"It was."} }, "an option --gone"},
		{"prose without a word", func(s *Source) { s.Prose["campagnol.8"].options["--debug"] = nil }, "an option --debug"},
		{"a command without a line about it", func(s *Source) { s.Programs[0].Commands[2].Short = "" }, "campagnol try: the line about it"},
		{"a key that nobody explains", func(s *Source) { s.Keys[1].Name = "keepalive" }, "explains no key keepalive in [CLIENT]"},
		{"a key of a new type", func(s *Source) { s.Keys[1].Type = "colour" }, `of the type "colour" is written is not known (timeout)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := testSource(t)
			c.change(&src)
			if _, err := Pages(src); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestTypes: how the values of all keys are written is known.
func TestTypes(t *testing.T) {
	for _, k := range conf.Keys() {
		if lines, err := testMarker().facts(k, ""); err != nil || len(lines) == 0 {
			t.Errorf("%s: %q, %v", k.Name, lines, err)
		}
		if titles[k.Section] == "" {
			t.Errorf("what the section [%s] is about is not known", k.Section)
		}
	}
}

// TestSetting: a long value is broken so that the file still says the same.
func TestSetting(t *testing.T) {
	for name, value := range map[string]string{
		"up":    "ip addr add %V dev %D && ip link set %D mtu %M up && ip route replace %N dev %D && true",
		"short": "value",
		"down":  `"the VPN on %D ends, and this is a long line that is in quotes already"`,
		"solid": strings.Repeat("x", 100),
	} {
		lines := setting(name, value)
		f, problems := conf.Parse("f", []byte("[A]\n"+strings.Join(lines, "\n")+"\n"))
		if len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
		plain, _ := conf.Parse("f", []byte("[A]\n"+name+" = "+value+"\n"))
		got, want := f.Section("A").Setting(name).Last().Expanded, plain.Section("A").Setting(name).Last().Expanded
		if got != want {
			t.Errorf("%s is read from\n%s\nas %q, want %q", name, strings.Join(lines, "\n"), got, want)
		}
	}
	if lines := setting("up", strings.Repeat("word ", 30)+"end"); len(lines) != 3 {
		t.Errorf("a long value has %d lines, want 3: %q", len(lines), lines)
	}
}

// TestPolicyExample: the example in the page about policies is one, and has each kind of
// statement that the page explains.
func TestPolicyExample(t *testing.T) {
	text, err := os.ReadFile("../../packaging/man/src/campagnol-policy.5.mdoc")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), ".Bd -literal -offset indent\n")
	example, _, found := strings.Cut(example, ".Ed")
	if !found {
		t.Fatal("the page has no example")
	}
	example = strings.ReplaceAll(example, `\-`, "-")
	if _, err := policy.Parse("example", example); err != nil {
		t.Errorf("%v, of\n%s", err, example)
	}
	for _, word := range []string{"version", "group", "default", "allow", "filter", "allow relay:"} {
		if !strings.Contains("\n"+example, "\n"+word) {
			t.Errorf("the example has no %s", word)
		}
	}
}
