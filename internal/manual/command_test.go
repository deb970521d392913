package manual

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"campagnol/internal/cli"
	"campagnol/internal/testenv"
)

// TestWithoutStatus: what is said of the exit status goes to its own section.
func TestWithoutStatus(t *testing.T) {
	for _, c := range []struct{ long, text, status string }{
		{"It is.", "It is.", ""},
		{"It is.\n\nThe exit status is 0.", "It is.", "The exit status is 0."},
		{"It is.\n\nThe exit status is 0.\n\nMore.", "It is.\n\nMore.", "The exit status is 0."},
		{"It is. The exit status is 0.", "It is. The exit status is 0.", ""},
	} {
		if text, status := withoutStatus(c.long); text != c.text || status != c.status {
			t.Errorf("%q becomes %q and %q, want %q and %q", c.long, text, status, c.text, c.status)
		}
	}
}

// TestExitStatus: a page always says what the exit status is.
func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		status string
		more   []string
		want   string
	}{
		{"", nil, "The exit status is 0, and 1 after an error, which is told on the standard error."},
		{"The exit status is 7.", nil, "The exit status is 7."},
		{"", []string{".Pp", "More."}, "The exit status is 0, and 1 after an error.|.Pp|More."},
		{"The exit status is 7.", []string{".Pp", "More."}, "The exit status is 7.|.Pp|More."},
	} {
		if got := strings.Join(testMarker().exitStatus(c.status, c.more), "|"); got != c.want {
			t.Errorf("%q, %q: got %s, want %s", c.status, c.more, got, c.want)
		}
	}
}

// TestExamples: examples of a family are shown once each, and long ones broken.
func TestExamples(t *testing.T) {
	d := cli.Description{Example: "  p a\n  p b", Commands: []cli.Description{{Example: "  p b\n  p c 'x'"}, {}}}
	if got, want := strings.Join(examples(d), "|"), `.Bd -literal -offset indent|p a|p b|p c \(aqx\(aq|.Ed`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := examples(cli.Description{}); got != nil {
		t.Errorf("without examples there is %q", got)
	}
	long := cli.Description{Example: "  p " + strings.Repeat("word ", 20)}
	if got := examples(long); len(got) != 4 || !strings.HasSuffix(got[1], ` \e`) {
		t.Errorf("a long example: %q", got)
	}
}

// TestRendered: mandoc shows the words of a text as they were, whatever was found in it.
func TestRendered(t *testing.T) {
	mandoc := testenv.Tool(t, "mandoc", "mandoc")
	for _, text := range []string{
		"Plain words. And more? Yes! (Brackets) too; a: colon.",
		"With --json, -v (--no-start) and (--a, --b).",
		"See docs/control.md, /run/campagnol/tun0.sock and (campagnol.conf(5)).",
		"By campagnol ca init --rdv, campagnol_rdv --relay; (campagnol status).",
		"SIGHUP, NO_COLOR. The vpn_ip (mode = tap), as rdv_auth = auto says.",
		".Sh is no request, 'tis \\fBnot\\fP \\n.",
		"Fl Ar No In At . , ; are words | here ( and ) there",
		"1, 3, 5 … 7; é, ü and €.",
		"10.9.0.0/24, fd09::1 and [2001:db8::5]:4444; 100 % of 3.",
	} {
		source := ".Dd March 4, 2026\n.Dt X 8\n.Os\n.Sh NAME\n.Nm x\n.Nd x\n.Sh DESCRIPTION\n" + strings.Join(testMarker().blocks(text), "\n") + "\n"
		file := filepath.Join(t.TempDir(), "x.8")
		if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(mandoc, "-T", "utf8", "-O", "width=500", file).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		shown := string(out)
		for i := strings.IndexByte(shown, '\b'); i >= 0; i = strings.IndexByte(shown, '\b') {
			before := []rune(shown[:i]) // a letter, and another one over it
			shown = string(before[:len(before)-1]) + shown[i+1:]
		}
		_, shown, _ = strings.Cut(shown, "DESCRIPTION\n")
		shown, _, _ = strings.Cut(shown, "\n\n")
		if got := strings.Join(strings.Fields(shown), " "); got != text {
			t.Errorf("shown as\n%s\nwant\n%s\nfrom\n%s", got, text, source)
		}
	}
}
