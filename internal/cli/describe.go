package cli

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// DescribeRequest is the argument that makes a program write the [Description] of all
// its commands, as JSON: that is what manual pages are made of. Like the requests of
// shells for completions it is for programs, and no help shows it.
const DescribeRequest = "__describe"

// A Description says what the help of a command says, and what those of the commands
// below it do.
type Description struct {
	Name     string        `json:"name"`
	Use      string        `json:"use"` // the name, and its arguments
	Short    string        `json:"short,omitempty"`
	Long     string        `json:"long,omitempty"`
	Example  string        `json:"example,omitempty"`
	Flags    []Flag        `json:"flags,omitempty"` // in the order of names; not those that it has from above
	Commands []Description `json:"commands,omitempty"`
}

// A Flag is an option in a [Description].
type Flag struct {
	Name      string `json:"name"`
	Shorthand string `json:"shorthand,omitempty"`
	Value     string `json:"value,omitempty"`    // what the value is called; "": there is none
	Optional  bool   `json:"optional,omitempty"` // the value may be left out
	Usage     string `json:"usage"`
	Default   string `json:"default,omitempty"` // "" if it is nothing, or Usage says it
}

// Describe describes a program. It completes root as [Execute] does.
func Describe(root *cobra.Command) Description {
	prepare(root)
	return describe(root)
}

func describe(cmd *cobra.Command) Description {
	d := Description{Name: cmd.Name(), Use: cmd.Use, Short: cmd.Short, Long: cmd.Long, Example: cmd.Example}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			d.Flags = append(d.Flags, describeFlag(f))
		}
	})
	slices.SortFunc(d.Flags, func(a, b Flag) int { return strings.Compare(a.Name, b.Name) })
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() || sub.Name() == helpCommand {
			d.Commands = append(d.Commands, describe(sub))
		}
	}
	return d
}

func describeFlag(f *pflag.Flag) Flag {
	value, usage := pflag.UnquoteUsage(f)
	d := Flag{Name: f.Name, Shorthand: f.Shorthand, Value: value, Usage: strings.Join(strings.Fields(usage), " ")}
	switch f.Value.Type() {
	case "bool", "count":
		d.Value = "" // whatever pflag calls it
	default:
		d.Optional = f.NoOptDefVal != ""
		if !slices.Contains([]string{"", "0", "0s", "[]"}, f.DefValue) && !strings.Contains(usage, "(default ") {
			d.Default = f.DefValue
		}
	}
	return d
}

// writeDescription answers a [DescribeRequest].
func writeDescription(root *cobra.Command) error {
	e := json.NewEncoder(root.OutOrStdout())
	e.SetEscapeHTML(false)
	return e.Encode(describe(root))
}
