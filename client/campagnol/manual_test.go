package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestManual checks that the manual has every option and every command.
func TestManual(t *testing.T) {
	const page = "../../packaging/man/campagnol.8"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	cmd := newCommand()
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	has := func(what string, f *pflag.Flag) {
		if !strings.Contains(text, "Fl -"+f.Name) && !strings.Contains(text, "-"+f.Name+"\n") && !strings.Contains(text, "-"+f.Name+" Ar") {
			t.Errorf("%s lacks --%s of %s", page, f.Name, what)
		}
		if f.Shorthand != "" && !strings.Contains(text, ".It Fl "+f.Shorthand+" , -"+f.Name) {
			t.Errorf("%s lacks -%s of %s", page, f.Shorthand, what)
		}
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) { has("the client", f) })
	cmd.PersistentFlags().VisitAll(func(f *pflag.Flag) { has("the client", f) })
	for _, sub := range cmd.Commands() {
		if !strings.Contains(text, "\n.It Cm "+sub.Name()) {
			t.Errorf("%s lacks the command %s", page, sub.Name())
		}
		if sub.Name() == "ca" { // whose commands have a help each
			for _, c := range sub.Commands() {
				if !strings.Contains(text, " "+c.Name()+" ") && !strings.Contains(text, " "+c.Name()+".") {
					t.Errorf("%s lacks the command ca %s", page, c.Name())
				}
			}
			continue
		}
		sub.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) { has(sub.Name(), f) })
	}
}
