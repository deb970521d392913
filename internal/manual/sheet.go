package manual

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// An Edition is what all pages say about themselves.
type Edition struct {
	Version string
	Date    time.Time
}

// A Page is a manual page.
type Page struct {
	Name    string // such as "campagnol"
	Section int
	Text    []byte // mdoc
}

// File returns the name of the page's file.
func (p Page) File() string { return fmt.Sprintf("%s.%d", p.Name, p.Section) }

// usual are sections in the order that mdoc wants. Others come between DESCRIPTION and
// ENVIRONMENT, in the order in which they were begun.
var usual = []string{"SYNOPSIS", "DESCRIPTION", "", "ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES", "COMPATIBILITY", "SEE ALSO"}

// A sheet is a page in the making.
type sheet struct {
	name     string
	section  int
	about    string // what the page is about, in a line
	sections []proseSection
	related  map[string]bool // pages to see, as "campagnol 8"
}

func newSheet(name string, section int, about string) *sheet {
	return &sheet{name: name, section: section, about: about, related: map[string]bool{}}
}

// add adds lines to a section, which it begins if there is none.
func (s *sheet) add(section string, lines ...string) {
	if len(lines) == 0 {
		return
	}
	i := slices.IndexFunc(s.sections, func(p proseSection) bool { return p.name == section })
	if i < 0 {
		i = len(s.sections)
		s.sections = append(s.sections, proseSection{name: section})
	}
	s.sections[i].lines = append(s.sections[i].lines, lines...)
}

// paragraph adds lines to a section, as a paragraph of their own.
func (s *sheet) paragraph(section string, lines ...string) {
	if s.has(section) && len(lines) > 0 {
		lines = append([]string{".Pp"}, lines...)
	}
	s.add(section, lines...)
}

func (s *sheet) has(section string) bool {
	return slices.ContainsFunc(s.sections, func(p proseSection) bool { return p.name == section })
}

// prose adds the sections of p but for those that are part of others, and remembers the
// pages of its SEE ALSO.
func (s *sheet) prose(p *Prose) {
	if p == nil {
		return
	}
	for _, section := range p.sections {
		switch section.name {
		case "NAME", "DESCRIPTION", "COMMANDS":
		case "SEE ALSO":
			s.references(section.lines)
		default:
			s.add(section.name, section.lines...)
		}
	}
}

// see remembers a page to see.
func (s *sheet) see(name, section string) {
	if name != s.name || section != fmt.Sprint(s.section) {
		s.related[name+" "+section] = true
	}
}

// reference matches what refers to a page.
var reference = regexp.MustCompile(`^\.(?:[A-Z][a-z] |\( )*Xr (\S+) ([1-8])\b`)

// references remembers the pages that lines refer to.
func (s *sheet) references(lines []string) {
	for _, l := range lines {
		if found := reference.FindStringSubmatch(l); found != nil {
			s.see(found[1], found[2])
		}
	}
}

// seeAlso returns the lines of SEE ALSO, in the order of sections and names.
func (s *sheet) seeAlso() []string {
	all := slices.SortedFunc(maps.Keys(s.related), func(a, b string) int {
		return cmp.Or(cmp.Compare(a[len(a)-1], b[len(b)-1]), cmp.Compare(a, b))
	})
	var lines []string
	for i, page := range all {
		line := ".Xr " + page
		if i < len(all)-1 {
			line += " ,"
		}
		lines = append(lines, line)
	}
	return lines
}

// origin is the head of all pages.
const origin = `.\" Made by "go run ./packaging/build man" of the helps of commands, of
.\" campagnol.conf.example and of packaging/man/src: change those.
`

// page finishes the page.
func (s *sheet) page(e Edition) Page {
	for _, section := range s.sections {
		s.references(section.lines)
	}
	s.add("SEE ALSO", s.seeAlso()...)
	var b strings.Builder
	b.WriteString(origin)
	fmt.Fprintf(&b, ".Dd %s\n.Dt %s %d\n.Os Campagnol %s\n", e.Date.Format("January 2, 2006"), strings.ToUpper(s.name), s.section, literal(e.Version))
	fmt.Fprintf(&b, ".Sh NAME\n.Nm %s\n.Nd %s\n", s.name, s.about)
	for _, name := range usual {
		for _, section := range s.sections {
			if section.name == name || name == "" && !slices.Contains(usual, section.name) {
				fmt.Fprintf(&b, ".Sh %s\n%s\n", section.name, strings.Join(section.lines, "\n"))
			}
		}
	}
	return Page{Name: s.name, Section: s.section, Text: []byte(b.String())}
}
