package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"campagnol/internal/cli"
	"campagnol/internal/control"
	"campagnol/internal/human"

	"github.com/spf13/cobra"
)

// A question is what the commands have in common that ask the client on this host.
type question struct {
	name   string // of the command
	dir    string // where the sockets are
	socket string // that was named
	json   bool
}

// flags adds the options that all of them have.
func (a *question) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&a.json, "json", false, "write the answer of the client as JSON (docs/control.md)")
	f.StringVar(&a.socket, "socket", "", "ask the client at the control socket `PATH` (default the only one in "+a.dir+")")
}

// with calls f with the client that is to be asked.
func (a *question) with(f func(c *control.Client) error) error {
	path, err := chooseSocket(a.name, a.socket, a.dir)
	if err != nil {
		return err
	}
	c := control.NewClient(path)
	defer c.Close()
	if err := f(c); err != nil {
		return fmt.Errorf("%s: %w", a.name, err)
	}
	return nil
}

// show writes an answer, as it was sent or as text.
func (a *question) show(w io.Writer, raw []byte, text func() string) error {
	if !a.json {
		_, err := io.WriteString(w, text())
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// onePeer refuses all but one argument.
func (a *question) onePeer(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return cli.WithHint(fmt.Errorf("%s: expected a peer, not %d arguments", a.name, len(args)),
		"name it by its VPN address or its name, such as %q", cmd.CommandPath()+" 10.9.0.2")
}

// complete offers the peers that the client knows.
func (a *question) complete(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return completePeers(cmd.Context(), a.socket, a.dir, args)
}

// who returns how a text calls a peer.
func who(addr, name string) string {
	if name == "" {
		return addr
	}
	return fmt.Sprintf("%s (%q)", addr, human.Printable(name))
}

// millisText returns a time in seconds as milliseconds, for people.
func millisText(seconds float64) string {
	ms := 1000 * seconds
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}
