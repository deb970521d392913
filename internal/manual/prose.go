package manual

import (
	"fmt"
	"strings"
)

// Prose is what a page says that is written nowhere else: a file of mdoc with sections,
// and with what is to be known of an option beyond its help:
//
//	.\" option --auth
//	The mode open is for networks of old clients.
//	.Sh SIGNALS
//	...
//
// Its section DESCRIPTION takes the place of the help's; other sections are added.
// Lines before the first section that belong to no option are comments.
type Prose struct {
	sections []proseSection
	options  map[string][]string // by "--name"
}

type proseSection struct {
	name  string
	lines []string
}

// optionMark begins what is said of an option.
const optionMark = `.\" option `

// ParseProse reads a file of prose.
func ParseProse(text string) (*Prose, error) {
	p := &Prose{options: map[string][]string{}}
	option := ""
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, optionMark); ok {
			option = name
			if _, twice := p.options[name]; twice || !strings.HasPrefix(name, "--") || len(p.sections) > 0 {
				return nil, fmt.Errorf("line %d: the option %q is there twice, or behind a section, or begins without --", n, name)
			}
			p.options[name] = nil
			continue
		}
		if name, ok := strings.CutPrefix(line, ".Sh "); ok {
			option = ""
			p.sections = append(p.sections, proseSection{name: name})
			continue
		}
		switch {
		case len(p.sections) > 0:
			s := &p.sections[len(p.sections)-1]
			s.lines = append(s.lines, line)
		case option != "":
			p.options[option] = append(p.options[option], line)
		case !strings.HasPrefix(line, `.\"`) && line != "":
			return nil, fmt.Errorf("line %d: %q is in no section, and about no option", n, line)
		}
	}
	return p, nil
}

// section returns the lines of a section, nil if there is none.
func (p *Prose) section(name string) []string {
	if p == nil {
		return nil
	}
	for _, s := range p.sections {
		if s.name == name {
			return s.lines
		}
	}
	return nil
}
