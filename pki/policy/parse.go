package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits on a text. It is read as a whole and may come over the network.
const (
	maxText   = 4 << 20 // bytes
	maxRules  = 20_000
	maxGroups = 20_000
	maxErrors = 20 // that are reported
)

// An errorList collects mistakes.
type errorList struct {
	list   []error
	hidden int
}

func (e *errorList) add(file string, t token, format string, args ...any) {
	if len(e.list) == maxErrors {
		e.hidden++
		return
	}
	text := format
	if len(args) > 0 {
		text = fmt.Sprintf(format, args...)
	}
	e.list = append(e.list, &Error{file, t.line, t.column, text})
}

// err returns all in the order of the text, nil if there are none.
func (e *errorList) err() error {
	slices.SortStableFunc(e.list, func(a, b error) int {
		x, y := a.(*Error), b.(*Error)
		return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
	})
	if e.hidden > 0 {
		last := *e.list[len(e.list)-1].(*Error)
		last.Text += fmt.Sprintf(" (%d more mistakes are not listed)", e.hidden)
		e.list[len(e.list)-1] = &last
	}
	return errors.Join(e.list...)
}

// Parse reads a policy. name is that of the file, for messages. A text with a
// mistake is refused as a whole: the error joins an [*Error] for each.
func Parse(name, text string) (*Policy, error) {
	ps := &parser{p: &Policy{name: name}, lexer: lexer{file: name, rest: text}, byName: map[string]int{}}
	if len(text) > maxText {
		ps.fail(token{line: 1, column: 1}, "the text has %d bytes, and a policy at most %d", len(text), maxText)
		return nil, ps.errs.err()
	}
	for {
		s, ok := ps.next()
		if !ok {
			break
		}
		ps.s, ps.at = s, 0
		if err := ps.statement(); err != nil {
			ps.fail(err.at, "%s", err.text)
		}
	}
	ps.resolve()
	if err := ps.errs.err(); err != nil {
		return nil, err
	}
	ps.finish()
	return ps.p, nil
}

// A parser reads statements.
type parser struct {
	lexer
	p      *Policy
	s      statement
	at     int
	byName map[string]int // groups
	words  []wordUse      // that may be groups

	defaultAt, versionAt int // lines; 0: not seen
}

// A wordUse is a place where a word stands that may be a group.
type wordUse struct {
	s  *subject
	at token
}

// A mistake ends the reading of a statement.
type mistake struct {
	at   token
	text string
}

func (ps *parser) fail(t token, format string, args ...any) {
	ps.errs.add(ps.file, t, format, args...)
}

func wrong(t token, format string, args ...any) *mistake {
	return &mistake{t, fmt.Sprintf(format, args...)}
}

func (ps *parser) peek() token { return ps.s.tokens[ps.at] }

// take returns the next token and goes on behind it, but never behind the end.
func (ps *parser) take() token {
	t := ps.s.tokens[ps.at]
	if t.kind != end {
		ps.at++
	}
	return t
}

// keyword takes the word text, if it is next.
func (ps *parser) keyword(text string) bool {
	if t := ps.peek(); t.kind == word && t.text == text {
		ps.at++
		return true
	}
	return false
}

// expect takes a token of a kind. what says more about what belongs there.
func (ps *parser) expect(k kind, what string) *mistake {
	if t := ps.take(); t.kind != k {
		return wrong(t, "unexpected %s, expected %s%s", t.describe(), kindNames[k], what)
	}
	return nil
}

// statementWords are the words that a statement can start with.
var statementWords = []string{"allow", "deny", "filter", "group", "default", "version"}

func (ps *parser) statement() *mistake {
	first := ps.take()
	if first.kind == word {
		switch first.text {
		case "allow", "deny":
			return ps.rule(first.text == "allow")
		case "filter":
			return ps.filter()
		case "group":
			return ps.group(ps.peek())
		case "default":
			return ps.defaultLine(first)
		case "version":
			return ps.versionLine(first)
		}
	}
	return wrong(first, "unexpected %s, expected %s%s", first.describe(), oneOf(statementWords), didYouMean(first.text, statementWords...))
}

