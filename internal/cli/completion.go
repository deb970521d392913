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
