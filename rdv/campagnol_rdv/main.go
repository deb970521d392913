// Command campagnol_rdv is the rendezvous server of the VPN: clients register
// with it and are introduced to each other. Its options are those of
// Campagnol 0.3.5, and a few more.
package main

import (
	"context"
	"os"

	"campagnol/conf"
	"campagnol/internal/cli"
	"campagnol/internal/logging"
	"campagnol/internal/service"
	"campagnol/internal/version"

	"github.com/spf13/cobra"
)

const program = "campagnol_rdv"

func main() {
	os.Exit(cli.Execute(context.Background(), newCommand(), os.Args[1:]))
}

// options is the command line.
type options struct {
	*conf.RDV
	verbose bool
	debug   int
	auth    authOptions
	stun    stunOptions
	relay   relayOptions
	stream  streamOptions
	metrics metricsOptions
	control controlOptions
	web     webOptions
	user    userOptions
	audit   auditOptions
	service service.Service
}

func newCommand() *cobra.Command {
	o := &options{RDV: conf.NewRDV(), auth: authOptions{again: make(chan struct{}, 1)}}
	cmd := &cobra.Command{
		Use: program + " [-dDhvV] [-m N] [-p PORT] [-P FILE]",
		Long: `The rendezvous server of a Campagnol VPN: clients register with it and are
introduced to each other.`,
		Example: "  campagnol_rdv -D\n  campagnol_rdv -D --authority --relay\n  campagnol_rdv status",
		Version: version.String(),
		Args:    func(cmd *cobra.Command, args []string) error { return o.auth.authority.args(cmd, args) },
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	// The empty quotes keep the help from showing "count" as if it were a value.
	f.CountVarP(&o.debug, "debug", "d", "``log each message; given twice, also its fields")
	f.BoolVarP(&o.Daemon, "daemon", "D", false, "go to the background and log to syslog")
	f.VarP(&setting{"100", o.SetMaxClients}, "max-clients", "m", "let at most `N` clients register; 0: no limit")
	f.VarP(&setting{"57888", o.SetPort}, "port", "p", "listen on UDP port `PORT`; given several times, on all of\nthem, as one server")
	f.StringVarP(&o.PIDFile, "pidfile", "P", o.PIDFile, "in the background, write the process ID to `FILE`;\nempty: nowhere")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log which clients come, go and ask for each other")
	o.auth.flags(f)
	o.stun.flags(f)
	o.relay.flags(f)
	o.stream.flags(f)
	o.metrics.flags(f)
	o.control.flags(f)
	o.web.flags(f)
	o.user.flags(f)
	o.audit.flags(f)
	o.service.Flags(f)
	cmd.AddCommand(cli.GiveWay(newStatusCommand()), cli.GiveWay(newClientsCommand()), cli.GiveWay(newEventsCommand()))
	return cmd
}

// A setting is an option whose value is read by a function.
type setting struct {
	value string
	set   func(string) error
}

func (s *setting) String() string { return s.value }
func (s *setting) Type() string   { return "string" }
func (s *setting) Set(v string) error {
	s.value = v
	return s.set(v)
}

// run serves, here or in the background.
func (o *options) run(ctx context.Context) (err error) {
	if o.auth.chosen, err = o.auth.choose(); err != nil {
		return err
	}
	if err := o.relay.check(o.auth.chosen); err != nil {
		return err
	}
	if err := o.stream.check(o.auth.chosen, 1+len(o.MorePorts)); err != nil {
		return err
	}
	if err := o.metrics.check(); err != nil {
		return err
	}
	if err := o.web.check(&o.auth); err != nil {
		return err
	}
	s := &o.service
	s.Name = program
	s.Background = o.Daemon
	s.PIDFile = o.PIDFile
	s.Level = logging.Level(o.verbose, o.debug)
	s.Start = o.start
	return s.Run(ctx)
}
