package manual

import (
	"fmt"
	"regexp"
	"strings"

	"campagnol/conf"
)

// configurationPage is the page about the client's file.
const configurationPage = "campagnol.conf"

// exampleLine matches a line of the example with a key and its value, which may be
// commented out; prose has a blank behind the '#'.
var exampleLine = regexp.MustCompile(`^#?([a-z][a-z_0-9]*) = (.*)$`)

// An explanation is what the example says about a key.
type explanation struct {
	text  string // paragraphs
	value string // of the line below
}

// explanations returns what the example says about keys, by "SECTION key", and the
// points above the first section, which are about the language.
func explanations(example string) (about map[string]explanation, language string) {
	about = map[string]explanation{}
	section := ""
	for part := range strings.SplitSeq(example, "\n\n") {
		lines := strings.Split(strings.Trim(part, "\n"), "\n")
		last := lines[len(lines)-1]
		if name, ok := strings.CutPrefix(last, "["); ok {
			section = strings.TrimSuffix(name, "]")
			continue
		}
		found := exampleLine.FindStringSubmatch(last)
		switch {
		case section == "":
			language += points(uncommented(lines))
		case found != nil:
			about[section+" "+found[1]] = explanation{uncommented(lines[:len(lines)-1]), found[2]}
		}
	}
	return about, language
}

// points returns the paragraphs of a text that are points.
func points(text string) string {
	var out string
	for p := range strings.SplitSeq(text, "\n\n") {
		if strings.HasPrefix(p, "  - ") {
			out += p + "\n\n"
		}
	}
	return out
}

// setting returns a line of the file, or several, quoted, if it is long.
func setting(name, value string) []string {
	line := name + " = "
	if len(line)+len(value) <= displayWidth || strings.Contains(value, `"`) {
		return []string{line + value}
	}
	indent := strings.Repeat(" ", len(line))
	var out []string
	for len(line)+len(value) > displayWidth {
		i := strings.LastIndex(value[:displayWidth-len(line)-len(`""\ `)], " ") + 1
		if i == 0 {
			break
		}
		out = append(out, line+`"`+value[:i]+`" \`)
		line, value = indent, value[i:]
	}
	return append(out, line+`"`+value+`"`)
}

// uncommented returns the text of comments.
func uncommented(lines []string) string {
	var out []string
	for _, l := range lines {
		out = append(out, strings.TrimPrefix(strings.TrimPrefix(l, "#"), " "))
	}
	return strings.Join(out, "\n")
}

// said is what the example says in words that the page has a place for.
var said = regexp.MustCompile(`[ \n]*(Campagnol 0\.3\.5 ignores this key\.|Required\.|Example:|The (key|line) may be given\sseveral times\.)`)

// titles are what sections of the file are about.
var titles = map[string]string{
	"NETWORK":  "the way to others",
	"ETHERNET": "the switch of mode = tap",
	"VPN":      "addresses",
	"SECURITY": "certificates and policy",
	"CLIENT":   "behaviour",
	"COMMANDS": "commands for the shell",
}

// configuration makes the page about the client's file.
func (b *book) configuration() (Page, error) {
	s := newSheet(configurationPage, 5, "configuration of the client of a Campagnol VPN")
	m := b.marker(s)
	prose := b.Prose[s.name+".5"]
	about, language := explanations(b.Example)
	s.add("DESCRIPTION", prose.section("DESCRIPTION")...)
	s.add("DESCRIPTION", m.blocks(language)...)
	section := ""
	for _, k := range b.Keys {
		if k.Section != section {
			if section != "" {
				s.add("DESCRIPTION", ".El")
			}
			section = k.Section
			s.add("DESCRIPTION", ".Ss ["+section+"], "+titles[section], ".Bl -tag -width Ds")
		}
		e, ok := about[k.Section+" "+k.Name]
		if !ok {
			return Page{}, fmt.Errorf("manual: campagnol.conf.example explains no key %s in [%s]", k.Name, k.Section)
		}
		facts, err := m.facts(k, e.value)
		if err != nil {
			return Page{}, err
		}
		s.add("DESCRIPTION", ".It Cm "+argument(k.Name))
		s.add("DESCRIPTION", m.blocks(tidied(e.text))...)
		s.add("DESCRIPTION", append([]string{".Pp"}, facts...)...)
	}
	s.add("DESCRIPTION", ".El")
	s.prose(prose)
	return s.page(b.Edition), nil
}

// tidied returns a key's text without what stands in its facts.
func tidied(text string) string {
	var paragraphs []string
	for p := range strings.SplitSeq(text, "\n\n") {
		if p = strings.Trim(said.ReplaceAllString(p, ""), "\n"); strings.TrimSpace(p) != "" {
			paragraphs = append(paragraphs, p)
		}
	}
	return strings.Join(paragraphs, "\n\n")
}

// written says how values of a type are written. Words of capitals are of the file.
var written = map[conf.Type]string{
	conf.TypeText:     "text",
	conf.TypePath:     "a path",
	conf.TypeHost:     "an address, or a name",
	conf.TypePort:     "the number of a port",
	conf.TypeRate:     "a number of kB/s (1000 bytes per second)",
	conf.TypeBool:     "yes or no",
	conf.TypeAuto:     "auto, yes or no",
	conf.TypeOCSP:     "no, yes or require",
	conf.TypeAddress:  "an IPv4 address",
	conf.TypeNetwork:  "an IPv4 network, as address/length",
	conf.TypeEndpoint: "an address and a port, with a blank between them",
	conf.TypeAddress6: "an IPv6 address",
	conf.TypeNetwork6: "an IPv6 network, as address/length",
	conf.TypeMAC:      "six bytes, with colons between them",
	conf.TypeVLANs:    "all, or numbers and ranges of them",
	conf.TypeServer:   "a host, or host:port",
	conf.TypeCommand:  "a command for the shell",
	conf.TypeScope:    "a name",
	conf.TypeDomain:   "a domain",
	conf.TypeExternal: "an address, address:port, or one of them and a scope",
	conf.TypeRelay:    "yes, no, or a TURN server with user and password",
	conf.TypeProxy:    "a URL",
	conf.TypeListen:   "address:port",
}

// facts returns lines with what the table of keys knows about a key, whose line in the
// example has the given value.
func (m *marker) facts(k conf.Key, value string) ([]string, error) {
	how := written[k.Type]
	switch k.Type {
	case conf.TypeInteger:
		how = "a whole number"
		if k.Unit != "" {
			how += " of " + k.Unit
		}
		if k.Min > 0 {
			how += fmt.Sprintf(", at least %d", k.Min)
		}
	case conf.TypeChoice:
		how = strings.Join(k.Choices[:len(k.Choices)-1], ", ") + " or " + k.Choices[len(k.Choices)-1]
	}
	if how == "" {
		return nil, fmt.Errorf("manual: how a value of the type %q is written is not known (%s)", k.Type, k.Name)
	}
	text := "Value: " + how
	switch {
	case k.Needed:
		text += "; required"
	case k.Default != "":
		text += "; the default is " + k.Default
	default:
		text += "; there is no default"
	}
	text += "."
	if k.Several {
		text += " The key may be given several times."
	}
	if k.New {
		text += " Campagnol 0.3.5 ignores this key."
	}
	lines := m.blocks(text)
	if k.Default == "" && value != "" && !strings.Contains(value, "${") {
		lines = append(append(lines, "Example:"), display(setting(k.Name, value))...)
	}
	return lines, nil
}
