// Package cli makes a command line built with cobra behave as that of
// Campagnol 0.3.5, which uses GNU getopt_long, and prints errors for people.
//
// What scripts may rely on, and cobra alone does not give them:
//
//   - Long options can be abbreviated (--verb, --pid=FILE).
//   - The value of a short option may follow it directly, with any first
//     character (-p/run/x, -p=x means the file "=x").
//   - The value of an option may begin with a dash (-m -1).
//   - The first argument that is not the name of a subcommand is an argument
//     of the program, not an error; so is every argument that contains a
//     slash, or comes after "--".
//   - Options are obeyed in their order: -V and -h end the program even if a
//     bad option follows.
//   - Help and version of the program go to standard error, with the exit
//     status 1 and 0.
//
// Subcommands have no ancestor: their help goes to standard output.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit statuses.
const (
	exitOK    = 0
	exitError = 1 // also for wrong usage and after help, as in the original
)

// Execute runs the command line args, which do not include the program's name,
// and returns the exit status. Errors have been printed by then.
//
// It adds -h/--help, and if root has a version, -V/--version. Output goes to
// root's output and error streams. ctx becomes the context of the command.
func Execute(ctx context.Context, root *cobra.Command, args []string) int {
	prepare(root)
	code, err := execute(ctx, root, args)
	if err != nil {
		Print(root.ErrOrStderr(), root.Name(), err)
	}
	return code
}

func execute(ctx context.Context, root *cobra.Command, args []string) (int, error) {
	if asksForCompletion(root, args) {
		if err := writeCompletion(root, args[1]); err != nil {
			return exitError, err
		}
		return exitOK, nil
	}
	if len(args) == 1 && args[0] == DescribeRequest {
		if err := writeDescription(root); err != nil {
			return exitError, err
		}
		return exitOK, nil
	}
	if len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd) {
		root.SetArgs(args) // a shell asks for completions; not for us to change
	} else {
		l := line{root: root, cmd: root}
		switch err := l.scan(args); {
		case errors.Is(err, errHelp):
			fmt.Fprint(root.ErrOrStderr(), help(root))
			return exitError, nil
		case errors.Is(err, errVersion):
			fmt.Fprintf(root.ErrOrStderr(), "%s %s\n", root.Name(), root.Version)
			return exitOK, nil
		case err != nil:
			return exitError, err
		}
		root.SetArgs(l.args())
	}
	_, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK, nil
	}
	var exit *ExitError
	if errors.As(err, &exit) {
		return exit.Code, exit.Err
	}
	return exitError, err
}

// prepare completes root.
func prepare(root *cobra.Command) {
	root.SilenceErrors = true // Print does it
	root.SilenceUsage = true
	root.DisableFlagsInUseLine = true
	root.SetFlagErrorFunc(invalidValue)
	if root.Flags().Lookup("help") == nil {
		root.Flags().BoolP("help", "h", false, "print this help and exit")
	}
	root.InitDefaultHelpFlag() // makes root inherit its own persistent flags
	if root.Version != "" && root.Flags().Lookup("version") == nil {
		root.Flags().BoolP("version", "V", false, "print the version and exit")
	}
	refuseArgs(root)
	if root.HasSubCommands() {
		// Made now, and not when cobra runs, so that we know their names.
		root.InitDefaultHelpCmd()
		root.InitDefaultCompletionCmd()
		explainDefaults(root)
	}
}

// refuseArgs makes cmd and its subcommands refuse arguments unless they say how
// many they take.
func refuseArgs(cmd *cobra.Command) {
	if cmd.Args == nil && !cmd.DisableFlagParsing {
		cmd.Args = noArgs
	}
	for _, sub := range cmd.Commands() {
		refuseArgs(sub)
	}
}

// invalidValue says in our words that an option does not take a value. Other
// errors in options have been found before.
func invalidValue(cmd *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return usageError(cmd.Root(), err)
	}
	cause := errors.Unwrap(invalid)
	var number *strconv.NumError
	if errors.As(cause, &number) {
		cause = fmt.Errorf("%q is not a number in its range", invalid.GetValue())
	}
	return usageError(cmd.Root(), fmt.Errorf("option --%s: %w", invalid.GetFlag().Name, cause))
}

// noArgs refuses arguments, in our words.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError(cmd.Root(), fmt.Errorf("there is no use for the argument %q", args[0]))
	}
	return nil
}

// MaxArgs lets a command take at most n arguments.
func MaxArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= n {
			return nil
		}
		return noArgs(cmd, args[n:])
	}
}

// help returns the help text of a command.
func help(cmd *cobra.Command) string {
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	if text != "" {
		text += "\n\n"
	}
	return text + cmd.UsageString()
}

// Print prints err as "program: error", and its hint, if there is one, as
// "hint: text" below. Each of several joined errors, and each line of an error,
// gets a line of its own; one that begins with "hint: " is a hint. Control
// characters are escaped.
func Print(w io.Writer, program string, err error) {
	for _, l := range lines(err.Error()) {
		if strings.HasPrefix(l, hintPrefix) {
			fmt.Fprintln(w, l)
		} else {
			fmt.Fprintf(w, "%s: %s\n", program, l)
		}
	}
	for _, h := range hints(err) {
		for _, l := range lines(h) {
			fmt.Fprintf(w, "%s%s\n", hintPrefix, l)
		}
	}
}

const hintPrefix = "hint: "