// oneOf lists words for a message.
func oneOf(words []string) string {
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// finished checks that nothing follows.
func (ps *parser) finished() *mistake {
	if t := ps.take(); t.kind != end {
		return wrong(t, "unexpected %s, expected the end of the line", t.describe())
	}
	return nil
}

// rule reads what follows allow or deny.
func (ps *parser) rule(allow bool) *mistake {
	r := rule{line: ps.s.tokens[0].line, text: ps.s.text, allow: allow}
	next := ps.peek()
	relay := next.kind == word && next.text == "relay" && ps.s.tokens[ps.at+1].kind == colon
	if relay {
		ps.at += 2
	}
	if m := ps.pair(&r); m != nil {
		return m
	}
	t := talkTable
	switch next = ps.peek(); {
	case relay:
		t = relayTable
		if !ps.keyword("through") {
			return wrong(next, `unexpected %s, expected "through" and who may relay%s`, next.describe(), didYouMean(next.text, "through"))
		}
		var m *mistake
		if r.via, m = ps.subjects(); m != nil {
			return m
		}
	case next.kind == word && next.text == "through":
		return wrong(next, `"through" belongs to rules about relays, expected "%s relay: …"`, ps.s.tokens[0].text)
	case next.kind == colon:
		return wrong(next, `unexpected ":": what packets may carry is said by "filter A -> B: …"`)
	}
	if m := ps.finished(); m != nil {
		return m
	}
	return ps.addRule(t, r)
}

func (ps *parser) addRule(t table, r rule) *mistake {
	n := 0
	for _, rules := range ps.p.rules {
		n += len(rules)
	}
	if n == maxRules {
		return wrong(ps.s.tokens[0], "more than %d rules", maxRules)
	}
	// The subjects in r are still to be resolved, in place: the slices stay.
	ps.p.rules[t] = append(ps.p.rules[t], r)
	return nil
}

// pair reads "A <-> B" or "A -> B".
func (ps *parser) pair(r *rule) (m *mistake) {
	if r.left, m = ps.subjects(); m != nil {
		return m
	}
	switch t := ps.take(); t.kind {
	case both:
	case to:
		r.oneWay = true
	default:
		return wrong(t, `unexpected %s, expected "<->", "->" or ","`, t.describe())
	}
	r.right, m = ps.subjects()
	return m
}

// subjects reads subjects with commas between them.
func (ps *parser) subjects() ([]subject, *mistake) {
	var list []subject
	var at []token
	for {
		t := ps.take()
		switch {
		case t.kind != word && t.kind != quoted:
			return nil, wrong(t, "unexpected %s, expected a name, a group, an address, a network, role:NAME or all", t.describe())
		case t.kind == word && t.text != "all" && isReserved(t.text):
			return nil, wrong(t, "%s is a word of the language, expected a name; a host that is called so belongs in quotes", t.describe())
		}
		s, err := parseSubject(t)
		if err != nil {
			return nil, wrong(t, "%s", err)
		}
		list, at = append(list, s), append(at, t)
		if ps.peek().kind != comma {
			break
		}
		ps.at++
	}
	for i := range list {
		if list[i].kind == byWord {
			ps.words = append(ps.words, wordUse{&list[i], at[i]})
		}
	}
	return list, nil
}

// group reads what follows "group"; name is the next token.
func (ps *parser) group(name token) *mistake {
	ps.take()
	key := lowerASCII(name.text)
	switch i, twice := ps.byName[key]; {
	case name.kind != word:
		return wrong(name, "unexpected %s, expected the name of a group", name.describe())
	case isReserved(key):
		return wrong(name, "%s is a word of the language, expected the name of a group", name.describe())
	case !isPlainName(key):
		return wrong(name, `%s is not the name of a group, expected letters, digits, ".", "_" and "-"`, name.describe())
	case twice:
		return wrong(name, "there is a group %s already, in line %d; expected another name", name.describe(), ps.p.groups[i].line)
	case len(ps.p.groups) == maxGroups:
		return wrong(name, "more than %d groups", maxGroups)
	}
	if m := ps.expect(equals, " and the members of the group"); m != nil {
		return m
	}
	members, m := ps.subjects()
	if m == nil {
		m = ps.finished()
	}
	if m != nil {
		// The name is known nevertheless: that what uses it follows in the
		// list of mistakes would only distract.
		members = nil
	}
	ps.byName[key] = len(ps.p.groups)
	ps.p.groups = append(ps.p.groups, group{key, name.line, name.column, members})
	return m
}

func (ps *parser) defaultLine(first token) *mistake {
	t := ps.take()
	if t.kind != word || t.text != "allow" && t.text != "deny" {
		return wrong(t, `unexpected %s, expected allow or deny%s`, t.describe(), didYouMean(t.text, "allow", "deny"))
	}
	if ps.defaultAt != 0 {
		return wrong(first, "there is a default already, in line %d, expected one", ps.defaultAt)
	}
	ps.defaultAt = first.line
	ps.p.talkDefault = rule{line: first.line, text: ps.s.text, allow: t.text == "allow"}
	return ps.finished()
}

func (ps *parser) versionLine(first token) *mistake {
	t := ps.take()
	n, err := strconv.ParseUint(t.text, 10, 64)
	if t.kind != word || err != nil || t.text != strconv.FormatUint(n, 10) {
		return wrong(t, "unexpected %s, expected a number, which grows with each version of the policy", t.describe())
	}
	if ps.versionAt != 0 {
		return wrong(first, "there is a version already, in line %d, expected one", ps.versionAt)
	}
	ps.versionAt, ps.p.version = first.line, n
	return ps.finished()
}

// resolve says of words whether they are groups, and refuses groups that
// contain themselves.
func (ps *parser) resolve() {
	for _, w := range ps.words {
		w.s.kind = byName
		if _, ok := ps.byName[w.s.text]; ok {
			w.s.kind = byGroup
		}
	}
	const entered, left = 1, 2
	state := make([]uint8, len(ps.p.groups))
	var visit func(int)
	visit = func(i int) {
		g := &ps.p.groups[i]
		state[i] = entered
		for _, s := range g.members {
			if s.kind != byGroup {
				continue
			}
			switch j := ps.byName[s.text]; state[j] {
			case 0:
				visit(j)
			case entered:
				ps.fail(token{line: g.line, column: g.column}, "the group %s contains itself, by way of %s; expected groups within groups to end", quote(g.name), quote(s.text))
			}
		}
		state[i] = left
	}
	for i := range ps.p.groups {
		if state[i] == 0 {
			visit(i)
		}
	}
}

// finish completes a policy without mistakes.
func (ps *parser) finish() {
	p := ps.p
	if ps.defaultAt == 0 {
		p.talkDefault = rule{text: "no line speaks of the pair"}
		if len(p.rules[talkTable]) == 0 {
			p.talkDefault = rule{allow: true, text: "the policy has no rules"}
		}
	}
	p.buildIndex()
	p.canonical = p.render()
	p.id = ID{p.version, digestOf(p.canonical)}
}
