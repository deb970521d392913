package manual

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"campagnol/internal/cli"
)

// defaulted matches a default that an option's help ends with.
var defaulted = regexp.MustCompile(`^(.*?)[;,]? *\(default (.*)\)$`)

// valueParts matches the parts of a value's name, such as HOST[:PORT].
var valueParts = regexp.MustCompile(`[A-Za-z][A-Za-z0-9]+(-[A-Za-z0-9]{2,})*|[A-Za-z]|[^A-Za-z]`)

// value returns the macros for an option's value.
func value(name string) string {
	if strings.Contains(name, "|") && strings.ToLower(name) == name {
		return "Cm " + strings.Join(strings.Split(name, "|"), " | ")
	}
	var parts []string
	for _, p := range valueParts.FindAllString(name, -1) {
		switch {
		case p == "[":
			parts = append(parts, "Oo")
		case p == "]":
			parts = append(parts, "Oc")
		case unicode.IsLetter(rune(p[0])):
			parts = append(parts, "Ar "+argument(placeholder(p)))
		default:
			parts = append(parts, argument(p))
		}
	}
	return strings.Join(parts, " Ns ")
}

// flagMacros returns the macros for an option and its value.
func flagMacros(f cli.Flag) string {
	line := "Fl " + argument("-"+f.Name)
	switch {
	case f.Value == "":
	case f.Optional:
		line += " Ns Oo = Ns " + value(f.Value) + " Oc"
	default:
		line += " " + value(f.Value)
	}
	return line
}

// shortest returns the macros for an option and its value, by its letter if it has one.
func shortest(f cli.Flag) string {
	long := "Fl " + argument("-"+f.Name)
	if f.Shorthand == "" {
		return flagMacros(f)
	}
	return "Fl " + f.Shorthand + strings.TrimPrefix(flagMacros(f), long)
}

// options returns a list of options. What prose says of one is added to its help.
func (m *marker) options(flags []cli.Flag, prose *Prose) []string {
	if len(flags) == 0 {
		return nil
	}
	out := []string{".Bl -tag -width Ds"}
	for _, f := range flags {
		item := ".It "
		if f.Shorthand != "" {
			item += "Fl " + f.Shorthand + " , "
		}
		out = append(out, item+flagMacros(f))
		usage, def := f.Usage, f.Default
		if parts := defaulted.FindStringSubmatch(usage); parts != nil {
			usage, def = parts[1], parts[2]
		}
		// The alternatives that the help lists stand before the text.
		text := sentence(strings.TrimSuffix(usage, ": "+f.Value))
		if def != "" {
			text += " The default is " + def + "."
		}
		out = append(out, m.with(flags).blocks(text)...)
		if prose != nil {
			out = append(out, prose.options["--"+f.Name]...)
		}
	}
	return append(out, ".El")
}

// with returns a marker that knows the values of options, too.
func (m *marker) with(flags []cli.Flag) *marker {
	n := *m
	n.placeholders = map[string]bool{}
	for p := range m.placeholders {
		n.placeholders[p] = true
	}
	for _, f := range flags {
		if f.Value == strings.ToUpper(f.Value) && len(f.Value) > 1 {
			n.placeholders[f.Value] = true
		}
		for _, p := range valueParts.FindAllString(f.Value, -1) {
			if p == strings.ToUpper(p) && unicode.IsLetter(rune(p[0])) {
				n.placeholders[p] = true
			}
		}
	}
	return &n
}

// sentence returns a text with a capital at the beginning and a full stop.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 || strings.HasPrefix(s, "-") {
		return s
	}
	s = string(unicode.ToUpper(r)) + s[n:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// usageParts matches what the line of a command's use is made of.
var usageParts = regexp.MustCompile(`\[|\]|\||-{1,2}[A-Za-z-]+|[A-Z][A-Za-z0-9-]*`)

// synopsis returns the lines of a command's use, with its options, of which those that
// its line of use names are not repeated.
func synopsis(command string, d cli.Description) []string {
	program, path, _ := strings.Cut(command, " ")
	line := ".Nm " + program
	if path != "" {
		line += " Cm " + arguments(path)
	}
	out := []string{line}
	_, use, _ := strings.Cut(d.Use, " ")
	front, back := usage(use)
	out = append(out, front...)
	for _, f := range d.Flags {
		if !named(use, f) {
			out = append(out, ".Op "+shortest(f))
		}
	}
	return append(out, back...)
}

// named reports whether a line of use names an option.
func named(use string, f cli.Flag) bool {
	return slices.ContainsFunc(usageParts.FindAllString(use, -1), func(p string) bool {
		if strings.HasPrefix(p, "--") {
			return p[2:] == f.Name
		}
		return f.Shorthand != "" && strings.HasPrefix(p, "-") && strings.Contains(p[1:], f.Shorthand)
	})
}

// usage returns the arguments of a line of use: options first, others behind all options.
func usage(use string) (front, back []string) {
	for group := range groups(use) {
		inner := strings.Trim(group, "[]")
		var parts []string
		for _, p := range usageParts.FindAllString(inner, -1) {
			switch {
			case p == "|":
				parts = append(parts, p)
			case strings.HasPrefix(p, "-"):
				parts = append(parts, "Fl "+argument(p[1:]))
			default:
				parts = append(parts, "Ar "+argument(placeholder(p)))
			}
		}
		line := "." + strings.Join(parts, " ")
		if strings.HasPrefix(group, "[") {
			line = ".Op " + line[1:]
		}
		if strings.HasPrefix(inner, "-") {
			front = append(front, line)
		} else {
			back = append(back, line)
		}
	}
	return front, back
}

// groups yields what is in brackets, and what is between brackets.
func groups(use string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for use = strings.TrimSpace(use); use != ""; use = strings.TrimSpace(use) {
			end := strings.IndexByte(use[1:], '[') + 1
			if use[0] == '[' {
				end = strings.IndexByte(use, ']') + 1
			}
			if end <= 0 {
				end = len(use)
			}
			if !yield(strings.TrimSpace(use[:end])) {
				return
			}
			use = use[end:]
		}
	}
}
