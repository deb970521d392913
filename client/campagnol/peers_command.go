package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"campagnol/internal/cli"
	"campagnol/internal/control"
	"campagnol/internal/human"

	"github.com/spf13/cobra"
)

const peersHelp = `List the peers of the client on this host: VPN address, name in the certificate,
state, path, round trip, since when, and what goes through the tunnel in a second.

The client is looked at twice, a second apart, for the rates. With --all peers without
a tunnel are listed, too: members that the rendezvous server lists or names, which it
does over the authenticated channel, and peers that were not reached lately.

The client is asked by its control socket, as by "campagnol status".`

// newPeersCommand returns the command "campagnol peers".
func newPeersCommand() *cobra.Command { return peersCommand(control.DefaultDir()) }

// peersCommand returns the command, given where the sockets are.
func peersCommand(dir string) *cobra.Command {
	a := &question{name: "peers", dir: dir}
	var all bool
	order := "address"
	interval := time.Second
	cmd := &cobra.Command{
		Use:           "peers",
		Short:         "List the peers of the client on this host",
		Long:          peersHelp,
		Example:       "  campagnol peers\n  campagnol peers --all --sort rtt\n  campagnol peers --json",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if peerOrders[order] == nil {
				return cli.WithHint(fmt.Errorf("peers: peers are not sorted by %q", order), "--sort takes %s", strings.Join(peerOrderNames, ", "))
			}
			if interval < 0 || interval > time.Minute {
				return cli.WithHint(fmt.Errorf("peers: rates are not measured over %v", interval), "--interval takes up to a minute; 0 shows no rates")
			}
			return a.with(func(c *control.Client) error {
				p, raw, rates, err := lookAtPeers(cmd.Context(), c, all, interval, a.json)
				if err != nil {
					return err
				}
				return a.show(cmd.OutOrStdout(), raw, func() string { return peersText(p, rates, order) })
			})
		},
	}
	a.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&all, "all", false, "also list peers without a tunnel")
	f.StringVar(&order, "sort", order, "sort by `ORDER`: "+strings.Join(peerOrderNames, ", "))
	f.DurationVar(&interval, "interval", interval, "measure rates over this `TIME`; 0 shows none")
	_ = cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(peerOrderNames, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return cmd
}

// A peerRate is what goes through a tunnel, in bytes a second.
type peerRate struct{ in, out float64 }

// lookAtPeers asks for the peers, and unless it is for a program once more for their rates.
func lookAtPeers(ctx context.Context, c *control.Client, all bool, interval time.Duration, once bool) (*control.Peers, []byte, map[netip.Addr]peerRate, error) {
	p, raw, err := c.Peers(ctx, all)
	if err != nil || once || interval == 0 || len(p.Peers) == 0 {
		return p, raw, nil, err
	}
	timer := time.NewTimer(interval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, nil, nil, ctx.Err()
	}
	later, raw, err := c.Peers(ctx, all)
	if err != nil {
		return nil, nil, nil, err
	}
	return later, raw, peerRates(p, later), nil
}

// peerRates compares two looks. A session that is another one since has begun with nothing.
func peerRates(before, after *control.Peers) map[netip.Addr]peerRate {
	gone := after.Time.Sub(before.Time).Seconds()
	rates := map[netip.Addr]peerRate{}
	if gone <= 0 {
		return rates
	}
	old := map[netip.Addr]control.PeersEntry{}
	for _, p := range before.Peers {
		old[p.VPNAddress] = p
	}
	for _, p := range after.Peers {
		o := old[p.VPNAddress]
		if !o.Since.Equal(p.Since) {
			o = control.PeersEntry{}
		}
		if !p.Since.IsZero() && p.BytesIn >= o.BytesIn && p.BytesOut >= o.BytesOut {
			rates[p.VPNAddress] = peerRate{float64(p.BytesIn-o.BytesIn) / gone, float64(p.BytesOut-o.BytesOut) / gone}
		}
	}
	return rates
}

