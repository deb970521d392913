package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"campagnol/internal/lab"
	"campagnol/internal/testenv/guide"
)

// A lesson is a run through docs/tutorial.md.
type lesson struct {
	*hamlet
	guide   *guide.Guide
	invited guide.Invitations
	typed   map[string]int // how often a line was typed
}

// TestTutorial does what docs/tutorial.md says, and sees what it shows.
func TestTutorial(t *testing.T) {
	t.Parallel()
	g := guide.Open(t, "docs/tutorial.md")
	deb := buildAsTyped(t, g.Next(t).Line, "dist/campagnol_*_amd64.deb")
	l := &lesson{hamlet: newHamlet(t, deb), guide: g, invited: guide.Invitations{}, typed: map[string]int{}}
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
	line := l.invited.Fill(l.t, c.Host, c.Line)
	out, err := c.Answer(func() (string, error) {
		out, err := l.try(c.Host, line)
		if inVain[nth] && err != nil {
			return out, nil
		} else if inVain[nth] {
			return out, errors.New("it succeeds, which is not what it is to do here")
		}
		return out, err
	}, guide.Usual()...)
	if err != nil {
		l.t.Fatalf("docs/tutorial.md:%d: %s: %v", c.At, c.Line, err)
	}
	if strings.Contains(c.Line, " join ") {
		l.registered(c.Host)
	}
	l.guide.Check(l.t, c, out, guide.Usual()...)
	l.invited.Note(l.t, c.Line, out)
}
