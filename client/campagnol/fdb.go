package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"campagnol/internal/control"
	"campagnol/internal/human"
)

const fdbHelp = `Show where the client on this host, which carries Ethernet frames (mode = tap),
believes hardware addresses to be: behind its virtual interface, or at which
member; which IP addresses belong to them; and what has come from each member.

The exit status is 0, and 1 after an error, such as that the client carries IP
packets.

The client on this host is asked by its control socket, as by "campagnol status".`

// newFDBCommand returns the command "campagnol fdb".
func newFDBCommand() *cobra.Command { return fdbCommand(control.DefaultDir()) }

// fdbCommand returns the command, given where the sockets are.
func fdbCommand(dir string) *cobra.Command {
	return tableCommand(dir, "fdb", "Show where hardware addresses are (mode = tap)", fdbHelp,
		func(ctx context.Context, c *control.Client) (string, []byte, error) {
			f, raw, err := c.FDB(ctx)
			if err != nil {
				return "", nil, err
			}
			return fdbText(f), raw, nil
		})
}

// tableCommand returns a command that asks a client for a table, and shows the text
// or the document that ask returns.
func tableCommand(dir, name, short, help string, ask func(context.Context, *control.Client) (string, []byte, error)) *cobra.Command {
	var socket string
	var asJSON bool
	cmd := &cobra.Command{
		Use:           name,
		Short:         short,
		Long:          help,
		Example:       "  campagnol " + name + "\n  campagnol " + name + " --json --socket /run/campagnol/tap0.sock",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := chooseSocket(name, socket, dir)
			if err != nil {
				return err
			}
			c := control.NewClient(path)
			defer c.Close()
			text, raw, err := ask(cmd.Context(), c)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			var b bytes.Buffer
			if b.WriteString(text); asJSON {
				b.Reset()
				if err := json.Indent(&b, raw, "", "  "); err != nil {
					return err
				}
			}
			_, err = cmd.OutOrStdout().Write(b.Bytes())
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "write the answer of the client as JSON (docs/control.md)")
	f.StringVar(&socket, "socket", "", "ask the client at the control socket `PATH` (default the only one in "+dir+")")
	return cmd
}

// fdbText returns a document as text for people.
func fdbText(f *control.FDB) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s, %s\n\n", human.Printable(f.Interface), addrText(f.VPNAddress), human.OrDash(f.HardwareAddress))
	t := newTable(&b, "MAC", "VLAN", "WHERE", "KIND", "AGE", "STAYS FOR")
	for _, e := range f.MACs {
		vlan, old := vlanText(e.VLAN), secondsText(e.AgeSeconds)
		if e.AllVLANs {
			vlan = "all"
		}
		if e.Kind != "learned" && e.Kind != "local" {
			old = "-"
		}
		frozen := "-"
		if e.FrozenSeconds > 0 {
			frozen = secondsText(e.FrozenSeconds)
		}
		t.row(human.OrDash(e.MAC), vlan, whereText(e.Local, e.VPNAddress, e.Name), human.OrDash(e.Kind), old, frozen)
	}
	t.end()
	if len(f.Neighbours) > 0 {
		b.WriteString("\nIP addresses:\n")
		t = newTable(&b, "IP", "VLAN", "MAC", "WHERE", "AGE", "ROUTER")
		for _, e := range f.Neighbours {
			router := "-"
			if e.Router {
				router = "yes"
			}
			t.row(addrText(e.Address), vlanText(e.VLAN), human.OrDash(e.MAC), whereText(e.Local, e.VPNAddress, e.Name), secondsText(e.AgeSeconds), router)
		}
		t.end()
	}
	b.WriteString("\nframes from:\n")
	t = newTable(&b, "WHERE", "LEARNED", "BEYOND", "PASSED", "DROPPED")
	for _, p := range f.Ports {
		t.row(whereText(p.Local, p.VPNAddress, p.Name), strconv.Itoa(p.MACs), strconv.FormatUint(p.UnlearnedFrames, 10),
			human.OrDash(counterText(p.Passed)), human.OrDash(counterText(p.Drops)))
	}
	t.end()
	return b.String()
}

// A textTable is a table for people.
type textTable struct{ w *tabwriter.Writer }

func newTable(b *strings.Builder, head ...string) textTable {
	t := textTable{tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)}
	t.row(head...)
	return t
}

// row adds a line.
func (t textTable) row(cells ...string) {
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

// end writes the table.
func (t textTable) end() { _ = t.w.Flush() } // a Builder takes everything

// whereText says whose a thing is: this host's, or that of a member.
func whereText(local bool, vpn netip.Addr, name string) string {
	switch {
	case local:
		return "this host"
	case name != "":
		return fmt.Sprintf("%s (%q)", addrText(vpn), human.Printable(name))
	}
	return addrText(vpn)
}

// vlanText returns the number of a VLAN; frames without a tag are in none.
func vlanText(v uint16) string {
	if v == 0 {
		return "-"
	}
	return strconv.Itoa(int(v))
}

// secondsText returns a number of seconds as age does.
func secondsText(s float64) string {
	const most = float64(1<<63-1) / float64(time.Second)
	return human.Age(time.Duration(min(max(0, s), most/2) * float64(time.Second)))
}

// reasonText returns a counter with its name.
func reasonText(name string, n uint64) string {
	return human.Printable(name) + " " + strconv.FormatUint(n, 10)
}
