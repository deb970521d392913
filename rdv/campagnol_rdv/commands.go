package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"campagnol/internal/cli"
	"campagnol/internal/control"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// watchInterval is how often --watch looks.
const watchInterval = time.Second

// A question is what a command asks the server.
type question struct {
	socket string
	json   bool
	out    io.Writer
}

// newAsking returns a command that asks a server.
func newAsking(use, short, long, example string, q *question, args cobra.PositionalArgs, run func(ctx context.Context, c *control.Client, args []string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, Args: args, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			q.out = cmd.OutOrStdout()
			c := control.NewRDVClient(q.socket)
			defer c.Close()
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			err := run(ctx, c, args)
			if errors.Is(err, context.Canceled) && ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return fmt.Errorf("%s: %w", cmd.Name(), err)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&q.json, "json", false, "write the answer of the server as JSON (docs/control.md)")
	f.StringVar(&q.socket, "socket", control.RDVPath(), "ask the server at the control socket `PATH`")
	return cmd
}

// show writes a text, or the document that it is of. Several documents come one a line.
func (q *question) show(text string, document []byte, several bool) error {
	var b bytes.Buffer
	var err error
	switch {
	case !q.json:
		b.WriteString(text)
	case several:
		if err = json.Compact(&b, document); err == nil {
			b.WriteByte('\n')
		}
	default:
		err = json.Indent(&b, document, "", "  ")
	}
	if err == nil {
		_, err = q.out.Write(b.Bytes())
	}
	return err
}

// onTerminal reports whether a text can be painted over the last one.
func (q *question) onTerminal() bool {
	f, ok := q.out.(*os.File)
	return ok && !q.json && term.IsTerminal(int(f.Fd()))
}

const statusHelp = `Show how the rendezvous server on this host is: who is registered, how they are
reached, what it has done, and what it has refused.

The server is asked by its control socket. Only root may ask, and the members of the
group that --control-group names.`

// newStatusCommand returns the command "campagnol_rdv status".
func newStatusCommand() *cobra.Command {
	var watch bool
	q := new(question)
	cmd := newAsking("status", "Show how the server on this host is", statusHelp, "  campagnol_rdv status\n  campagnol_rdv status --watch", q, cli.MaxArgs(0),
		func(ctx context.Context, c *control.Client, _ []string) error {
			for {
				s, raw, err := c.RDVStatus(ctx)
				if err != nil {
					return err
				}
				text := statusText(s)
				if watch && q.onTerminal() {
					text = repaint(text)
				}
				if err := q.show(text, raw, watch); err != nil || !watch {
					return err
				}
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(watchInterval):
				}
			}
		})
	cmd.Flags().BoolVar(&watch, "watch", false, "look again every second, until it is interrupted")
	return cmd
}

// repaint returns what paints text over what is on the terminal. Each line erases what
// was there, and the end all below, so that nothing flickers.
func repaint(text string) string {
	const home, eraseLine, eraseBelow = "\x1b[H", "\x1b[K", "\x1b[J"
	return home + strings.ReplaceAll(text, "\n", eraseLine+"\n") + eraseBelow
}

const clientsHelp = `Show who is registered at the rendezvous server on this host, or all about one of
them: NAME is that in its certificate, VPNIP its VPN address.

The exit status is 0, and 1 if nobody has the address or the name, or after an error.`

