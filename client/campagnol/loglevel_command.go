package main

import (
	"fmt"
	"strings"
	"time"

	"campagnol/internal/cli"
	"campagnol/internal/control"
	"campagnol/internal/human"
	"campagnol/internal/logging"

	"github.com/spf13/cobra"
)

const logLevelHelp = `Show what the client on this host logs, or make it log more or less. LEVEL is error,
warn, notice (what it does without -v), info (-v), debug (-d) or packet (-d -d). With
--for the level goes back by itself after that time.

The client is asked by its control socket, as by "campagnol status".`

// newLogLevelCommand returns the command "campagnol log-level".
func newLogLevelCommand() *cobra.Command { return logLevelCommand(control.DefaultDir()) }

// logLevelCommand returns the command, given where the sockets are.
func logLevelCommand(dir string) *cobra.Command {
	a := &question{name: "log-level", dir: dir}
	var during time.Duration
	cmd := &cobra.Command{
		Use:       "log-level [LEVEL]",
		Short:     "Show or change what the client on this host logs",
		Long:      logLevelHelp,
		Example:   "  campagnol log-level\n  campagnol log-level debug --for 10m",
		ValidArgs: logging.LevelNames(),
		Args: func(cmd *cobra.Command, args []string) error {
			return checkLogLevel(args, during, cmd.Flags().Changed("for"))
		},
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *control.Client) error {
				var l *control.LogLevel
				var raw []byte
				var err error
				if len(args) == 0 {
					l, raw, err = c.LogLevel(cmd.Context())
				} else {
					l, raw, err = c.SetLogLevel(cmd.Context(), args[0], during)
				}
				if err != nil {
					return err
				}
				return a.show(cmd.OutOrStdout(), raw, func() string { return logLevelText(l) })
			})
		},
	}
	a.flags(cmd)
	cmd.Flags().DurationVar(&during, "for", 0, "go back to the level before after this `TIME`, such as 10m")
	return cmd
}

// checkLogLevel refuses arguments that make no sense.
func checkLogLevel(args []string, during time.Duration, limited bool) error {
	if len(args) > 1 {
		return cli.WithHint(fmt.Errorf("log-level: expected a level, not %d arguments", len(args)), "%q", "campagnol log-level debug --for 10m")
	}
	if len(args) == 1 {
		if _, err := logging.ParseLevel(args[0]); err != nil {
			return cli.WithHint(fmt.Errorf("log-level: %w", err), "the levels are %s, of which each shows more than the one before", strings.Join(logging.LevelNames(), ", "))
		}
	}
	switch {
	case limited && len(args) == 0:
		return cli.WithHint(fmt.Errorf("log-level: --for needs a level"), "%q", "campagnol log-level debug --for 10m")
	case limited && (during <= 0 || during > control.MaxLogTime):
		return cli.WithHint(fmt.Errorf("log-level: another level cannot be used for %v", during), "--for takes up to %v, such as 10m; without it the level is for good", control.MaxLogTime)
	}
	return nil
}

// logLevelText says what is logged.
func logLevelText(l *control.LogLevel) string {
	if l.Until.IsZero() {
		return human.Printable(l.Level) + "\n"
	}
	return fmt.Sprintf("%s for %s more, then %s\n", human.Printable(l.Level), human.Age(l.Until.Sub(l.Time).Round(time.Second)), human.Printable(l.Normal))
}
