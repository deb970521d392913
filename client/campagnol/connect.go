package main

import (
	"fmt"
	"strings"

	"campagnol/internal/cli"
	"campagnol/internal/control"
	"campagnol/internal/human"

	"github.com/spf13/cobra"
)

const connectHelp = `Open a tunnel to a peer, if there is none, and wait for it for up to ten seconds, as
the first packet for the peer would. A tunnel that is not used is closed after a while.

PEER is a VPN address, or a member's name ("campagnol peers --all" lists them).

The exit status is 0 if there is a path to the peer, 2 if not, and 1 after an error.

The client on this host is asked by its control socket, as by "campagnol status".`

const disconnectHelp = `Close the tunnel to a peer, or give up opening one. The peer is told. The next packet
for the peer, or of the peer, opens a tunnel again: to keep a peer away, revoke its
certificate or deny it in the policy.

PEER is a VPN address, or the name in the peer's certificate.

The exit status is 0 also if there was no tunnel, and 1 after an error.

The client on this host is asked by its control socket, as by "campagnol status".`

// newConnectCommand returns the command "campagnol connect".
func newConnectCommand() *cobra.Command { return connectCommand(control.DefaultDir()) }

// newDisconnectCommand returns the command "campagnol disconnect".
func newDisconnectCommand() *cobra.Command { return disconnectCommand(control.DefaultDir()) }

// connectCommand returns the command, given where the sockets are.
func connectCommand(dir string) *cobra.Command {
	a := &question{name: "connect", dir: dir}
	cmd := &cobra.Command{
		Use:               "connect PEER",
		Short:             "Open a tunnel to a peer",
		Long:              connectHelp,
		Example:           "  campagnol connect 10.9.0.2\n  campagnol connect bob",
		Args:              a.onePeer,
		ValidArgsFunction: a.complete,
		SilenceUsage:      true,
		SilenceErrors:     true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *control.Client) error {
				e, raw, err := tryPeer(cmd.Context(), c, args[0], cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				if err := a.show(cmd.OutOrStdout(), raw, func() string { return connectText(e) }); err != nil {
					return err
				}
				if !e.Reached {
					return &cli.ExitError{Code: notReached}
				}
				return nil
			})
		},
	}
	a.flags(cmd)
	return cmd
}

// connectText says what has come of opening a tunnel.
func connectText(e *control.Explanation) string {
	peer := who(addrText(e.VPNAddress), e.Name)
	if e.Reached {
		return fmt.Sprintf("%s is connected for %s, by %s\n", peer, human.Age(e.Time.Sub(e.Path.Since)), pathText(&e.Path))
	}
	var b strings.Builder
	why := e.Failure.Reason
	if why == "" {
		why = e.Summary
	}
	fmt.Fprintf(&b, "%s is not connected: %s\n", peer, human.Printable(why))
	fmt.Fprintf(&b, "\"campagnol explain %s\" says more\n", human.Printable(e.Asked))
	return b.String()
}

// pathText names a path.
func pathText(p *control.ExplainedPath) string {
	about := []string{}
	if p.Kind != "" {
		about = append(about, human.Printable(p.Kind))
	}
	if p.RTTSeconds > 0 {
		about = append(about, millisText(p.RTTSeconds))
	}
	text := human.Printable(p.Address.String())
	if len(about) > 0 {
		text += " (" + strings.Join(about, ", ") + ")"
	}
	return text
}

// disconnectCommand returns the command, given where the sockets are.
func disconnectCommand(dir string) *cobra.Command {
	a := &question{name: "disconnect", dir: dir}
	cmd := &cobra.Command{
		Use:               "disconnect PEER",
		Short:             "Close the tunnel to a peer",
		Long:              disconnectHelp,
		Example:           "  campagnol disconnect 10.9.0.2\n  campagnol disconnect bob",
		Args:              a.onePeer,
		ValidArgsFunction: a.complete,
		SilenceUsage:      true,
		SilenceErrors:     true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *control.Client) error {
				d, raw, err := c.Disconnect(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.show(cmd.OutOrStdout(), raw, func() string { return disconnectText(d) })
			})
		},
	}
	a.flags(cmd)
	return cmd
}

// disconnectText says what was closed.
func disconnectText(d *control.Disconnection) string {
	peer := who(addrText(d.VPNAddress), d.Name)
	switch {
	case d.State == closedState:
		return fmt.Sprintf("there was no tunnel to %s\n", peer)
	case d.Since.IsZero():
		return fmt.Sprintf("no tunnel is opened to %s any more\n", peer)
	}
	return fmt.Sprintf("the tunnel to %s was closed; it was open for %s\n", peer, human.Age(d.Time.Sub(d.Since)))
}
