package manual

import (
	"slices"
	"strings"
	"testing"
)

// TestArgument has words as arguments of macros.
func TestArgument(t *testing.T) {
	for word, want := range map[string]string{
		"status":     "status",
		"--json":     `\-\-json`,
		"Fl":         `\&Fl`,
		"The":        `\&The`, // longer than a macro's name can be, but that does no harm
		"%A":         `\&%A`,
		"%D":         `\&%D`,
		"FILE":       "FILE",
		".":          `\&.`,
		"|":          `\&|`,
		"..":         "..",
		"a b":        `"a b"`,
		`say "x"`:    `"say \(dqx\(dq"`,
		`C:\x`:       `C:\ex`,
		"it's":       `it\(aqs`,
		"`~^":        `\(ga\(ti\(ha`,
		"Grüße":      `Gr\[u00FC]\[u00DF]e`,
		"\U0001F511": `\[u1F511]`,
	} {
		if got := argument(word); got != want {
			t.Errorf("%q becomes %s, want %s", word, got, want)
		}
	}
	if got, want := arguments(" server_host  = No "), `server_host = \&No`; got != want {
		t.Errorf("words become %q, want %q", got, want)
	}
}

// TestDisplayed: lines of a display are no requests, and can be copied.
func TestDisplayed(t *testing.T) {
	got := displayed([]string{".Sh x", "'x", "a -b", "", `\n`})
	if want := []string{`\&.Sh x`, `\(aqx`, `a \-b`, "", `\en`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestEndsSentence: what ends a sentence ends its line.
func TestEndsSentence(t *testing.T) {
	for word, want := range map[string]bool{"it.": true, "it?": true, "it!": true, "it.)": true, `it."`: true, "it": false, "it,": false, "it:": false, "1.2": false, "": false} {
		if got := endsSentence(word); got != want {
			t.Errorf("%q ends a sentence: %v, want %v", word, got, want)
		}
	}
}

// TestEnclosed has macros between punctuation.
func TestEnclosed(t *testing.T) {
	for _, c := range []struct{ lead, trail, want string }{
		{"", "", "Fl x"},
		{"", ".", "Fl x ."},
		{"", "),", "Fl x ) ,"},
		{"(", ")", "Pq Fl x"},
		{"(", ").", "Pq Fl x ."},
		{"(", ",", "Pf ( Fl x ,"},
		{"((", "))", "Pf (( Fl x ) )"},
		{"(", "))", "Pf ( Fl x ) )"},
	} {
		if got := enclosed(c.lead, "Fl x", c.trail); got != c.want {
			t.Errorf("between %q and %q: %q, want %q", c.lead, c.trail, got, c.want)
		}
	}
}

// TestSplit cuts texts into words and what is in quotes.
func TestSplit(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"one two.":                   "|one| |two|.",
		`("one two"), three`:         `(|"one two"|), |three|`,
		`see campagnol.conf(5).`:     "|see| |campagnol.conf(5)|.",
		`(campagnol.conf(5))`:        "(|campagnol.conf(5)|)",
		`say "one`:                   `|say| |"one|`,
		"( . ...":                    "|(| |.| |...|",
		`"a" "b c"`:                  `|"a"| |"b c"|`,
		"such as HOST[:PORT], there": "|such| |as| |HOST[:PORT]|, |there|",
	} {
		var parts []string
		for _, a := range split(text) {
			parts = append(parts, a.lead+"|"+a.core+"|"+a.trail)
		}
		if got := strings.Join(parts, " "); got != want {
			t.Errorf("%q becomes %s, want %s", text, got, want)
		}
	}
}

// TestBreakAt: commands are broken before an option, and never in quotes.
func TestBreakAt(t *testing.T) {
	for text, want := range map[string]int{
		"":                       0,
		"word":                   0,
		"one two three":          7,
		"one two three --x four": 13,
		"a -b three and fou":     14, // the option is too far ahead
		`one "two three`:         3,
		`one 'two "three`:        3,
		`a "b c" d`:              7,
	} {
		if got := breakAt(text); got != want {
			t.Errorf("%q is broken at %d, want %d", text, got, want)
		}
	}
}
