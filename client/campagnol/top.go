package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"campagnol/internal/cli"
	"campagnol/internal/control"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const topHelp = `Watch the client on this host in the terminal: who it is, its peers with round trip, path
and rates, of the last minute too, and what happens. Arrow keys choose a peer, Enter
shows why it is reached as it is, s sorts by something else, r the other way round,
/ filters, p pauses, q quits.

NO_COLOR in the environment is obeyed. Where there is no terminal, "campagnol status
--watch" shows much of this.

The client is asked by its control socket, as by "campagnol status".`

// newTopCommand returns the command "campagnol top".
func newTopCommand() *cobra.Command { return topCommand(control.DefaultDir()) }

// topCommand returns the command, given where the sockets are.
func topCommand(dir string) *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:           "top",
		Short:         "Watch the client on this host in the terminal",
		Long:          topHelp,
		Example:       "  campagnol top\n  NO_COLOR=1 campagnol top --socket /run/campagnol/tun0.sock",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needTerminal(cmd.InOrStdin(), cmd.OutOrStdout(), os.Getenv); err != nil {
				return err
			}
			path, err := chooseSocket("top", socket, dir)
			if err != nil {
				return err
			}
			return runTop(cmd.Context(), path, os.Getenv)
		},
	}
	cmd.Flags().StringVar(&socket, "socket", "", "ask the client at the control socket `PATH` (default the only one in "+dir+")")
	return cmd
}

// needTerminal says what to use where there is no terminal that can be drawn on.
func needTerminal(in io.Reader, out io.Writer, getenv func(string) string) error {
	isTerminal := func(x any) bool {
		f, ok := x.(*os.File)
		return ok && term.IsTerminal(int(f.Fd()))
	}
	kind := getenv("TERM")
	switch {
	case !isTerminal(in) || !isTerminal(out):
		return cli.WithHint(fmt.Errorf("top: it is for a terminal, which this is not"), "use %q, or %q in a program",
			"campagnol status --watch", "campagnol status --watch --json")
	case kind == "dumb" || kind == "" && runtime.GOOS != "windows":
		return cli.WithHint(fmt.Errorf("top: the terminal %q cannot be drawn on", kind), "use %q; or set TERM to what the terminal is, such as xterm",
			"campagnol status --watch")
	}
	return nil
}

// runTop watches the client behind a socket until the user has seen enough.
func runTop(ctx context.Context, path string, getenv func(string) string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c, events := control.NewClient(path), control.NewClient(path)
	defer c.Close()
	defer events.Close()
	first, _, err := c.Status(ctx)
	if err != nil {
		return fmt.Errorf("top: %w", err) // before the screen is taken
	}
	m := newTopModel(topSource{
		status:  func() (*control.Status, error) { s, _, err := c.Status(ctx); return s, err },
		explain: func(peer string) (*control.Explanation, error) { e, _, err := c.Explain(ctx, peer); return e, err },
		events: func(since uint64) (*control.Events, error) {
			e, _, err := events.Events(ctx, since, control.MaxEventWait)
			return e, err
		},
	})
	m.plain = getenv("NO_COLOR") != ""
	m.ascii = !speaksUTF8(getenv)
	m.take(first)
	_, err = tea.NewProgram(m, tea.WithContext(ctx)).Run()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("top: %w", err)
	}
	return nil
}

// speaksUTF8 reports whether the terminal shows more than ASCII, as far as the environment
// says. Where no locale is named, it most likely does.
func speaksUTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(getenv(name)); locale != "" {
			return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
		}
	}
	return true
}
