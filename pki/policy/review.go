package policy

import (
	"fmt"
	"slices"
)

// A Summary says what is in a policy.
type Summary struct {
	Default                            Decision // about pairs that no rule speaks of
	Groups                             []GroupSummary
	TalkRules, RelayRules, FilterRules int
}

// A GroupSummary is a group of the file.
type GroupSummary struct {
	Name    string
	Line    int
	Members int // as written: a group in it counts as one
}

// Summary returns what is in p.
func (p *Policy) Summary() Summary {
	s := Summary{
		Default:     p.talkDefault.decision(),
		TalkRules:   len(p.rules[talkTable]),
		RelayRules:  len(p.rules[relayTable]),
		FilterRules: len(p.rules[filterTable]),
	}
	for _, g := range p.groups {
		s.Groups = append(s.Groups, GroupSummary{g.name, g.line, len(g.members)})
	}
	return s
}

// Warnings returns what works, but hardly as it was meant: rules that no pair
// reaches, since an earlier one speaks of all of its pairs; groups that nothing
// uses; names that look like misspelt groups.
func (p *Policy) Warnings() []Warning {
	var list []Warning
	add := func(line int, format string, args ...any) {
		list = append(list, Warning{line, fmt.Sprintf(format, args...)})
	}
	if rules := p.rules[talkTable]; p.talkDefault.line == 0 && len(rules) > 0 && !slices.ContainsFunc(rules, func(r rule) bool { return r.allow }) {
		add(0, `all rules deny, and what no rule speaks of is denied too: nobody may talk; perhaps "default allow" is missing`)
	}
	for t := range p.rules {
		c := coverage{p: p, table: table(t), groups: map[int32]*sides{}}
		for i := range p.rules[t] {
			r := &p.rules[t][i]
			if by := c.shadowedBy(i); by != nil {
				add(r.line, "no pair reaches this rule: line %d speaks of all of them: %s", by.line, by.text)
			}
		}
	}
	p.unusedGroups(add)
	p.misspelt(add)
	slices.SortStableFunc(list, func(a, b Warning) int { return a.Line - b.Line })
	return list
}

// unusedGroups finds groups that no rule uses, in person or by another group.
func (p *Policy) unusedGroups(add func(int, string, ...any)) {
	used := newBitset(p.index.groups + 1)
	var mark func(int32)
	mark = func(id int32) {
		if id < 1 || int(id) > p.index.groups || used.has(int(id)) {
			return
		}
		used.add(int(id))
		for _, m := range p.index.members[id] {
			mark(m)
		}
	}
	for id := range p.index.uses {
		if len(p.index.uses[id]) > 0 {
			mark(int32(id))
		}
	}
	for i, g := range p.groups {
		if !used.has(i + 1) {
			add(g.line, "no rule uses the group %s", g.name)
		}
	}
}

// maxMisspelt bounds the work of misspelt, names times groups.
const maxMisspelt = 1_000_000

// misspelt finds names in rules that are almost those of a group.
func (p *Policy) misspelt(add func(int, string, ...any)) {
	var known []string
	for _, g := range p.groups {
		known = append(known, g.name)
	}
	names := 0
	seen := map[string]bool{}
	for _, rules := range p.rules {
		for _, r := range rules {
			for _, s := range slices.Concat(r.left, r.right, r.via) {
				if s.kind != byName || seen[s.text] || !isPlainName(s.text) {
					continue
				}
				seen[s.text] = true
				if names++; names*len(known) > maxMisspelt {
					return
				}
				if near := nearest(s.text, known); near != "" && len(s.text) > 2 {
					add(r.line, "%s means the host of that name; did you mean the group %s?", s.text, near)
				}
			}
		}
	}
}

// A coverage finds out which rules of a table speak of everybody whom a subject
// means.
type coverage struct {
	p      *Policy
	table  table
	groups map[int32]*sides // what is known about groups
	budget int              // of steps that were made
}

// maxCoverage bounds the steps of a coverage: a policy of such a size is
// generated, and nobody reads the warnings.
const maxCoverage = 5_000_000

// shadowedBy returns an earlier rule that speaks of every pair that rule i
// speaks of, or nil.
func (c *coverage) shadowedBy(i int) *rule {
	rules := c.p.rules[c.table]
	r := &rules[i]
	if i == 0 || c.budget > maxCoverage {
		return nil
	}
	l, rt := c.ofAll(r.left), c.ofAll(r.right)
	var through *sides
	if c.table == relayTable {
		through = c.ofAll(r.via)
	}
	for j := range i {
		earlier := &rules[j]
		straight := l.left.has(j) && rt.right.has(j)
		turned := l.right.has(j) && rt.left.has(j)
		var covers bool
		switch {
		case !earlier.oneWay:
			covers = straight || turned
		case r.oneWay:
			covers = straight
		default:
			covers = straight && turned
		}
		if through != nil && !through.via.has(j) {
			covers = false
		}
		if covers && coversServices(earlier.services, r.services) {
			return earlier
		}
	}
	return nil
}

// ofAll returns the rules whose sides mean everybody in list, each for itself.
func (c *coverage) ofAll(list []subject) *sides {
	var all *sides
	for _, s := range list {
		all = intersect(all, c.of(c.p.index.ids[s]))
	}
	return all
}

// of returns the rules whose sides mean everybody whom a node means: those that
// name it, "all", a group that it is in or a network that it lies in; for a
// group also those that mean each of its members.
func (c *coverage) of(id int32) *sides {
	x := &c.p.index
	isGroup := id >= 1 && int(id) <= x.groups
	if known := c.groups[id]; isGroup && known != nil {
		return known
	}
	out := newSides(len(c.p.rules[c.table]))
	seen := newBitset(x.groups + 1)
	c.budget += len(out.left) + 1
	up := func(id int32) {
		x.climb(id, seen, func(id int32) {
			c.budget += len(x.uses[id]) + 1
			for _, u := range x.uses[id] {
				if u.table == c.table {
					out.add(u)
				}
			}
		})
	}
	up(nodeAll)
	up(id)
	if isGroup {
		c.groups[id] = out // ends the recursion, though groups have no circles
		var each *sides
		for _, m := range x.members[id] {
			each = intersect(each, c.of(m))
		}
		out.union(each)
		return out
	}
	if s := x.subjects[id]; s.kind == byNet {
		x.containing(s.net, up)
	} else if s.kind == byName {
		x.named(Member{Names: []string{s.text}}, up)
	}
	return out
}

// intersect returns what is in both; a nil one is everything.
func intersect(a, b *sides) *sides {
	if a == nil {
		return &sides{slices.Clone(b.left), slices.Clone(b.right), slices.Clone(b.via)}
	}
	for i := range a.left {
		a.left[i] &= b.left[i]
		a.right[i] &= b.right[i]
		a.via[i] &= b.via[i]
	}
	return a
}

// union adds what b has.
func (s *sides) union(b *sides) {
	if b == nil {
		return
	}
	for i := range s.left {
		s.left[i] |= b.left[i]
		s.right[i] |= b.right[i]
		s.via[i] |= b.via[i]
	}
}

// coversServices reports whether every packet that late means is one that early
// means.
func coversServices(early, late []Service) bool {
	if len(early) == 0 {
		return true
	}
	if len(late) == 0 {
		return false
	}
	for _, s := range late {
		if !slices.ContainsFunc(early, func(e Service) bool {
			return e.Proto == s.Proto && e.First <= s.First && s.Last <= e.Last
		}) {
			return false
		}
	}
	return true
}
