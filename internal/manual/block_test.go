package manual

import (
	"strings"
	"testing"
)

// TestBlocks has paragraphs, displays and points.
func TestBlocks(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"paragraphs", "One,\ntwo.\n\nThree.\n", "One, two.\n.Pp\nThree."},
		{"display of a line", "With\n\n  a --b\n\nor not.", "With\n.Dl a \\-\\-b\n.Pp\nor not."},
		{"display in a paragraph", "With\n    a\n      b\nor not.", "With\n.Bd -literal -offset indent\na\n  b\n.Ed\nor not."},
		{"display of requests", "  .Sh\n  'x' ~", ".Bd -literal -offset indent\n\\&.Sh\n\\(aqx\\(aq \\(ti\n.Ed"},
		{"points", "  - one\n    more. And\n  - two", ".Bl -bullet\n.It\none more.\nAnd\n.It\ntwo\n.El"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(testMarker().blocks(c.text), "\n"); got != c.want {
				t.Errorf("%q becomes\n%s\nwant\n%s", c.text, got, c.want)
			}
		})
	}
}

// TestContinued: long commands are broken so that a shell reads them as one.
func TestContinued(t *testing.T) {
	word := strings.Repeat("x", 25)
	for _, c := range []struct{ line, want string }{
		{"short", "short"},
		{word + " " + word + " " + word, word + " " + word + " \\\n    " + word},
		{word + " --server 192.0.2.1:3478 --lifetime-of-it --z", word + " --server 192.0.2.1:3478 \\\n    --lifetime-of-it --z"},
		{word + " --first-one --name \"VPN of all\" --z", word + " --first-one --name \"VPN of all\" \\\n    --z"},
		{word + " \"" + word + " " + word + "\"", word + " \\\n    \"" + word + " " + word + "\""},
		{strings.Repeat("x", 100), strings.Repeat("x", 100)},
		{"a " + strings.Repeat("x", 100), "a " + strings.Repeat("x", 100)},
	} {
		if got := strings.Join(continued(c.line), "\n"); got != c.want {
			t.Errorf("%q becomes\n%s\nwant\n%s", c.line, got, c.want)
		}
	}
}

// TestParseProse has files of prose, good and bad.
func TestParseProse(t *testing.T) {
	p, err := ParseProse(".\\\" a comment\n\n.\\\" option --one\nIt is.\n.Pp\nMore.\n.\\\" option --two\nToo.\n.Sh FILES\n.Pa /x\n.\\\" here it is text\n.Sh NAME\nabout\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"FILES": ".Pa /x\n.\\\" here it is text", "NAME": "about", "OTHER": ""} {
		if got := strings.Join(p.section(name), "\n"); got != want {
			t.Errorf("the section %s is %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"--one": "It is.\n.Pp\nMore.", "--two": "Too."} {
		if got := strings.Join(p.options[name], "\n"); got != want {
			t.Errorf("the option %s: %q, want %q", name, got, want)
		}
	}
	if got := (*Prose)(nil).section("FILES"); got != nil {
		t.Errorf("without prose there is a section: %q", got)
	}

	for text, want := range map[string]string{
		"words\n":                              "line 1: \"words\" is in no section",
		"\n.Pp\n.Sh FILES\n":                   "line 2: \".Pp\" is in no section",
		".\\\" option --a\n.\\\" option --a\n": "line 2: the option \"--a\" is there twice",
		".\\\" option a\n":                     "line 1: the option \"a\"",
		".Sh FILES\n.\\\" option --a\n":        "line 2: the option \"--a\"",
	} {
		if _, err := ParseProse(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
