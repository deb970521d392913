package campagnol_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// TestLinks makes sure that all links between the project's documents, and to its files,
// lead somewhere, with the headings that they name.
func TestLinks(t *testing.T) {
	pages := map[string]*page{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == ".git"):
			return filepath.SkipDir
		case filepath.Ext(path) == ".md":
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			pages[filepath.ToSlash(path)] = readPage(string(b))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for path, p := range pages {
		for _, l := range p.links {
			if problem := l.check(path, pages); problem != "" {
				t.Errorf("%s:%d: the link to %s: %s", path, l.line, l.target, problem)
			}
			n++
		}
	}
	if n < 50 {
		t.Errorf("found %d links, want all", n)
	}
}

// A page is a document in Markdown.
type page struct {
	anchors []string
	links   []link
}

// A link is one to a file of the project, or to a heading.
type link struct {
	target string // as it is written
	line   int    // from 1
}

var (
	codeSpan   = regexp.MustCompile("``[^`]*(?:`[^`]+)*``|`[^`]*`")
	linkTarget = regexp.MustCompile(`\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?: "[^"]*")?\)`)
	scheme     = regexp.MustCompile(`^[a-z]+:`)
)

// readPage returns the headings and the links of a document, without those in code.
func readPage(text string) *page {
	p := &page{}
	fence, n := "", 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\n")
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case fence != "":
			if strings.TrimRight(trimmed, " ") == fence {
				fence = ""
			}
			continue
		case strings.HasPrefix(trimmed, "```"):
			fence = trimmed[:len(trimmed)-len(strings.TrimLeft(trimmed, "`"))]
			continue
		case strings.HasPrefix(line, "#"):
			p.addHeading(strings.TrimSpace(strings.TrimLeft(line, "#")))
		}
		for _, m := range linkTarget.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, "`"), -1) {
			if !scheme.MatchString(m[1]) {
				p.links = append(p.links, link{m[1], n})
			}
		}
	}
	return p
}

// addHeading adds the anchor of a heading, as those who show Markdown make it: small
// letters, digits, "-" and "_", with "-" for blanks, and a number for a second one.
func (p *page) addHeading(heading string) {
	base := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, heading)
	anchor := base
	for i := 1; slices.Contains(p.anchors, anchor); i++ {
		anchor = fmt.Sprintf("%s-%d", base, i)
	}
	p.anchors = append(p.anchors, anchor)
}

// file returns the file that the link leads to; "" is the one that it is in.
func (l link) file() string {
	file, _, _ := strings.Cut(l.target, "#")
	return file
}

// check returns what is wrong with a link of the document at path.
func (l link) check(path string, pages map[string]*page) string {
	_, anchor, hasAnchor := strings.Cut(l.target, "#")
	to := path
	if file := l.file(); file != "" {
		to = filepath.ToSlash(filepath.Join(filepath.Dir(path), file))
	}
	if _, err := os.Stat(to); err != nil {
		return "there is no " + to
	}
	if !hasAnchor {
		return ""
	}
	p := pages[to]
	if p == nil {
		return to + " has no headings"
	}
	if !slices.Contains(p.anchors, anchor) {
		return fmt.Sprintf("%s has no heading %q", to, anchor)
	}
	return ""
}

func TestReadPage(t *testing.T) {
	p := readPage("# One `x` (a), B_c\n" +
		"[a](b.md) and ![c](d.png \"title\") `[e](f)` ``[e`](f)`` [g](https://x) [h](#one-x-a-b_c) [i](j(k).md#l)\n" +
		"```\n# no heading\n[m](n)\n```\n" +
		"  ````sh\n  ```\n  [o](p)\n  ````\n" +
		"## One\n## One\n### Naïve – 0.3.5\n")
	if got, want := p.anchors, []string{"one-x-a-b_c", "one", "one-1", "naïve--035"}; !slices.Equal(got, want) {
		t.Errorf("anchors %q, want %q", got, want)
	}
	want := []link{{"b.md", 2}, {"d.png", 2}, {"#one-x-a-b_c", 2}, {"j(k).md#l", 2}}
	if !slices.Equal(p.links, want) {
		t.Errorf("links %v, want %v", p.links, want)
	}
}

func TestLinkCheck(t *testing.T) {
	pages := map[string]*page{"README.md": {anchors: []string{"a"}}, "docs/ca.md": {anchors: []string{"b"}}}
	for _, c := range []struct{ from, target, want string }{
		{"README.md", "#a", ""},
		{"README.md", "#b", `README.md has no heading "b"`},
		{"README.md", "docs/ca.md", ""},
		{"README.md", "docs/ca.md#b", ""},
		{"README.md", "docs/ca.md#a", `docs/ca.md has no heading "a"`},
		{"docs/ca.md", "../README.md#a", ""},
		{"docs/ca.md", "none.md", "there is no docs/none.md"},
		{"docs/ca.md", "../client", ""},
		{"docs/ca.md", "../go.mod#x", "go.mod has no headings"},
	} {
		if got := (link{c.target, 1}).check(c.from, pages); got != c.want {
			t.Errorf("%s in %s: got %q, want %q", c.target, c.from, got, c.want)
		}
	}
}
