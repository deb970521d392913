package main

import (
	"fmt"
	"time"

	"campagnol/internal/control"

	"github.com/spf13/cobra"
)

const renewHelp = `Make the client on this host ask the VPN's authority for a new certificate now.

The authority is asked by the rendezvous server, over the authenticated channel; it
has to be running. The client writes the new certificate to the files that its
configuration names, and uses it within seconds, without closing a tunnel. With
"renew_certificate = yes" it does all that by itself, in time.

The client is asked by its control socket, as by "campagnol status".`

// newRenewCommand returns the command "campagnol renew".
func newRenewCommand() *cobra.Command { return renewCommand(control.DefaultDir()) }

// renewCommand returns the command, given where the sockets are.
func renewCommand(dir string) *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:           "renew",
		Short:         "Get a new certificate for the client on this host",
		Long:          renewHelp,
		Example:       "  campagnol renew\n  campagnol renew --socket /run/campagnol/tun0.sock",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := chooseSocket("renew", socket, dir)
			if err != nil {
				return err
			}
			c := control.NewClient(path)
			defer c.Close()
			r, err := c.Renew(cmd.Context())
			if err != nil {
				return fmt.Errorf("renew: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The certificate %s was renewed: it is good until %s UTC.\n", r.Name, r.Expires.UTC().Format(time.DateTime))
			return nil
		},
	}
	cmd.Flags().StringVar(&socket, "socket", "", "ask the client at the control socket `PATH` (default the only one in "+dir+")")
	return cmd
}
