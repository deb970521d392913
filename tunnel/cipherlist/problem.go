package cipherlist

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A kind is what is wrong with elements that have no effect.
type kind int

// The kinds of problems.
const (
	refused kind = iota
	unknown
	unfit
	unread
)

// says are the kinds for one element and for several.
var says = [...][2]string{
	refused: {"is refused", "are refused"},
	unknown: {"is not known", "are not known"},
	unfit:   {"fits no cipher suite", "fit no cipher suite"},
	unread:  {"is not obeyed", "are not obeyed"},
}

// A problem is what is wrong with some elements of a list.
type problem struct {
	kind     kind
	why      string   // may be empty
	elements []string // the first of them, as they are written
	more     int      // how many there are beside them
}

// What is kept of problems, since a list may be as senseless as it is long.
const (
	maxProblems = 10 // of one list
	maxElements = 5  // of one problem
	maxQuote    = 64 // bytes of a list
)

func (p *problem) String() string {
	shown := make([]string, len(p.elements))
	for i, e := range p.elements {
		shown[i] = display(e)
	}
	if p.more > 0 {
		shown = append(shown, fmt.Sprintf("%d more", p.more))
	}
	text := enumerate(shown, "and") + " " + says[p.kind][min(len(shown)-1, 1)]
	if p.why != "" {
		text += " (" + p.why + ")"
	}
	return text
}

// Problems are what is wrong with a list. There is one problem for all elements
// of which the same has to be said: lists tend to name thirty old suites.
type problems struct {
	list []*problem
	more int // elements beyond maxProblems
}

// add notes what is wrong with an element.
func (ps *problems) add(k kind, element, why string) {
	for _, p := range ps.list {
		if p.kind != k || p.why != why {
			continue
		}
		for _, e := range p.elements {
			if e == element {
				return
			}
		}
		if len(p.elements) < maxElements {
			p.elements = append(p.elements, element)
		} else {
			p.more++
		}
		return
	}
	if len(ps.list) == maxProblems {
		ps.more++
		return
	}
	ps.list = append(ps.list, &problem{kind: k, why: why, elements: []string{element}})
}

// texts returns a text for each problem.
func (ps *problems) texts() []string {
	var texts []string
	for _, p := range ps.list {
		texts = append(texts, p.String())
	}
	if ps.more > 0 {
		texts = append(texts, fmt.Sprintf("%d more have no effect either", ps.more))
	}
	return texts
}

// enumerate joins the words as a sentence does.
func enumerate(words []string, conjunction string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " " + conjunction + " " + words[last]
}

// display returns an element as it is written, in quotes if that is not plain.
func display(element string) string {
	for i := range len(element) {
		if nameLen(element[i:i+1]) == 0 && !strings.Contains("+-!@", element[i:i+1]) {
			return quote(element)
		}
	}
	if len(element) > maxQuote {
		return quote(element)
	}
	return element
}

// quote returns the beginning of s in quotes.
func quote(s string) string {
	if len(s) <= maxQuote {
		return strconv.Quote(s)
	}
	end := maxQuote
	for !utf8.RuneStart(s[end]) && end > maxQuote-utf8.UTFMax {
		end--
	}
	return strconv.Quote(s[:end]) + "..."
}
