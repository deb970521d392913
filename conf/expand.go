package conf

import (
	"slices"
	"strings"
)

// Limits of expansion. References can double a text in every step, so that a
// file of a few hundred bytes could ask for more memory than there is, or for
// more steps than there is time even if the text stays short.
const (
	maxExpanded = 64 << 10 // bytes of one expanded value
	maxDepth    = 64       // references inside references
	maxWork     = 4 << 20  // bytes read and written, for all values of a file
)

// recursionText is what a reference inside itself expands to.
const recursionText = "[RECURSION ERROR]"

// expandAll sets Expanded in every value of f.
func expandAll(f *File, r *report) {
	work := maxWork
	for _, s := range f.Sections {
		for _, st := range s.Settings {
			for i := range st.Values {
				v := &st.Values[i]
				if strings.IndexByte(v.Raw, '$') < 0 {
					continue
				}
				e := expander{section: s, work: work, top: v}
				e.expandTop(st.Name, r)
				work = e.work
			}
		}
	}
}

// An expander expands one value.
type expander struct {
	section *Section
	top     *Value
	work    int      // what is left of maxWork
	stack   []*Value // being expanded, the first is top
	out     []byte

	tooLong, recursion, lone bool // what was found
}

// expandTop expands the value and reports what is wrong with it. key is the
// value's.
func (e *expander) expandTop(key string, r *report) {
	e.expand(e.top)
	add := func(s Severity, hint, text string) {
		r.add(Problem{
			Pos: e.top.Pos, Severity: s, Section: e.section.Name, Key: key,
			Text: text, Hint: hint,
		})
	}
	if e.tooLong {
		e.top.tooLong = true
		add(Error, "the limit for one value is 64 KiB; write the text itself instead of ${}",
			plain(key)+" cannot be expanded: its ${} make it too long")
		return
	}
	e.top.Expanded = string(e.out)
	if e.recursion {
		add(Warning, "a ${} refers to the last value of that name in the section",
			"the value of "+plain(key)+` refers to itself and becomes "`+recursionText+`" there`)
	}
	if e.lone {
		add(Warning, "write $$ for a dollar sign",
			`the "$" at the end of the value of `+plain(key)+" is dropped")
	}
}

// expand appends the expansion of v to out. It stops early when a limit is
// reached, and sets tooLong.
func (e *expander) expand(v *Value) {
	e.stack = append(e.stack, v)
	defer func() { e.stack = e.stack[:len(e.stack)-1] }()
	raw := v.Raw
	if e.spend(len(raw)); e.tooLong {
		return
	}
	closing := strings.LastIndexByte(raw, '}')
	for i := 0; i < len(raw) && !e.tooLong; {
		n := strings.IndexByte(raw[i:], '$')
		if n < 0 {
			n = len(raw) - i
		}
		e.append(raw[i : i+n])
		i += n
		rest := raw[i:]
		switch {
		case rest == "":
		case rest == "$":
			e.lone = e.lone || v == e.top
			i++
		case rest[1] == '{' && closing >= i+3:
			// A name has at least one byte, so "${}" by itself is text.
			end := 3 + strings.IndexByte(rest[3:], '}')
			e.reference(rest[:end+1], rest[2:end])
			i += end + 1
		case rest[1] == '$':
			e.append("$")
			i += 2
		default:
			e.append(rest[:2])
			i += 2
		}
	}
}

// reference appends what ref, which is written "${name}", stands for.
func (e *expander) reference(ref, name string) {
	st := e.section.Setting(name)
	if st == nil {
		if len(e.stack) == 1 && !slices.Contains(e.top.unknown, name) && len(e.top.unknown) < maxProblems {
			e.top.unknown = append(e.top.unknown, name)
		}
		e.append(ref)
		return
	}
	e.section.used[name] = true
	v := st.Last()
	switch {
	case slices.Contains(e.stack, v):
		e.recursion = true
		e.append(recursionText)
	case len(e.stack) == maxDepth:
		e.tooLong = true
	default:
		e.expand(v)
	}
}

func (e *expander) append(s string) {
	e.spend(len(s))
	if len(e.out)+len(s) > maxExpanded {
		e.tooLong = true
	}
	if !e.tooLong {
		e.out = append(e.out, s...)
	}
}

// spend takes n bytes of work.
func (e *expander) spend(n int) {
	if e.work -= n; e.work < 0 {
		e.tooLong = true
	}
}
