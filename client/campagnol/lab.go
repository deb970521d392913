package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"campagnol/internal/lab"
	"campagnol/pki/ca"
)

// newLabCommand returns the command "campagnol lab".
func newLabCommand() *cobra.Command { return labCommand(lab.Demo, lab.Sweep, lab.RunGrid) }

// labFlags are the options of the command.
type labFlags struct {
	lab.DemoOptions
	json  bool
	clean bool
	size  labSize

	grid     bool
	parallel int
}

const labHelp = `Make a laboratory of network namespaces on this machine: an Internet with a
rendezvous server, and peers behind NATs of the kernel. Start the real programs
in it, and watch the peers find each other: every step is measured, and told
with its time. In the end everything is removed again.

Peers 1, 3, 5 … get the NAT of --nat-a, peers 2, 4, 6 … that of --nat-b: none,
full-cone, restricted, port-restricted, symmetric or sequential (symmetric with
ports in turn). No direct path exists between symmetric or sequential and these or
port-restricted, unless ports are guessed; the command checks that then, too.

With --mode tap the VPN carries Ethernet frames. The command shows ARP and the first
packets then, and that multicast goes to the peer that has joined a group and to no
other, until it leaves; three peers take part in that, and a rendezvous server that
has a certificate.

With --underlay ipv6 the hosts have IPv6 alone, with firewalls in place of the NATs,
and a direct path exists between all; with dual they have both.

With --rdv-mode mixed or strict the rendezvous server has a certificate, and the
command checks that every peer registers over an authenticated channel.

With --relay the rendezvous server is a relay, too. The command says by which path the
first packets go, by the relay or directly, and how long it takes until a session has
a direct path, or that it stays on the relay: so between symmetric NATs.

With --grid it tries all pairs of NATs instead, and some other situations, and prints
a table: whether a direct path came about, how long the first answer took, and for
how long nothing was answered when the NAT's outer address changed meanwhile.

It has to run as root, and changes nothing outside of its own namespaces.

The exit status is 0 if everything happened as it should, else 1.`

// labCommand returns the command, given what it does.
func labCommand(demo func(context.Context, lab.DemoOptions) error, sweep func(kept bool) (lab.Swept, error),
	grid func(context.Context, lab.GridOptions) ([]lab.GridResult, error)) *cobra.Command {
	f := &labFlags{size: 100_000_000}
	f.NATs = [2]lab.Kind{lab.PortRestricted, lab.PortRestricted}
	cmd := &cobra.Command{
		Use:           "lab",
		Short:         "Show on this machine how peers behind NATs find each other",
		Long:          labHelp,
		Example:       "  campagnol lab\n  campagnol lab --nat-a symmetric --nat-b restricted --peers 5\n  campagnol lab --mode tap\n  campagnol lab --underlay ipv6\n  campagnol lab --relay --nat-a symmetric --nat-b symmetric\n  campagnol lab --grid\n  campagnol lab --keep\n  campagnol lab --clean",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.clean {
				return cleanLabs(cmd.OutOrStdout(), sweep)
			}
			if f.Mode == "tap" && !cmd.Flags().Changed("peers") { // where it has defaults of its own
				f.Peers = 0
			}
			if (f.Mode == "tap" || f.Underlay == "ipv6" || f.Relay) && !cmd.Flags().Changed("rdv-mode") {
				f.RDVMode = ""
			}
			if f.grid {
				return f.runGrid(cmd, grid)
			}
			return f.run(cmd, demo)
		},
	}
	flags := cmd.Flags()
	flags.Var(&f.NATs[0], "nat-a", "put peers 1, 3, 5 and so on behind a NAT of this `KIND`")
	flags.Var(&f.NATs[1], "nat-b", "put peers 2, 4, 6 and so on behind a NAT of this `KIND`")
	flags.StringVar(&f.Mode, "mode", "tun", "what the VPN carries, IP packets or Ethernet frames: `tun|tap`")
	flags.StringVar(&f.Underlay, "underlay", "ipv4", "what is below the VPN: `ipv4|ipv6|dual`")
	flags.StringVar(&f.RDVMode, "rdv-mode", "open", "mode of the rendezvous server, which is strict with --mode tap, --underlay ipv6 and --relay: `open|mixed|strict`")
	flags.BoolVar(&f.Relay, "relay", false, "make the rendezvous server a relay, and show by which paths peers reach each other")
	flags.IntVar(&f.Peers, "peers", 2, "start `N` peers; 3 with --mode tap")
	flags.Var(&f.size, "size", "transfer `SIZE` bytes over TCP; k, M and G stand for thousands, millions and so on")
	flags.DurationVar(&f.Timeout, "timeout", 3*time.Minute, "give up after this `TIME`")
	flags.BoolVar(&f.Keep, "keep", false, "leave everything running, and say how to enter it")
	flags.BoolVar(&f.json, "json", false, "write one JSON object for every step")
	flags.BoolVar(&f.grid, "grid", false, "try all pairs of NATs, and print a table")
	flags.IntVar(&f.parallel, "parallel", 2, "with --grid, try `N` pairs at the same time")
	flags.BoolVar(&f.clean, "clean", false, "remove what --keep left running, and the rest of labs that were killed")
	return cmd
}

