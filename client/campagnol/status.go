package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"campagnol/internal/cli"
	"campagnol/internal/control"
)

// watchInterval is how often --watch looks.
const watchInterval = time.Second

const statusHelp = `Show how the client on this host is: whether it is registered, which tunnels are
open, what goes through them, why peers could not be reached, and what was
dropped.

The client is asked by its control socket, which is /run/campagnol/INTERFACE.sock
unless its configuration says otherwise. Only root may ask, and the members of
the group that control_group names.`

const statusExample = `  campagnol status
  campagnol status --watch
  campagnol status --json --socket /run/campagnol/tun0.sock`

// newStatusCommand returns the command "campagnol status".
func newStatusCommand() *cobra.Command { return statusCommand(control.DefaultDir()) }

// statusCommand returns the command, given where the sockets are.
func statusCommand(dir string) *cobra.Command {
	var socket string
	var watch, asJSON bool
	cmd := &cobra.Command{
		Use:           "status",
		Short:         "Show how the client on this host is",
		Long:          statusHelp,
		Example:       statusExample,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := chooseSocket("status", socket, dir)
			if err != nil {
				return err
			}
			c := control.NewClient(path)
			defer c.Close()
			d := newStatusDisplay(cmd.OutOrStdout(), asJSON, watch)
			if watch {
				ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
				defer stop()
				return d.watch(ctx, c.Status)
			}
			if asJSON {
				raw, err := c.StatusJSON(cmd.Context())
				if err != nil {
					return fmt.Errorf("status: %w", err)
				}
				return d.show(nil, raw)
			}
			s, _, err := c.Status(cmd.Context())
			if err != nil {
				return fmt.Errorf("status: %w", err)
			}
			return d.show(s, nil)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "write the answer of the client as JSON (docs/control.md)")
	f.BoolVar(&watch, "watch", false, "look again every second, and show rates, until it is interrupted")
	f.StringVar(&socket, "socket", "", "ask the client at the control socket `PATH` (default the only one in "+dir+")")
	return cmd
}

// chooseSocket returns the socket for a command: that which was named, or else the
// only one in dir.
func chooseSocket(command, named, dir string) (string, error) {
	if named != "" {
		return named, nil
	}
	found, err := control.Sockets(dir)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", command, err)
	case len(found) == 0:
		return "", cli.WithHint(fmt.Errorf("%s: no client runs on this host that has a control socket in %s", command, dir),
			"start one with \"campagnol -D\"; if its configuration sets control_socket, name that with --socket")
	case len(found) > 1:
		return "", cli.WithHint(fmt.Errorf("%s: several clients run on this host: %s", command, strings.Join(found, ", ")),
			"choose one: campagnol %s --socket %s", command, found[0])
	}
	return found[0], nil
}

// A statusDisplay shows documents one after the other.
type statusDisplay struct {
	w       io.Writer
	json    bool
	again   bool       // more than one is to come
	width   func() int // of the terminal; 0: there is none
	earlier *control.Status
}

func newStatusDisplay(w io.Writer, asJSON, again bool) *statusDisplay {
	return &statusDisplay{w: w, json: asJSON, again: again, width: func() int {
		f, ok := w.(*os.File)
		if !ok || !term.IsTerminal(int(f.Fd())) {
			return 0
		}
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0
		}
		return width
	}}
}

// watch shows what ask returns, every second until ctx is done. A client that is
// just taking over a new configuration is asked again.
func (d *statusDisplay) watch(ctx context.Context, ask func(context.Context) (*control.Status, []byte, error)) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		s, raw, err := ask(ctx)
		var refused *control.Error
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable:
		case err != nil:
			return fmt.Errorf("status: %w", err)
		default:
			if err := d.show(s, raw); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// show shows s, of which raw is the text; of the two, only that which is shown need be
// there. JSON comes with one document a line if more are to come.
func (d *statusDisplay) show(s *control.Status, raw []byte) error {
	var b bytes.Buffer
	width := d.width()
	switch {
	case d.json && d.again:
		if err := json.Compact(&b, raw); err != nil {
			return err
		}
		b.WriteByte('\n')
	case d.json:
		if err := json.Indent(&b, raw, "", "  "); err != nil {
			return err
		}
	case d.again && width > 0:
		repaint(&b, statusText(s, d.earlier, width))
	default:
		b.WriteString(statusText(s, d.earlier, width))
		if d.again {
			b.WriteByte('\n')
		}
	}
	d.earlier = s
	_, err := d.w.Write(b.Bytes())
	return err
}

// repaint writes text over what is on the terminal. Each line erases what was
// there, and the end all below, so that nothing flickers.
func repaint(b *bytes.Buffer, text string) {
	const home, eraseLine, eraseBelow = "\x1b[H", "\x1b[K", "\x1b[J"
	b.WriteString(home)
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimSuffix(line, "\n") + eraseLine + "\n")
	}
	b.WriteString(eraseBelow)
}
