package cli

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestDescribe: a program writes what the help of each command says, also as JSON.
func TestDescribe(t *testing.T) {
	p := newProgram()
	got := Describe(p.root)
	if code := p.execute(DescribeRequest); code != 0 || p.ran != "" || p.errOut.Len() > 0 {
		t.Fatalf("status %d, ran %q, %s", code, p.ran, &p.errOut)
	}
	var read Description
	if err := json.Unmarshal(p.out.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(read, got) {
		t.Errorf("as JSON it is\n%+v, want\n%+v", read, got)
	}

	if got.Name != "campagnol" || got.Use != "campagnol [-dDhmvV] [-p FILE] [CONFIG]" || got.Long != "Campagnol is a VPN." {
		t.Errorf("the program: %+v", got)
	}
	var flags, commands []string
	for _, f := range got.Flags {
		flags = append(flags, f.Name)
	}
	for _, d := range got.Commands {
		commands = append(commands, d.Name)
	}
	if got, want := strings.Join(flags, " "), "daemon debug help metrics mlock pidfile verbatim verbena verbose version"; got != want {
		t.Errorf("options %q, want %q: all but hidden ones", got, want)
	}
	if got, want := strings.Join(commands, " "), "completion help lab status"; got != want {
		t.Errorf("commands %q, want %q", got, want)
	}
	status := got.Commands[3]
	if want := []Flag{{Name: "json", Usage: "as JSON"}}; !reflect.DeepEqual(status.Flags, want) {
		t.Errorf("options of status: %+v, want %+v: not those of the program", status.Flags, want)
	}
}

// TestDescribeFlags has what becomes of the options of pflag.
func TestDescribeFlags(t *testing.T) {
	root := &cobra.Command{Use: "p", RunE: func(*cobra.Command, []string) error { return nil }}
	f := root.Flags()
	f.BoolP("bool", "b", true, "a thing")
	f.CountP("count", "c", "``count things")
	f.String("default-in-text", "x", "in `DIR`\n(default the best)")
	f.String("empty", "", "nothing")
	f.Int("number", 7, "take `N`")
	f.String("optional", "", "maybe `X`")
	f.Lookup("optional").NoOptDefVal = "y"
	f.Duration("zero", 0, "for `TIME`")
	f.StringArray("several", nil, "each `FILE`")
	want := []Flag{
		{Name: "bool", Shorthand: "b", Usage: "a thing"},
		{Name: "count", Shorthand: "c", Usage: "count things"},
		{Name: "default-in-text", Value: "DIR", Usage: "in DIR (default the best)"},
		{Name: "empty", Value: "string", Usage: "nothing"},
		{Name: "help", Shorthand: "h", Usage: "print this help and exit"},
		{Name: "number", Value: "N", Usage: "take N", Default: "7"},
		{Name: "optional", Value: "X", Optional: true, Usage: "maybe X"},
		{Name: "several", Value: "FILE", Usage: "each FILE"},
		{Name: "zero", Value: "TIME", Usage: "for TIME"},
	}
	if got := Describe(root).Flags; !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

// TestDefaultCommands: the commands that cobra makes are explained as ours are.
func TestDefaultCommands(t *testing.T) {
	for _, d := range Describe(newProgram().root).Commands {
		if d.Name != helpCommand && d.Name != completionCommand {
			continue
		}
		for _, d := range append(d.Commands, d) {
			if d.Short == "" || !strings.HasSuffix(d.Long, ".") || !strings.HasPrefix(d.Example, "  campagnol ") && !strings.HasPrefix(d.Example, "  source <(campagnol ") {
				t.Errorf("%s: %q, %q, example %q", d.Name, d.Short, d.Long, d.Example)
			}
		}
	}
	p := newProgram()
	if code := p.execute("help", "status"); code != 0 || !strings.Contains(p.out.String(), "Show the status.") {
		t.Errorf("help status: %d, %s", code, &p.out)
	}
}
