package manual

import (
	"strings"
	"testing"

	"campagnol/conf"
)

// TestExplanations reads an example of a file.
func TestExplanations(t *testing.T) {
	about, language := explanations(`# About the file.
#
#   - A line
#     is one.
#   - So is this.
#
#   - Another.
#
# The first part.

# ---------------- first

[A]

# Text of one. Required.
one = 1

# Of two,
# in lines.
#
# And paragraphs, as in
#     two = 3
# Example:
#two = "2 3"

# About the next.
[B]

# One of B.
#one = yes

# No key.
`)
	if want := "  - A line\n    is one.\n  - So is this.\n\n  - Another.\n\n"; language != want {
		t.Errorf("the language is %q, want %q", language, want)
	}
	for key, want := range map[string]explanation{
		"A one": {"Text of one. Required.", "1"},
		"A two": {"Of two,\nin lines.\n\nAnd paragraphs, as in\n    two = 3\nExample:", `"2 3"`},
		"B one": {"One of B.", "yes"},
	} {
		if got := about[key]; got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if len(about) != 3 {
		t.Errorf("%d keys, want 3: %v", len(about), about)
	}
}

// TestTidied: what the facts of a key say is not said twice.
func TestTidied(t *testing.T) {
	for text, want := range map[string]string{
		"It is.": "It is.",
		"It is.\nCampagnol 0.3.5 ignores this key.":                               "It is.",
		"It is. Campagnol 0.3.5 ignores this key. Example:":                       "It is.",
		"It is. Required.\n\nAnd more.":                                           "It is.\n\nAnd more.",
		"It is. The line may be given\nseveral times. More.":                      "It is. More.",
		"The key may be given several times.\n\nMore.":                            "More.",
		"As in\n    x = 1\nCampagnol 0.3.5 ignores this key.":                     "As in\n    x = 1",
		"Required, unless x is set. (Campagnol 0.3.5 uses the last line.)":        "Required, unless x is set. (Campagnol 0.3.5 uses the last line.)",
		"It is.\n\nCampagnol 0.3.5 ignores this key.\n\nExample:":                 "It is.",
		"Without it the socket is /run/campagnol/INTERFACE.sock. Example: no end": "Without it the socket is /run/campagnol/INTERFACE.sock. no end",
	} {
		if got := tidied(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// TestFacts has what the page says that the table of keys knows.
func TestFacts(t *testing.T) {
	for _, c := range []struct {
		name, value string
		key         conf.Key
		want        string
	}{
		{"default", "x", conf.Key{Type: conf.TypeBool, Default: "yes"}, "Value: yes or no; the default is yes."},
		{"path", "x", conf.Key{Type: conf.TypePath, Default: "/var/x"}, "Value: a path; the default is|.Pa /var/x ."},
		{"required", "10.9.0.1", conf.Key{Name: "k", Type: conf.TypeAddress, Needed: true}, "Value: an IPv4 address; required.|Example:|.Dl k = 10.9.0.1"},
		{"no default", "", conf.Key{Type: conf.TypeText}, "Value: text; there is no default."},
		{"made of others", "${dir}/x", conf.Key{Type: conf.TypePath, Needed: true}, "Value: a path; required."},
		{"number", "", conf.Key{Type: conf.TypeInteger, Min: 5, Unit: "seconds", Default: "120"}, "Value: a whole number of seconds, at least 5; the default is 120."},
		{"number from 0", "", conf.Key{Type: conf.TypeInteger, Default: "0"}, "Value: a whole number; the default is 0."},
		{"choice", "", conf.Key{Type: conf.TypeChoice, Choices: []string{"a", "b", "c"}, Default: "a"}, "Value: a, b or c; the default is a."},
		{"new, several", "", conf.Key{Type: conf.TypeServer, New: true, Several: true}, "Value: a host, or host:port; there is no default.|The key may be given several times.|Campagnol 0.3.5 ignores this key."},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := testMarker().facts(c.key, c.value)
			if err != nil || strings.Join(got, "|") != c.want {
				t.Errorf("got %s, %v, want %s", strings.Join(got, "|"), err, c.want)
			}
		})
	}
}