// newClientsCommand returns the command "campagnol_rdv clients".
func newClientsCommand() *cobra.Command {
	var by string
	q := new(question)
	cmd := newAsking("clients [NAME|VPNIP]", "Show who is registered", clientsHelp, "  campagnol_rdv clients --sort heard\n  campagnol_rdv clients alice", q, cli.MaxArgs(1),
		func(ctx context.Context, c *control.Client, args []string) error {
			order, ok := clientOrders[by]
			if !ok {
				return cli.WithHint(fmt.Errorf("--sort: nothing is sorted by %q", by), "it is one of: %s", orderNames())
			}
			asSent := len(args) == 0 && by == orderByAddress
			if asSent && q.json { // of 10,000 clients, to read it takes longer than all the rest
				raw, err := c.RDVClientsJSON(ctx)
				if err != nil {
					return err
				}
				return q.show("", raw, false)
			}
			list, raw, err := c.RDVClients(ctx)
			if err != nil {
				return err
			}
			slices.SortStableFunc(list.Clients, order)
			if asSent {
				return q.show(clientsText(list), raw, false)
			}
			if len(args) > 0 {
				if list.Clients = matching(list.Clients, args[0]); len(list.Clients) == 0 {
					return cli.WithHint(fmt.Errorf("nobody is registered with the VPN address or the name %q", args[0]), "campagnol_rdv clients lists all")
				}
			}
			if raw, err = json.Marshal(list); err != nil {
				return err
			}
			if len(args) > 0 {
				return q.show(detailsText(list), raw, false)
			}
			return q.show(clientsText(list), raw, false)
		})
	cmd.Flags().StringVar(&by, "sort", orderByAddress, "sort by `ORDER`: "+orderNames())
	return cmd
}

// matching returns the clients with a VPN address or a name.
func matching(list []control.RDVClient, what string) []control.RDVClient {
	at, err := netip.ParseAddr(what)
	return slices.DeleteFunc(list, func(c control.RDVClient) bool {
		if err == nil && slices.Contains(c.VPNAddresses, at.Unmap()) {
			return false
		}
		return !strings.EqualFold(c.Name, what)
	})
}

const orderByAddress = "address"

// clientOrders are what clients can be sorted by.
var clientOrders = map[string]func(a, b control.RDVClient) int{
	orderByAddress: func(a, b control.RDVClient) int { return firstAddr(a).Compare(firstAddr(b)) },
	"name":         func(a, b control.RDVClient) int { return cmp.Compare(a.Name, b.Name) },
	"since":        func(a, b control.RDVClient) int { return a.Since.Compare(b.Since) },
	"heard":        func(a, b control.RDVClient) int { return b.Heard.Compare(a.Heard) },
	"nat":          func(a, b control.RDVClient) int { return cmp.Compare(a.NAT, b.NAT) },
	"expires": func(a, b control.RDVClient) int {
		if a.Expires.IsZero() || b.Expires.IsZero() { // who has no certificate comes last
			return b.Expires.Compare(a.Expires)
		}
		return a.Expires.Compare(b.Expires)
	},
	"relay":         func(a, b control.RDVClient) int { return cmp.Compare(b.RelayBytes, a.RelayBytes) },
	"introductions": func(a, b control.RDVClient) int { return cmp.Compare(b.Asked+b.Wanted, a.Asked+a.Wanted) },
}

// orderNames lists the orders.
func orderNames() string {
	var names []string
	for name := range clientOrders {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func firstAddr(c control.RDVClient) netip.Addr {
	if len(c.VPNAddresses) == 0 {
		return netip.Addr{}
	}
	return c.VPNAddresses[0]
}

const eventsHelp = `Show what has happened at the rendezvous server on this host: who has come and gone,
who was introduced to whom, and what was refused, and why. The server remembers the
last 1024 events.`

// newEventsCommand returns the command "campagnol_rdv events".
func newEventsCommand() *cobra.Command {
	var follow bool
	q := new(question)
	cmd := newAsking("events", "Show what has happened", eventsHelp, "  campagnol_rdv events\n  campagnol_rdv events --follow --json", q, cli.MaxArgs(0),
		func(ctx context.Context, c *control.Client, _ []string) error {
			var last uint64
			for wait := false; ; wait = true {
				list, raw, err := c.RDVEvents(ctx, last, wait)
				if err != nil {
					return err
				}
				if err := q.showEvents(list, raw, last, follow); err != nil || !follow {
					return err
				}
				if last = list.Last; ctx.Err() != nil {
					return nil
				}
			}
		})
	cmd.Flags().BoolVar(&follow, "follow", false, "show what happens from now on, too, until it is interrupted")
	return cmd
}

// showEvents shows the events after the last one. With follow, JSON has an event a line.
func (q *question) showEvents(list *control.RDVEvents, raw []byte, last uint64, follow bool) error {
	if !q.json || !follow {
		return q.show(eventsText(list, last), raw, false)
	}
	for _, e := range list.Events {
		line, err := json.Marshal(e)
		if err == nil {
			err = q.show("", line, true)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
