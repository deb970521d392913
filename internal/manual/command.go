package manual

import (
	"fmt"
	"slices"
	"strings"

	"campagnol/internal/cli"
)

// A book is all that is known when pages are made.
type book struct {
	Source
	commands map[string]bool   // of both programs, and the programs
	pages    map[string]string // the page of each command
	keys     map[string]bool
}

// marker returns what finds the words of a page.
func (b *book) marker(s *sheet) *marker {
	return &marker{commands: b.commands, keys: b.keys, mentioned: func(command string) {
		if page := b.pages[command]; page != "" {
			s.see(page, "8")
		}
	}}
}

// section8 is where pages of programs and their commands are.
const section8 = 8

// command makes the page of a program's command, with those below it.
func (b *book) command(program string, d cli.Description) Page {
	name := program + " " + d.Name
	s := newSheet(b.pages[name], section8, strings.ToLower(d.Short[:1])+d.Short[1:])
	s.see(program, "8")
	m := b.marker(s).with(append(placeholdersOf(d.Use), d.Flags...))
	prose := b.Prose[s.name+".8"]

	if len(d.Commands) == 0 {
		s.add("SYNOPSIS", synopsis(name, d)...)
	}
	for _, sub := range d.Commands {
		s.add("SYNOPSIS", synopsis(name+" "+sub.Name, sub)...)
	}
	text, status := withoutStatus(d.Long)
	s.add("DESCRIPTION", m.blocks(text)...)
	if len(d.Commands) > 0 && len(d.Flags) > 0 {
		s.paragraph("DESCRIPTION", "These options are for all commands below:")
	} else if len(d.Flags) > 0 {
		s.paragraph("DESCRIPTION", "The options are:")
	}
	s.add("DESCRIPTION", m.options(d.Flags, prose)...)
	var statuses []string
	for _, sub := range d.Commands {
		statuses = append(statuses, b.subcommand(s, name, sub)...)
	}
	b.globals(s, m, program)
	s.prose(prose)
	if !s.has("EXIT STATUS") {
		s.add("EXIT STATUS", m.exitStatus(status, statuses)...)
	}
	s.add("EXAMPLES", examples(d)...)
	return s.page(b.Edition)
}

// subcommand adds a command below another one to its page, and returns what is said of
// its exit status.
func (b *book) subcommand(s *sheet, above string, d cli.Description) []string {
	m := b.marker(s).with(append(placeholdersOf(d.Use), d.Flags...))
	_, name, _ := strings.Cut(above+" "+d.Name, " ")
	s.add("DESCRIPTION", ".Ss "+name+": "+strings.ToLower(d.Short[:1])+d.Short[1:])
	text, status := withoutStatus(d.Long)
	s.add("DESCRIPTION", m.blocks(text)...)
	if len(d.Flags) > 0 {
		s.add("DESCRIPTION", ".Pp", "Its options are:")
		s.add("DESCRIPTION", m.options(d.Flags, b.Prose[s.name+".8"])...)
	}
	if status == "" {
		return nil
	}
	return append([]string{".Pp", "Of", ".Nm " + strings.Replace(above, " ", " Cm ", 1) + " " + d.Name + " :"}, m.blocks(status)...)
}

// globals says which options of the program its commands have, too.
func (b *book) globals(s *sheet, m *marker, program string) {
	if program == clientProgram {
		s.add("DESCRIPTION", ".Pp", "The options", ".Fl d , v", "and", ".Fl h", "are those of", ".Xr "+program+" 8 .")
		return
	}
	s.add("DESCRIPTION", ".Pp", "With", ".Fl h", "a help is shown.")
}

// clientProgram is the program whose verbosity its commands inherit.
const clientProgram = "campagnol"

// exitStatus returns the lines about the exit status of a command and those below it.
func (m *marker) exitStatus(status string, more []string) []string {
	if status == "" && len(more) == 0 {
		return []string{"The exit status is 0, and 1 after an error, which is told on the standard error."}
	}
	if status == "" {
		status = "The exit status is 0, and 1 after an error."
	}
	return append(m.blocks(status), more...)
}

// examples returns a display of the examples of a command and those below it.
func examples(d cli.Description) []string {
	var all []string
	take := func(text string) {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); !slices.Contains(all, line) {
				all = append(all, line)
			}
		}
	}
	take(d.Example)
	for _, sub := range d.Commands {
		take(sub.Example)
	}
	var plain []string
	for _, line := range all {
		plain = append(plain, continued(line)...)
	}
	if len(plain) == 0 {
		return nil
	}
	return append(append([]string{".Bd -literal -offset indent"}, displayed(plain)...), ".Ed")
}

// withoutStatus takes what a help says of the exit status out of it: the paragraphs that
// begin with it.
func withoutStatus(long string) (text, status string) {
	var rest []string
	for p := range strings.SplitSeq(long, "\n\n") {
		if strings.HasPrefix(p, "The exit status") && status == "" {
			status = p
			continue
		}
		rest = append(rest, p)
	}
	return strings.Join(rest, "\n\n"), status
}

// placeholdersOf returns the arguments in a line of use, as values of options are.
func placeholdersOf(use string) (flags []cli.Flag) {
	_, use, _ = strings.Cut(use, " ")
	for _, p := range usageParts.FindAllString(use, -1) {
		flags = append(flags, cli.Flag{Value: p})
	}
	return flags
}

// program makes the page of a program.
func (b *book) program(d cli.Description) (Page, error) {
	s := newSheet(d.Name, section8, "")
	prose := b.Prose[s.name+".8"]
	about := prose.section("NAME")
	if len(about) != 1 {
		return Page{}, fmt.Errorf("manual: the prose of %s needs a section NAME of one line", d.Name)
	}
	s.about = about[0]
	m := b.marker(s).with(append(placeholdersOf(d.Use), d.Flags...))
	s.add("SYNOPSIS", synopsis(d.Name, d)...)
	s.add("SYNOPSIS", ".Nm "+d.Name, ".Ar command", ".Op Ar argument ...")
	s.add("DESCRIPTION", prose.section("DESCRIPTION")...)
	if !s.has("DESCRIPTION") {
		s.add("DESCRIPTION", m.blocks(d.Long)...)
	}
	s.paragraph("DESCRIPTION", "The options are:")
	s.add("DESCRIPTION", m.options(d.Flags, prose)...)
	s.add("COMMANDS", prose.section("COMMANDS")...)
	s.add("COMMANDS", ".Bl -tag -width completion")
	for _, sub := range d.Commands {
		s.add("COMMANDS", ".It Cm "+argument(sub.Name))
		if page := b.pages[d.Name+" "+sub.Name]; page != "" {
			s.add("COMMANDS", m.blocks(sub.Short+"; see")...)
			s.add("COMMANDS", ".Xr "+page+" 8 .")
		} else {
			s.add("COMMANDS", m.with(placeholdersOf(sub.Use)).blocks(sub.Long)...)
		}
	}
	s.add("COMMANDS", ".El")
	s.prose(prose)
	return s.page(b.Edition), nil
}
