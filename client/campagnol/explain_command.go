package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"campagnol/internal/cli"
	"campagnol/internal/control"
	"campagnol/internal/human"

	"github.com/spf13/cobra"
)

const explainHelp = `Say why a peer is reached as it is, or not at all: the path of its tunnel and why
there is no better one, or what the last try to open a tunnel has come to, and what
to try.

PEER is a VPN address, or a member's name ("campagnol peers --all" lists them). With
--try the client is asked to open a tunnel now, if there is none, which may take ten
seconds.

The exit status is 0 if there is a path to the peer, 2 if not, and 1 after an error.

The client on this host is asked by its control socket, as by "campagnol status".`

const explainExample = `  campagnol explain 10.9.0.2
  campagnol explain bob --try
  campagnol explain fd09::2 --json`

// How the command waits for a tunnel.
const (
	explainPatience = 10 * time.Second
	explainLook     = 200 * time.Millisecond
)

// notReached is the exit status for a peer without a path.
const notReached = 2

// newExplainCommand returns the command "campagnol explain".
func newExplainCommand() *cobra.Command { return explainCommand(control.DefaultDir()) }

// explainCommand returns the command, given where the sockets are.
func explainCommand(dir string) *cobra.Command {
	var socket string
	var asJSON, try bool
	cmd := &cobra.Command{
		Use:     "explain PEER",
		Short:   "Say why a peer is reached as it is, or not at all",
		Long:    explainHelp,
		Example: explainExample,
		Args:    onePeer,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completePeers(cmd.Context(), socket, dir, args)
		},
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := chooseSocket("explain", socket, dir)
			if err != nil {
				return err
			}
			c := control.NewClient(path)
			defer c.Close()
			e, raw, err := c.Explain(cmd.Context(), args[0])
			if err == nil && try && !e.Reached {
				e, raw, err = tryPeer(cmd.Context(), c, args[0], cmd.ErrOrStderr())
			}
			if err != nil {
				return fmt.Errorf("explain: %w", err)
			}
			return showExplanation(cmd.OutOrStdout(), e, raw, asJSON)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "write the answer of the client as JSON (docs/control.md)")
	f.BoolVar(&try, "try", false, "open a tunnel to the peer first, if there is none")
	f.StringVar(&socket, "socket", "", "ask the client at the control socket `PATH` (default the only one in "+dir+")")
	return cmd
}

// onePeer refuses all but one argument.
func onePeer(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return cli.WithHint(fmt.Errorf("explain: expected a peer, not %d arguments", len(args)),
		"name it by its VPN address or its name, such as %q", cmd.CommandPath()+" 10.9.0.2")
}

// completePeers returns the addresses and names of peers, for a shell.
func completePeers(ctx context.Context, socket, dir string, args []string) (words []string, _ cobra.ShellCompDirective) {
	path, err := chooseSocket("explain", socket, dir)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if ctx == nil { // completion runs without
		ctx = context.Background()
	}
	c := control.NewClient(path)
	defer c.Close()
	list, _, err := c.Peers(ctx, true)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, p := range list.Peers {
		about := human.Printable(p.Name)
		if p.Reason != "" {
			about = "not reached"
		}
		words = append(words, p.VPNAddress.String()+"\t"+about)
		if p.Name != "" {
			words = append(words, human.Printable(p.Name)+"\t"+p.VPNAddress.String())
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// tryPeer makes the client open a tunnel, and waits for it. It writes to progress how
// far that is. The try is over when there is a path, or it has failed.
func tryPeer(ctx context.Context, c *control.Client, peer string, progress io.Writer) (*control.Explanation, []byte, error) {
	start := time.Now()
	e, raw, err := c.Reach(ctx, peer)
	state := ""
	ticker := time.NewTicker(explainLook)
	defer ticker.Stop()
	for err == nil {
		if e.State != state {
			state = e.State
			if text := stateTexts[state]; text != "" {
				fmt.Fprintf(progress, "%5.1f s  %s\n", time.Since(start).Seconds(), text)
			}
		}
		if e.Reached || e.State == "CLOSED" || time.Since(start) >= explainPatience {
			break
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-ticker.C:
		}
		var next *control.Explanation
		var text []byte
		next, text, err = c.Explain(ctx, peer)
		var busy *control.Error
		switch {
		case err == nil:
			e, raw = next, text
		case errors.As(err, &busy) && busy.Status == http.StatusServiceUnavailable: // it takes over a new configuration
			err = nil
		}
	}
	return e, raw, err
}

// stateTexts say how far a try is.
var stateTexts = map[string]string{
	"NEW":         "asking the rendezvous server for the peer",
	"PUNCHING":    "looking for a path to the peer",
	"LINKED":      "there is a path; the two hosts show their certificates",
	"ESTABLISHED": "the tunnel is open",
	"CLOSED":      "no tunnel is being opened",
}

// showExplanation writes an answer, and returns the exit status as an error.
func showExplanation(w io.Writer, e *control.Explanation, raw []byte, asJSON bool) error {
	var b bytes.Buffer
	if asJSON {
		if err := json.Indent(&b, raw, "", "  "); err != nil {
			return err
		}
	} else {
		b.WriteString(explainText(e, newStatusDisplay(w, false, false).width()))
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return err
	}
	if !e.Reached {
		return &cli.ExitError{Code: notReached}
	}
	return nil
}
