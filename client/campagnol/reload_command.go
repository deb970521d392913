package main

import (
	"fmt"
	"strings"

	"campagnol/internal/control"
	"campagnol/internal/human"

	"github.com/spf13/cobra"
)

const reloadHelp = `Make the client on this host read its configuration again, as SIGHUP does, and say
what has come of it. Tunnels that the change does not touch stay open. A configuration
that cannot be used changes nothing: file and line are told, and the exit status is 1.

The client is asked by its control socket, as by "campagnol status".`

// newReloadCommand returns the command "campagnol reload".
func newReloadCommand() *cobra.Command { return reloadCommand(control.DefaultDir()) }

// reloadCommand returns the command, given where the sockets are.
func reloadCommand(dir string) *cobra.Command {
	a := &question{name: "reload", dir: dir}
	cmd := &cobra.Command{
		Use:           "reload",
		Short:         "Make the client on this host read its configuration again",
		Long:          reloadHelp,
		Example:       "  campagnol reload\n  campagnol reload --socket /run/campagnol/tun0.sock",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *control.Client) error {
				r, raw, err := c.Reload(cmd.Context())
				if err != nil {
					return err
				}
				return a.show(cmd.OutOrStdout(), raw, func() string { return reloadText(r) })
			})
		},
	}
	a.flags(cmd)
	return cmd
}

// reloadText says what has come of it.
func reloadText(r *control.Reload) string {
	var b strings.Builder
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", human.Printable(w))
	}
	if r.Restarts {
		fmt.Fprintf(&b, "%s was read again: its changes close all tunnels, and the client begins anew\n", human.Printable(r.ConfigFile))
	} else {
		fmt.Fprintf(&b, "%s was read again, and is used\n", human.Printable(r.ConfigFile))
	}
	return b.String()
}
