package main

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"campagnol/internal/lab"
	"campagnol/internal/testenv/guide"
)

// A lesson is a run through docs/tutorial.md.
type lesson struct {
	*hamlet
	token string         // of the last invitation
	typed map[string]int // how often a line was typed
}

// TestTutorial does what docs/tutorial.md says, and sees what it shows.
func TestTutorial(t *testing.T) {
	t.Parallel()
	g := guide.Open(t, "docs/tutorial.md")
	deb := buildAsTyped(t, g.Next(t).Line, "dist/campagnol_*_amd64.deb")
	l := &lesson{hamlet: newHamlet(t, deb), typed: map[string]int{}}
	l.host("alice", lab.PortRestricted)
	l.host("bob", lab.PortRestricted)
	for c := range g.Commands() {
		l.learn(c)
	}
}

// happens is what the text tells between commands, before the line that is typed for the
// n-th time.
var happens = map[string]func(l *lesson){
	"1 campagnol ping -c 1 bob": func(l *lesson) {
		l.run("alice", "campagnol disconnect bob") // as time would
		l.replaceNATs(lab.Symmetric, "symmetric")
	},
	"1 campagnol_rdv -D --authority --relay": func(l *lesson) {
		l.eventually(machineTime, "the server has ended", func() bool {
			return l.quiet(serverName, "cat /run/campagnol_rdv.pid 2>/dev/null || true") == ""
		})
	},
	"2 campagnol ping -c 3 bob": func(l *lesson) {
		l.eventually(machineTime, "the relay is found", func() bool {
			_, err := l.try("alice", "campagnol ping -c 1 bob")
			return err == nil
		})
	},
	"2 campagnol status": func(l *lesson) { l.shutOut("alice", "bob") },
}

// inVain are the commands that do not succeed, and are meant not to.
var inVain = map[string]bool{"1 campagnol ping -c 1 bob": true, "1 campagnol explain --try bob": true}

// learn types a command of the tutorial, and looks at what it prints.
func (l *lesson) learn(c guide.Command) {
	l.t.Helper()
	l.typed[c.Line]++
	nth := fmt.Sprintf("%d %s", l.typed[c.Line], c.Line)
	if f := happens[nth]; f != nil {
		f(l)
	}
	out, err := l.try(c.Host, strings.Replace(c.Line, "TOKEN", l.token, 1))
	if inVain[nth] != (err != nil) {
		l.t.Fatalf("docs/tutorial.md:%d: %s: %v", c.At, c.Line, err)
	}
	if strings.Contains(c.Line, " join ") {
		l.registered(c.Host)
	}
	if strings.Contains(c.Line, " invite ") {
		l.token = tokenOf(l.t, out)
	}
	for _, line := range unlike(c.Output, out) {
		l.t.Errorf("docs/tutorial.md:%d: %s does not show this:\n%s", c.At, c.Line, line)
	}
}

// unlike returns the lines of a document that a command does not print: words, without
// regard to numbers, keys and the width of columns, which are others each time. "…" in
// the document stands for anything.
func unlike(document, printed string) (lines []string) {
	there := map[string]bool{}
	for _, w := range words(printed) {
		there[w] = true
	}
	for line := range strings.Lines(document) {
		for _, w := range words(line) {
			if !there[w] {
				lines = append(lines, strings.TrimSuffix(line, "\n"))
				break
			}
		}
	}
	return lines
}

// words returns what is words in a text.
func words(text string) (list []string) {
	for w := range strings.FieldsSeq(text) {
		w = strings.TrimFunc(w, unicode.IsPunct)
		if w != "" && !strings.ContainsFunc(w, func(r rune) bool { return !unicode.IsLetter(r) && r != '-' && r != '\'' }) {
			list = append(list, w)
		}
	}
	return list
}

func TestUnlike(t *testing.T) {
	const printed = "PEER      STATE\n10.9.0.2  CLOSED  12ms\n\"bob\" is not reached: no path.\n"
	for _, c := range []struct {
		document string
		want     int
	}{
		{"", 0}, {printed, 0}, {"PEER  STATE\n…\nbob is reached at 192.0.2.1\n", 1}, {"10.9.0.7 CLOSED 13ms\n", 0},
		{"10.9.0.2 ESTABLISHED\n", 1}, {"alice is not reached\nno way\n", 2},
	} {
		if got := unlike(c.document, printed); len(got) != c.want {
			t.Errorf("%q: got %q, want %d lines", c.document, got, c.want)
		}
	}
}
