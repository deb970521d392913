// Command campagnol is the client of the VPN, one node of it. Its options are
// those of Campagnol 0.3.5, and a few more; its subcommands are new.
package main

import (
	"cmp"
	"context"
	"os"

	"campagnol/internal/cli"
	"campagnol/internal/logging"
	"campagnol/internal/service"
	"campagnol/internal/version"

	"github.com/spf13/cobra"
)

const (
	program     = "campagnol"
	defaultConf = "/etc/campagnol.conf"
	defaultPID  = "/var/run/campagnol.pid"
)

func main() {
	os.Exit(cli.Execute(context.Background(), newCommand(), os.Args[1:]))
}

// options is the command line.
type options struct {
	file       string // of the configuration
	debug      int
	daemon     bool
	lockMemory bool
	pidfile    string
	verbose    bool
	service    service.Service
}

func newCommand() *cobra.Command {
	o := &options{pidfile: defaultPID}
	cmd := &cobra.Command{
		Use: program + " [-dDhmvV] [-p FILE] [CONFIGURATION]",
		Long: `The client of a Campagnol VPN. It reads its configuration from ` + defaultConf + `,
or from the file that is given. A file that is called like a command needs a
path: ./lab.`,
		Example: "  campagnol -D\n  campagnol -v ./home.conf\n  campagnol status",
		Version: version.String(),
		Args:    cli.MaxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.file = cmp.Or(append(args, defaultConf)...)
			return o.run(cmd.Context())
		},
	}
	f := cmd.PersistentFlags()
	f.SortFlags = false
	// The empty quotes keep the help from showing "count" as if it were a value.
	f.CountVarP(&o.debug, "debug", "d", "``log everything that is done; given twice, also packets")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log connections that come and go")
	cmd.Flags().BoolVarP(&o.daemon, "daemon", "D", false, "go to the background and log to syslog")
	cmd.Flags().BoolVarP(&o.lockMemory, "mlock", "m", false, "keep everything in memory, out of the swap space")
	cmd.Flags().StringVarP(&o.pidfile, "pidfile", "p", o.pidfile, "in the background, write the process ID to `FILE`;\nempty: nowhere")
	o.service.Flags(cmd.Flags())
	cmd.AddCommand(newCACommand(), newExplainCommand(), cli.GiveWay(newFDBCommand()), newForgetCommand(), newJoinCommand(), newLabCommand(), cli.GiveWay(newMDBCommand()), newNetcheckCommand(), newPolicyCommand(), newRenewCommand(), cli.GiveWay(newStatusCommand()))
	cmd.AddCommand(cli.GiveWay(newBugReportCommand()), newConnectCommand(), newDisconnectCommand(), newLogLevelCommand(), cli.GiveWay(newPeersCommand()), newPingCommand(), newReloadCommand(), cli.GiveWay(newTopCommand()), newVersionCommand())
	return cmd
}

// run is the client, here or in the background.
func (o *options) run(ctx context.Context) error {
	s := &o.service
	s.Name = program
	s.Background = o.daemon
	s.PIDFile = o.pidfile
	s.LockMemory = o.lockMemory
	s.Level = logging.Level(o.verbose, o.debug)
	s.Start = o.start
	return s.Run(ctx)
}
