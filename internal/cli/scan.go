package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newOption is the annotation of options that the original does not have.
const newOption = "campagnol_new_option"

// MarkNew says of options that the original does not have them. They never make
// an abbreviation of an old option ambiguous.
func MarkNew(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		if err := flags.SetAnnotation(name, newOption, []string{"true"}); err != nil {
			panic("cli: " + err.Error()) // no such option: a mistake in the program
		}
	}
}

// What scan returns when an option of the program ends it.
var (
	errHelp    = errors.New("help")
	errVersion = errors.New("version")
)

// A line is a command line in the making: what getopt_long would understand,
// in the only form that leaves cobra no choice.
type line struct {
	root *cobra.Command
	cmd  *cobra.Command // the command so far

	words    []string      // names of subcommands
	options  []string      // --name or --name=value
	seen     []*pflag.Flag // those in options
	operands []string
	dash     int // operands before "--", plus 1; 0: there is no "--"
	rest     []string
}

// args returns the line for cobra.
func (l *line) args() []string {
	args := slices.Concat(l.words, l.options)
	switch {
	case l.cmd == l.root && len(l.operands) > 0:
		// The program's own arguments are not to be taken for subcommands.
		args = append(args, "--")
		args = append(args, l.operands...)
	case l.dash > 0:
		args = append(args, l.operands[:l.dash-1]...)
		args = append(args, "--")
		args = append(args, l.operands[l.dash-1:]...)
	default:
		args = append(args, l.operands...)
	}
	return append(args, l.rest...)
}

// scan reads the command line from left to right. Options may stand anywhere
// before "--"; which there are depends on the subcommands read so far.
func (l *line) scan(args []string) error {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		var err error
		switch {
		case arg == "--":
			l.dash = len(l.operands) + 1
			l.operands = append(l.operands, args...)
			return nil
		case strings.HasPrefix(arg, "--"):
			args, err = l.long(arg[2:], args)
		case len(arg) > 1 && arg[0] == '-':
			args, err = l.cluster(arg[1:], args)
		default:
			if err = l.operand(arg); l.cmd.DisableFlagParsing {
				l.rest = args
				return err
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// operand reads an argument that is not an option.
func (l *line) operand(arg string) error {
	if sub := l.subcommand(arg); sub != nil {
		return l.enter(sub)
	}
	if !l.cmd.Runnable() && len(l.operands) == 0 {
		return WithHint(fmt.Errorf("%q has no command %q", l.cmd.CommandPath(), arg), "%q lists them", l.cmd.CommandPath()+" -h")
	}
	l.operands = append(l.operands, arg)
	return nil
}

// subcommand returns the subcommand that arg names. Only the first operand of a
// command can be one.
func (l *line) subcommand(arg string) *cobra.Command {
	if len(l.operands) > 0 {
		return nil
	}
	for _, c := range l.cmd.Commands() {
		if c.Name() == arg || c.HasAlias(arg) {
			return c
		}
	}
	return nil
}

// enter makes sub the command. Options before it must be options of sub too.
func (l *line) enter(sub *cobra.Command) error {
	l.words = append(l.words, sub.Name())
	l.cmd = sub
	sub.InitDefaultHelpFlag() // which also makes sub inherit those of its parents
	for _, f := range l.seen {
		if sub.Flags().Lookup(f.Name) != f {
			return usageError(l.root, fmt.Errorf("option %s cannot be used with %q", spelling(f), sub.CommandPath()))
		}
	}
	return nil
}

// long reads the option --arg. It returns what is left of rest, the arguments
// that follow.
func (l *line) long(arg string, rest []string) ([]string, error) {
	name, value, hasValue := strings.Cut(arg, "=")
	f, err := l.find(name)
	if err != nil {
		return rest, usageError(l.root, err)
	}
	switch {
	case hasValue:
	case f.NoOptDefVal != "":
		return rest, l.add(f, nil)
	case len(rest) == 0:
		return rest, usageError(l.root, fmt.Errorf("option --%s needs a value", f.Name))
	default:
		value, rest = rest[0], rest[1:]
	}
	return rest, l.add(f, &value)
}

// find returns the long option called name, or the only one that begins with
// name.
func (l *line) find(name string) (*pflag.Flag, error) {
	flags := l.cmd.Flags()
	if name != "" {
		if f := flags.Lookup(name); f != nil {
			return f, nil
		}
	}
	var old, all []*pflag.Flag
	flags.VisitAll(func(f *pflag.Flag) {
		if !strings.HasPrefix(f.Name, name) || f.Hidden {
			return
		}
		all = append(all, f)
		if _, isNew := f.Annotations[newOption]; !isNew {
			old = append(old, f)
		}
	})
	switch {
	case len(old) == 1:
		return old[0], nil
	case len(all) == 1:
		return all[0], nil
	case len(all) == 0:
		return nil, fmt.Errorf("there is no option --%s", name)
	}
	var names []string
	for _, f := range all {
		names = append(names, "--"+f.Name)
	}
	return nil, fmt.Errorf("option --%s is ambiguous: it could be %s", name, strings.Join(names, " or "))
}

// cluster reads short options that share a dash. It returns what is left of
// rest, the arguments that follow.
func (l *line) cluster(arg string, rest []string) ([]string, error) {
	for arg != "" {
		c, n := utf8.DecodeRuneInString(arg)
		f := l.shorthand(c, n)
		if f == nil {
			return rest, usageError(l.root, fmt.Errorf("there is no option -%c", c))
		}
		arg = arg[n:]
		if f.NoOptDefVal != "" {
			if err := l.add(f, nil); err != nil {
				return rest, err
			}
			continue
		}
		value := arg
		if value == "" {
			if len(rest) == 0 {
				return rest, usageError(l.root, fmt.Errorf("option -%c needs a value", c))
			}
			value, rest = rest[0], rest[1:]
		}
		return rest, l.add(f, &value)
	}
	return rest, nil
}

// shorthand returns the option -c, whose UTF-8 form has n bytes; pflag knows
// only such of one byte.
func (l *line) shorthand(c rune, n int) *pflag.Flag {
	if n != 1 || c == utf8.RuneError {
		return nil
	}
	return l.cmd.Flags().ShorthandLookup(string(c))
}

// add adds an option with or without value. Help and version of the program end
// the scan.
func (l *line) add(f *pflag.Flag, value *string) error {
	if l.cmd == l.root && value == nil {
		switch f.Name {
		case "help":
			return errHelp
		case "version":
			return errVersion
		}
	}
	option := "--" + f.Name
	if value != nil {
		option += "=" + *value
		if err := check(f, *value); err != nil {
			return usageError(l.root, err)
		}
	}
	l.options = append(l.options, option)
	l.seen = append(l.seen, f)
	return nil
}

// check refuses a value for an option that does not take one. The package pflag
// would take --verbose=0, which getopt_long does not.
func check(f *pflag.Flag, value string) error {
	switch f.Value.Type() {
	case "count":
		return fmt.Errorf("option --%s takes no value (it can be repeated)", f.Name)
	case "bool":
		if value != "true" && value != "false" {
			return fmt.Errorf("option --%s takes no value", f.Name)
		}
	}
	return nil
}

// spelling returns an option as people write it.
func spelling(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return "-" + f.Shorthand
	}
	return "--" + f.Name
}
