package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestManual checks that the manual has every option.
func TestManual(t *testing.T) {
	const page = "../../packaging/man/campagnol_rdv.8"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	cmd := newCommand()
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(text, "-"+f.Name+"\n") && !strings.Contains(text, "-"+f.Name+" Ar") {
			t.Errorf("%s lacks --%s", page, f.Name)
		}
		if f.Shorthand != "" && !strings.Contains(text, ".It Fl "+f.Shorthand+" , -"+f.Name) {
			t.Errorf("%s lacks -%s", page, f.Shorthand)
		}
	})
}
