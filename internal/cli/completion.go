package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// completionCommand is the command that writes completions for a shell. Cobra makes it
// for programs with subcommands; for others this is the same.
const completionCommand = "completion"

// shells are those whose completions can be written.
var shells = map[string]func(root *cobra.Command) error{
	"bash":       func(root *cobra.Command) error { return root.GenBashCompletionV2(root.OutOrStdout(), true) },
	"zsh":        func(root *cobra.Command) error { return root.GenZshCompletion(root.OutOrStdout()) },
	"fish":       func(root *cobra.Command) error { return root.GenFishCompletion(root.OutOrStdout(), true) },
	"powershell": func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(root.OutOrStdout()) },
}

// asksForCompletion reports whether args are "completion SHELL", for a program without
// subcommands.
func asksForCompletion(root *cobra.Command, args []string) bool {
	return len(args) == 2 && args[0] == completionCommand && !root.HasSubCommands() && !strings.HasPrefix(args[1], "-")
}

// writeCompletion writes the completions of root for a shell.
func writeCompletion(root *cobra.Command, shell string) error {
	write := shells[shell]
	if write == nil {
		return WithHint(fmt.Errorf("there are no completions for %q", shell), "write bash, zsh, fish or powershell")
	}
	return write(root)
}

// helpCommand is the command of cobra that shows the help of another one.
const helpCommand = "help"

// explainDefaults gives the commands that cobra makes texts like those of ours.
func explainDefaults(root *cobra.Command) {
	name := root.Name()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case helpCommand:
			cmd.Short = "Show the help of a command"
			cmd.Long = "Show the help of a command, as its option --help does. Where the manual pages are\ninstalled, \"man " + name + "-COMMAND\" has the same to read at leisure."
			cmd.Use = helpCommand + " [COMMAND]"
			cmd.Example = "  " + name + " help " + root.Commands()[0].Name()
		case completionCommand:
			cmd.Short = "Write a script by which a shell completes command lines"
			cmd.Long = "Write a script by which a shell completes commands, options and, where a program\nthat runs can be asked, the names of peers. Packages install these scripts."
			cmd.Example = "  " + name + " completion bash > /etc/bash_completion.d/" + name + "\n  source <(" + name + " completion zsh)"
			for _, sub := range cmd.Commands() {
				sub.Short = "Write the script for " + sub.Name()
				sub.Long = sub.Short + " to the standard output."
				sub.Example = "  " + name + " completion " + sub.Name()
				if f := sub.Flags().Lookup("no-descriptions"); f != nil {
					f.Usage = "complete without saying what words mean"
				}
			}
		}
	}
}
