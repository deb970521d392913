package main

import (
	"fmt"
	"net/netip"
	"strings"

	"campagnol/conf"
	"campagnol/internal/audit"
	"campagnol/internal/cli"
	"campagnol/pki"

	"github.com/spf13/cobra"
)

const forgetHelp = `Forget the key that was seen first at VPN-ADDRESS, that of a peer.

A peer whose certificate does not name its VPN address, as those of Campagnol
0.3.5 do not, is known by its key: the first one that is seen at an address keeps
it. When a host has got a new key, its peers refuse it until they have forgotten
the old one. A client that runs need not be restarted.

Certificates made by "campagnol ca issue" name their address and need none of
this.

With --rdv, forget instead that the rendezvous server of the configuration has
had an authenticated channel, so that a client with "rdv_auth = auto" may register
in clear again. That is needed only if the server is to have no certificate any
more.`

// newForgetCommand returns the command "campagnol forget".
func newForgetCommand() *cobra.Command {
	file := defaultConf
	rdv := false
	cmd := &cobra.Command{
		Use:     "forget VPN-ADDRESS | --rdv",
		Short:   "Accept a new key at a VPN address",
		Long:    forgetHelp,
		Example: "  campagnol forget 10.9.0.2\n  campagnol forget --config home.conf 10.9.0.2\n  campagnol forget --rdv",
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case rdv && len(args) > 0:
				return fmt.Errorf("forget: --rdv takes no address: the server is that of the configuration")
			case !rdv && len(args) == 0:
				return cli.WithHint(fmt.Errorf("forget: whom?"), "give the VPN address of a peer: campagnol forget 10.9.0.2")
			}
			return cli.MaxArgs(1)(cmd, args)
		},
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if rdv {
				return forgetServer(cmd, file)
			}
			return forget(cmd, file, args[0])
		},
	}
	cmd.Flags().StringVar(&file, "config", file, "configuration `file` of the client")
	cmd.Flags().BoolVar(&rdv, "rdv", false, "forget that the rendezvous server has had an authenticated channel")
	return cmd
}

// forgetServer forgets the rendezvous servers of a configuration.
func forgetServer(cmd *cobra.Command, file string) error {
	cfg, _, err := conf.LoadClient(file)
	if err != nil {
		return err
	}
	path := serverFile(cfg.StateDir)
	servers, err := openServers(path)
	if err != nil {
		return err
	}
	var names []string
	var told []audit.Record
	for _, s := range cfg.Servers() {
		known, err := servers.forget(s.String())
		if err != nil {
			return err
		}
		if known {
			told = append(told, audit.Record{Event: audit.ServerForgotten, Name: s.String()})
			fmt.Fprintf(cmd.OutOrStdout(), "The authenticated channel with %s is forgotten; a client with rdv_auth = auto may register there in clear.\n", s)
		}
		names = append(names, s.String())
	}
	if len(told) == 0 {
		return fmt.Errorf("forget: no authenticated channel with %s is known in %s", strings.Join(names, ", "), path)
	}
	return auditForgotten(cfg, told...)
}

func forget(cmd *cobra.Command, file, arg string) error {
	addr, err := netip.ParseAddr(arg)
	if err != nil {
		return fmt.Errorf("forget: %q is not an IP address", arg)
	}
	cfg, _, err := conf.LoadClient(file)
	if err != nil {
		return err
	}
	path := pinFile(cfg.StateDir)
	pins, err := pki.OpenPins(path)
	if err != nil {
		return err
	}
	known, err := pins.Forget(addr)
	if err != nil {
		return err
	}
	if !known {
		return fmt.Errorf("forget: no key is known for %v in %s", addr, path)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "The key of %v is forgotten; the next one that is seen there keeps the address.\n", addr)
	return auditForgotten(cfg, audit.Record{Event: audit.PinForgotten, VPNAddr: addr.Unmap()})
}
