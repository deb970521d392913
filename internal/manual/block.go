package manual

import "strings"

// displayWidth is how wide lines of a display may be, with the indentation of the page
// and of a list, so that no page is wider than 80 columns.
const displayWidth = 60

// blocks makes mdoc of a text of paragraphs, displays and points.
func (m *marker) blocks(text string) []string {
	var out []string
	for paragraph := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		lines := strings.Split(strings.Trim(paragraph, "\n"), "\n")
		for first := true; len(lines) > 0; first = false {
			n := 1
			for n < len(lines) && indented(lines[n]) == indented(lines[0]) {
				n++
			}
			group := lines[:n]
			lines = lines[n:]
			switch {
			case indented(group[0]) && strings.HasPrefix(strings.TrimSpace(group[0]), "- "):
				out = append(out, m.points(group)...)
			case indented(group[0]):
				out = append(out, display(group)...)
			default:
				if first && len(out) > 0 {
					out = append(out, ".Pp")
				}
				var f filler
				m.mark(&f, strings.Join(group, " "))
				out = append(out, f.lines...)
			}
		}
	}
	return out
}

func indented(line string) bool { return strings.HasPrefix(line, "  ") }

// points makes a list of lines of which some begin with "- ".
func (m *marker) points(lines []string) []string {
	out := []string{".Bl -bullet"}
	var f filler
	text := ""
	for _, l := range lines {
		trimmed := strings.TrimSpace(l)
		if point, ok := strings.CutPrefix(trimmed, "- "); ok {
			m.mark(&f, text)
			f.macro("It")
			text = point
		} else {
			text += " " + trimmed
		}
	}
	m.mark(&f, text)
	return append(append(out, f.lines...), ".El")
}

// display shows lines as they are, without the indentation that all have.
func display(lines []string) []string {
	common := len(lines[0])
	for _, l := range lines {
		if trimmed := strings.TrimLeft(l, " "); trimmed != "" {
			common = min(common, len(l)-len(trimmed))
		}
	}
	var plain []string
	for _, l := range lines {
		plain = append(plain, l[min(common, len(l)):])
	}
	if len(plain) == 1 {
		return []string{".Dl " + arguments(plain[0])}
	}
	out := append([]string{".Bd -literal -offset indent"}, displayed(plain)...)
	return append(out, ".Ed")
}

// breakAt returns where to break a command line that begins with text: at a blank before
// an option, or else at the last one, but not in quotes. It is 0 if there is none.
func breakAt(text string) int {
	last, option := 0, 0
	quote := byte(0)
	for i := range len(text) {
		switch c := text[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == ' ':
			last = i
			if strings.HasPrefix(text[i:], " -") {
				option = i
			}
		}
	}
	if option > len(text)/2 {
		return option
	}
	return last
}

// continued breaks a line that is too long, as a shell reads it.
func continued(line string) []string {
	const more = "    "
	var out []string
	for len(line) > displayWidth {
		i := breakAt(line[:displayWidth-1])
		if i <= len(more) {
			break
		}
		out = append(out, line[:i]+` \`)
		line = more + strings.TrimLeft(line[i:], " ")
	}
	return append(out, line)
}
