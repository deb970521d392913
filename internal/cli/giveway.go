package cli

import "github.com/spf13/cobra"

// giveWayBy is by how much the nice value of a command that gives way is raised: beside a
// process that has not been made nice, it gets a tenth of a processor that both want.
const giveWayBy = 10

// GiveWay makes a command leave the processors to whoever needs them, as far as the system
// lets it: it is for commands that only look at a program at work, which what they look at
// must not feel. It returns the command.
func GiveWay(cmd *cobra.Command) *cobra.Command {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_ = lowerPriority(giveWayBy) // it looks all the same
		return run(cmd, args)
	}
	return cmd
}