// interruptible returns a context that the first signal ends, so that we clean up; the
// second ends us at once.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop()
	}()
	return ctx, stop
}

// runGrid tries all pairs of NATs.
func (f *labFlags) runGrid(cmd *cobra.Command, grid func(context.Context, lab.GridOptions) ([]lab.GridResult, error)) error {
	if f.parallel < 1 {
		return fmt.Errorf("lab: %d pairs at a time are not possible", f.parallel)
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("lab: find this program itself: %w", err)
	}
	o := lab.GridOptions{Client: exe, Certify: certifyPeers, Parallel: f.parallel}
	if f.json {
		o.Report = lab.GridJSON(cmd.OutOrStdout())
	} else {
		o.Report = func(r lab.GridResult) { fmt.Fprintf(cmd.ErrOrStderr(), "%v: done\n", r.GridCell) }
	}
	results, problems := grid(ctx, o)
	if !f.json && results != nil {
		if err := lab.GridTable(cmd.OutOrStdout(), results); err != nil {
			return err
		}
	}
	return problems
}

// run plays the demonstration.
func (f *labFlags) run(cmd *cobra.Command, demo func(context.Context, lab.DemoOptions) error) error {
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("lab: find this program itself: %w", err)
	}
	o := f.DemoOptions
	o.Client, o.Size, o.Certify = exe, int64(f.size), certifyPeers
	o.Report = lab.TextReport(cmd.OutOrStdout())
	if f.json {
		o.Report = lab.JSONReport(cmd.OutOrStdout())
	}
	return demo(ctx, o)
}

// cleanLabs removes labs and says which.
func cleanLabs(w io.Writer, sweep func(kept bool) (lab.Swept, error)) error {
	swept, err := sweep(true)
	for _, id := range swept.Removed {
		fmt.Fprintf(w, "removed lab %s\n", id)
	}
	for _, id := range swept.Running {
		fmt.Fprintf(w, "left lab %s alone: its program runs\n", id)
	}
	if err == nil && len(swept.Removed)+len(swept.Running) == 0 {
		fmt.Fprintln(w, "there was nothing to remove")
	}
	return err
}

// certifyPeers makes a certificate authority and the certificates of the peers, and
// of the rendezvous server if it is one of the hosts.
func certifyPeers(dir string, hosts []lab.Identity) ([]lab.Credentials, error) {
	now := time.Now()
	authority, err := ca.Init(dir, ca.InitOptions{Name: "Campagnol lab CA", Days: 2}, now, rand.Reader)
	if err != nil {
		return nil, err
	}
	all := make([]lab.Credentials, len(hosts))
	for i, h := range hosts {
		req := ca.Request{Name: h.Name, Rendezvous: h.RDV, Days: 1}
		if !h.RDV {
			req.Addrs = []netip.Addr{h.Addr}
		}
		c, err := authority.Issue(now, rand.Reader, req)
		if err != nil {
			return nil, err
		}
		all[i] = lab.Credentials{Certificate: c.CertFile, Key: c.KeyFile, CA: c.CAFile}
	}
	return all, nil
}

// A labSize is a number of bytes as a flag.
type labSize int64

// labSizeUnits are what may follow a number of bytes.
var labSizeUnits = map[byte]int64{'k': 1e3, 'K': 1e3, 'M': 1e6, 'G': 1e9}

func (s *labSize) String() string {
	for _, u := range []byte{'G', 'M', 'k'} {
		if n := int64(*s); n != 0 && n%labSizeUnits[u] == 0 {
			return strconv.FormatInt(n/labSizeUnits[u], 10) + string(u)
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Set reads a number like 250M, 250MB or 250000000.
func (s *labSize) Set(text string) error {
	digits := strings.TrimSuffix(text, "B")
	unit := int64(1)
	if n := len(digits); n > 0 && labSizeUnits[digits[n-1]] != 0 {
		unit = labSizeUnits[digits[n-1]]
		digits = digits[:n-1]
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > maxLabSize/unit {
		return errors.New("a size is a number of bytes up to 1000G, such as 250000000 or 250M")
	}
	*s = labSize(n * unit)
	return nil
}

// maxLabSize is the largest transfer that can be asked for, in bytes.
const maxLabSize = 1e12

// Type names the value in the help of the command line.
func (s *labSize) Type() string { return "bytes" }
