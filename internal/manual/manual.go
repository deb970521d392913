package manual

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"campagnol/conf"
	"campagnol/internal/cli"
)

// A Source is what pages are made of.
type Source struct {
	Edition  Edition
	Programs []cli.Description
	Keys     []conf.Key
	Example  string            // campagnol.conf.example, which explains the keys
	Prose    map[string]*Prose // by the name of a page's file
}

// Pages makes all pages, in the order of their files' names. It refuses helps with
// [Faults].
func Pages(src Source) ([]Page, error) {
	for _, p := range src.Programs {
		if faults := Faults(p); len(faults) > 0 {
			return nil, fmt.Errorf("manual: no pages can be made of these helps:\n%s", strings.Join(faults, "\n"))
		}
	}
	b := &book{Source: src, commands: map[string]bool{}, pages: map[string]string{}, keys: map[string]bool{}}
	for _, p := range src.Programs {
		b.register(p)
	}
	for _, k := range src.Keys {
		b.keys[k.Name] = true
	}
	var pages []Page
	for _, program := range src.Programs {
		page, err := b.program(program)
		if err != nil {
			return nil, err
		}
		pages = append(pages, page)
		for _, d := range program.Commands {
			if b.pages[program.Name+" "+d.Name] != "" {
				pages = append(pages, b.command(program.Name, d))
			}
		}
	}
	page, err := b.configuration()
	if err != nil {
		return nil, err
	}
	pages = append(pages, page)
	pages = append(pages, b.remaining(pages)...)
	slices.SortFunc(pages, func(a, b Page) int { return cmp.Compare(a.File(), b.File()) })
	return pages, b.unused(pages)
}

// register notes the commands of a program, and which have a page: all that it has
// itself, but the one that shows help.
func (b *book) register(program cli.Description) {
	b.commands[program.Name] = true
	b.pages[program.Name] = program.Name
	for _, d := range program.Commands {
		name := program.Name + " " + d.Name
		b.commands[name] = true
		if d.Name != "help" {
			b.pages[name] = program.Name + "-" + d.Name
		}
		for _, sub := range d.Commands {
			b.commands[name+" "+sub.Name] = true
			b.pages[name+" "+sub.Name] = b.pages[name]
		}
	}
}

// remaining makes the pages of which there is nothing but prose.
func (b *book) remaining(made []Page) (pages []Page) {
	for file, prose := range b.Prose {
		if slices.ContainsFunc(made, func(p Page) bool { return p.File() == file }) || len(prose.section("NAME")) != 1 {
			continue
		}
		i := strings.LastIndexByte(file, '.')
		s := newSheet(file[:i], int(file[i+1]-'0'), prose.section("NAME")[0])
		s.add("DESCRIPTION", prose.section("DESCRIPTION")...)
		s.prose(prose)
		pages = append(pages, s.page(b.Edition))
	}
	return pages
}

// unused tells about prose that no page has taken: of a page that there is not, or of
// an option.
func (b *book) unused(pages []Page) error {
	for file, prose := range b.Prose {
		i := slices.IndexFunc(pages, func(p Page) bool { return p.File() == file })
		if i < 0 {
			return fmt.Errorf("manual: there is prose for %s, which is no page", file)
		}
		for option, lines := range prose.options {
			if len(lines) == 0 || !strings.Contains(string(pages[i].Text), strings.Join(lines, "\n")) {
				return fmt.Errorf("manual: the prose for %s is about an option %s that is not there, or says nothing of it", file, option)
			}
		}
	}
	return nil
}
