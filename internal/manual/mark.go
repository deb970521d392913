package manual

import (
	"regexp"
	"slices"
	"strings"
)

// A marker finds the words of a text that mean something, and makes macros of them.
type marker struct {
	commands     map[string]bool // all commands of the programs, as "campagnol ca init", and the programs
	placeholders map[string]bool // those of the command that the text is about
	keys         map[string]bool // of the configuration

	// mentioned is told each command in a text.
	mentioned func(command string)
}

var (
	flagLike   = regexp.MustCompile(`^--?[A-Za-z][A-Za-z0-9-]*$`)
	pageLike   = regexp.MustCompile(`^([a-z][a-z0-9_.-]*)\(([1-8])\)$`)
	pathLike   = regexp.MustCompile(`^(~|\.{1,2})?/[A-Za-z0-9_./@+-]+$|^docs/[a-z-]+\.md$`)
	signalLike = regexp.MustCompile(`^SIG[A-Z0-9]+$`)
	variable   = regexp.MustCompile(`^\$?(CAMPAGNOL_[A-Z0-9_]+|NO_COLOR|SOURCE_DATE_EPOCH)$`)
	capitals   = regexp.MustCompile(`[A-Z]{3,}`)
	plainWords = regexp.MustCompile(`^[A-Za-z ]+$`)
)

// mark adds a paragraph of text to f.
func (m *marker) mark(f *filler, text string) {
	atoms := split(text)
	for i := 0; i < len(atoms); {
		a := atoms[i]
		used := 1
		line := ""
		switch {
		case len(a.core) > 2 && strings.HasPrefix(a.core, `"`) && strings.HasSuffix(a.core, `"`):
			line = m.quoted(a.core[1 : len(a.core)-1])
		case m.commands[a.core]:
			line, used = m.command(atoms[i:])
		case m.keys[a.core] && i+2 < len(atoms) && a.trail == "" && atoms[i+1].core == "=":
			used = 3
			line = "Cm " + arguments(a.core+" = "+atoms[i+2].core)
		default:
			line = m.word(a.core)
		}
		if line == "" {
			f.word(a.whole())
		} else {
			f.macro(enclosed(a.lead, line, atoms[i+used-1].trail))
		}
		i += used
	}
	f.flush()
}

// enclosed returns a macro's line with the punctuation around it.
func enclosed(lead, line, trail string) string {
	if lead == "(" && strings.HasPrefix(trail, ")") && !strings.Contains(trail[1:], ")") {
		line, lead, trail = "Pq "+line, "", trail[1:]
	}
	if lead != "" {
		line = "Pf " + lead + " " + line
	}
	for _, r := range trail {
		line += " " + string(r)
	}
	return line
}

// word returns the macro for a single word; "": it is text.
func (m *marker) word(w string) string {
	switch {
	case m.placeholders[w] && w != "A":
		return value(w)
	case flagLike.MatchString(w):
		return "Fl " + argument(w[1:])
	case pageLike.MatchString(w):
		parts := pageLike.FindStringSubmatch(w)
		return "Xr " + parts[1] + " " + parts[2]
	case pathLike.MatchString(w):
		return path(w)
	case signalLike.MatchString(w):
		return "Dv " + w
	case variable.MatchString(w):
		return "Ev " + strings.TrimPrefix(w, "$")
	case m.keys[w] && strings.Contains(w, "_"):
		return "Cm " + argument(w)
	}
	return ""
}

// quoted returns the macro for what is in quotes.
func (m *marker) quoted(inner string) string {
	fields := strings.Fields(inner)
	switch {
	case len(fields) == 0:
		return ""
	case m.commands[fields[0]]:
		line, used := m.command(split(inner))
		for _, a := range split(inner)[used:] {
			w := a.whole()
			switch {
			case flagLike.MatchString(w):
				line += " Fl " + argument(w[1:])
			default:
				line += " Ar " + argument(placeholder(w))
			}
		}
		return line
	case m.keys[inner]:
		return "Cm " + argument(inner)
	case m.keys[fields[0]] && len(fields) > 2 && fields[1] == "=":
		return "Cm " + arguments(inner)
	case len(fields) == 1 && m.word(inner) != "":
		return m.word(inner)
	case plainWords.MatchString(inner):
		return "Dq " + arguments(inner)
	}
	return "Ql " + arguments(inner)
}

// command returns the macro for a command that atoms begin with, and how many belong
// to it: the program, and the longest command of its that follows.
func (m *marker) command(atoms []atom) (line string, used int) {
	name, line := atoms[0].core, "Nm "+atoms[0].core
	used = 1
	var words []string
	for used < len(atoms) && atoms[used-1].trail == "" && m.commands[name+" "+atoms[used].core] {
		name += " " + atoms[used].core
		words = append(words, argument(atoms[used].core))
		used++
	}
	if len(words) > 0 {
		line += " Cm " + strings.Join(words, " ")
	}
	if m.mentioned != nil {
		m.mentioned(name)
	}
	return line, used
}

// placeholder returns the name of a value as pages write it.
func placeholder(w string) string {
	if len(w) == 1 {
		return w
	}
	return strings.ToLower(w)
}

// path returns the macro for a path, in which words of capitals stand for something.
func path(p string) string {
	line, last := "Pa ", 0
	for _, at := range capitals.FindAllStringIndex(p, -1) {
		line += argument(p[last:at[0]]) + " Ns Ar " + placeholder(p[at[0]:at[1]])
		if last = at[1]; last < len(p) {
			line += " Ns Pa "
		}
	}
	if last < len(p) {
		line += argument(p[last:])
	}
	return line
}

// An atom is a word of a text, or several in quotes, and the punctuation around.
type atom struct{ lead, core, trail string }

func (a atom) whole() string { return a.lead + a.core + a.trail }

// split cuts a text into atoms.
func split(text string) []atom {
	var atoms []atom
	fields := strings.Fields(text)
	for len(fields) > 0 {
		n := 1
		if opens(fields[0]) {
			if i := slices.IndexFunc(fields[1:], func(w string) bool { return strings.Contains(w, `"`) }); i >= 0 {
				n = i + 2
			}
		}
		atoms = append(atoms, newAtom(strings.Join(fields[:n], " ")))
		fields = fields[n:]
	}
	return atoms
}

// opens reports whether a word begins what is in quotes, and does not end it.
func opens(word string) bool {
	return strings.HasPrefix(strings.TrimLeft(word, "("), `"`) && strings.Count(word, `"`) == 1
}

func newAtom(word string) atom {
	a := atom{core: word}
	if rest := strings.TrimLeft(word, "("); rest != "" {
		a.lead, a.core = word[:len(word)-len(rest)], rest
	}
	core := strings.TrimRight(a.core, ".,;:?!)")
	if strings.HasPrefix(a.core[len(core):], ")") && pageLike.MatchString(core+")") {
		core += ")"
	}
	if core == "" {
		return a
	}
	a.core, a.trail = core, a.core[len(core):]
	return a
}
