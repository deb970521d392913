package manual

import (
	"strings"
	"testing"
	"time"
)

// TestSections: sections are in the order that mdoc wants, whatever that of writing.
func TestSections(t *testing.T) {
	s := newSheet("p", 8, "a page")
	for _, name := range []string{"EXAMPLES", "SIGNALS", "EXIT STATUS", "FILES", "DESCRIPTION", "SECURITY", "ENVIRONMENT", "SYNOPSIS", "COMPATIBILITY"} {
		s.add(name, "text")
	}
	s.add("EMPTY")
	s.see("q", "5")
	var got []string
	for line := range strings.Lines(string(s.page(Edition{Version: "1", Date: time.Unix(0, 0)}).Text)) {
		if name, ok := strings.CutPrefix(line, ".Sh "); ok {
			got = append(got, strings.TrimSpace(name))
		}
	}
	want := "NAME, SYNOPSIS, DESCRIPTION, SIGNALS, SECURITY, ENVIRONMENT, FILES, EXIT STATUS, EXAMPLES, COMPATIBILITY, SEE ALSO"
	if got := strings.Join(got, ", "); got != want {
		t.Errorf("sections %s, want %s", got, want)
	}
}

// TestParagraph: a paragraph is set apart from what is before it, if there is something.
func TestParagraph(t *testing.T) {
	s := newSheet("p", 8, "a page")
	s.paragraph("DESCRIPTION", "One.")
	s.paragraph("DESCRIPTION", "Two.")
	s.paragraph("DESCRIPTION")
	if got, want := strings.Join(s.sections[0].lines, "|"), "One.|.Pp|Two."; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestSeeAlso: all pages that a page refers to are listed once, by section and name, and
// not the page itself.
func TestSeeAlso(t *testing.T) {
	s := newSheet("p", 8, "a page")
	s.references([]string{".Xr b 8 .", ".Pq Xr a 8", ".Pf ( Xr z 1 ,", ".Xr a 5", ".Xr p 8", ".Xr p 5", ".It Xr c 8", "Xr no 8", ".Fl Xr", ".Xr b 8"})
	if got, want := strings.Join(s.seeAlso(), "|"), ".Xr z 1 ,|.Xr a 5 ,|.Xr p 5 ,|.Xr a 8 ,|.Xr b 8 ,|.Xr c 8"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestFile: a page has the name of its file.
func TestFile(t *testing.T) {
	if got := (Page{Name: "campagnol.conf", Section: 5}).File(); got != "campagnol.conf.5" {
		t.Errorf("got %s", got)
	}
}
