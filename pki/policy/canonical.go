package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// An ID says which policy it is.
type ID struct {
	Version uint64            // of the line "version"; 0 if there is none
	Digest  [sha256.Size]byte // of the canonical text
}

// String returns the version and the first 12 hexadecimal digits of the digest.
func (id ID) String() string {
	return fmt.Sprintf("%d-%s", id.Version, hex.EncodeToString(id.Digest[:6]))
}

// ID returns the ID of p. Two policies with the same ID decide the same.
func (p *Policy) ID() ID { return p.id }

// Text returns p in its canonical form, which [Parse] reads as the same policy:
// without comments, groups by name, the members of each in order and once, and
// the default said in words. The order of rules stays. This is what the
// rendezvous server hands out.
func (p *Policy) Text() string { return p.canonical }

func digestOf(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }

// render returns the canonical form.
func (p *Policy) render() string {
	var b strings.Builder
	if p.version != 0 {
		fmt.Fprintf(&b, "version %d\n", p.version)
	}
	fmt.Fprintf(&b, "default %s\n", verb(p.talkDefault.allow))
	names := map[string]bool{}
	groups := slices.Clone(p.groups)
	slices.SortFunc(groups, func(a, b group) int { return cmp.Compare(a.name, b.name) })
	for _, g := range groups {
		names[g.name] = true
	}
	side := func(list []subject) string { return renderSubjects(list, names) }
	for _, g := range groups {
		fmt.Fprintf(&b, "group %s = %s\n", g.name, side(g.members))
	}
	for _, r := range p.rules[talkTable] {
		fmt.Fprintf(&b, "%s %s %s %s\n", verb(r.allow), side(r.left), r.arrow(), side(r.right))
	}
	for _, r := range p.rules[relayTable] {
		fmt.Fprintf(&b, "%s relay: %s %s %s through %s\n", verb(r.allow), side(r.left), r.arrow(), side(r.right), side(r.via))
	}
	for _, r := range p.rules[filterTable] {
		fmt.Fprintf(&b, "filter %s %s %s: %s%s\n", side(r.left), r.arrow(), side(r.right), verb(r.allow), renderServices(r.services))
	}
	return b.String()
}

func verb(allow bool) string {
	if allow {
		return "allow"
	}
	return "deny"
}

func (r *rule) arrow() string {
	if r.oneWay {
		return "->"
	}
	return "<->"
}

// renderSubjects writes subjects in order, each once. A name that a group has
// too goes in quotes.
func renderSubjects(list []subject, groups map[string]bool) string {
	words := make([]string, 0, len(list))
	for _, s := range list {
		text := s.String()
		if s.kind == byName && groups[s.text] {
			text = `"` + s.text + `"`
		}
		words = append(words, text)
	}
	slices.Sort(words)
	return strings.Join(slices.Compact(words), ", ")
}

func renderServices(list []Service) string {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Service) int {
		return cmp.Or(cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	words := []string{}
	for _, s := range slices.Compact(list) {
		words = append(words, s.String())
	}
	if len(words) == 0 {
		return ""
	}
	return " " + strings.Join(words, ", ")
}