// peerOrderNames are what a list of peers can be sorted by.
var peerOrderNames = []string{"address", "name", "state", "rtt", "since", "rate"}

// peerOrders compare two peers, the first ones of which come first.
var peerOrders = map[string]func(a, b control.PeersEntry, rates map[netip.Addr]peerRate) int{
	"address": func(a, b control.PeersEntry, _ map[netip.Addr]peerRate) int {
		return a.VPNAddress.Compare(b.VPNAddress)
	},
	"name": func(a, b control.PeersEntry, _ map[netip.Addr]peerRate) int {
		return cmp.Or(lastIf(a.Name == "", b.Name == ""), strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)))
	},
	"state": func(a, b control.PeersEntry, _ map[netip.Addr]peerRate) int {
		return cmp.Compare(stateRank(a.State), stateRank(b.State))
	},
	"rtt": func(a, b control.PeersEntry, _ map[netip.Addr]peerRate) int {
		return cmp.Or(lastIf(a.PathRTTSeconds == 0, b.PathRTTSeconds == 0), cmp.Compare(a.PathRTTSeconds, b.PathRTTSeconds))
	},
	"since": func(a, b control.PeersEntry, _ map[netip.Addr]peerRate) int {
		return cmp.Or(lastIf(a.Since.IsZero(), b.Since.IsZero()), b.Since.Compare(a.Since))
	},
	"rate": func(a, b control.PeersEntry, rates map[netip.Addr]peerRate) int {
		x, y := rates[a.VPNAddress], rates[b.VPNAddress]
		return cmp.Compare(y.in+y.out, x.in+x.out)
	},
}

// stateRank orders states: the more there is of a tunnel, the earlier.
func stateRank(state string) int {
	if i := slices.Index([]string{"ESTABLISHED", "LINKED", "PUNCHING", "NEW", closedState}, state); i >= 0 {
		return i
	}
	return 5
}

// lastIf puts that behind, of two, which lacks what they are sorted by.
func lastIf(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// sortPeers sorts peers; those that are equal stay in the order of their addresses.
func sortPeers(list []control.PeersEntry, order string, rates map[netip.Addr]peerRate) {
	slices.SortFunc(list, func(a, b control.PeersEntry) int {
		return cmp.Or(peerOrders[order](a, b, rates), a.VPNAddress.Compare(b.VPNAddress))
	})
}

// peersText returns the list for people.
func peersText(p *control.Peers, rates map[netip.Addr]peerRate, order string) string {
	if len(p.Peers) == 0 {
		return "no tunnels; the first packet for a peer opens one\n"
	}
	list := slices.Clone(p.Peers)
	sortPeers(list, order, rates)
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PEER\tNAME\tSTATE\tPATH\tRTT\tOPEN FOR\tIN\tOUT")
	for _, e := range list {
		fmt.Fprintln(table, strings.Join(peersCells(p.Time, e, rates), "\t"))
	}
	_ = table.Flush() // a Builder takes everything
	return b.String()
}

// peersCells returns a line of the list. In place of a path there is the reason why there
// is none.
func peersCells(now time.Time, e control.PeersEntry, rates map[netip.Addr]peerRate) []string {
	path, rtt, since, in, out := human.OrDash(e.Reason), "-", "-", "-", "-"
	if e.Path.IsValid() {
		path = human.Printable(e.Path.String())
		if e.PathKind != "" {
			path += " (" + human.Printable(e.PathKind) + ")"
		}
	}
	if e.PathRTTSeconds > 0 {
		rtt = millisText(e.PathRTTSeconds)
	}
	if !e.Since.IsZero() {
		since = human.Age(now.Sub(e.Since))
		in, out = human.Size(e.BytesIn), human.Size(e.BytesOut)
	}
	if r, ok := rates[e.VPNAddress]; ok {
		in, out = human.Size(uint64(r.in))+"/s", human.Size(uint64(r.out))+"/s"
	}
	return []string{addrText(e.VPNAddress), human.OrDash(e.Name), human.OrDash(e.State), path, rtt, since, in, out}
}
