package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"campagnol/internal/cli"
	"campagnol/internal/control"
	"campagnol/internal/human"

	"github.com/spf13/cobra"
)

const pingHelp = `Ask a peer inside the tunnel whether it is there, again and again, and measure how
long the answer takes. The two clients do that among themselves: no packet of the VPN
is sent, and no policy or firewall in the VPN stands in between. What is in brackets is
the round trip of the path alone, by a challenge.

PEER is a VPN address, or a member's name ("campagnol peers --all" lists them). Without
a tunnel one is opened first.

The exit status is 0 if an answer came, and 1 if none did or after an error.

The client on this host is asked by its control socket, as by "campagnol status".`

// newPingCommand returns the command "campagnol ping".
func newPingCommand() *cobra.Command { return pingCommand(control.DefaultDir()) }

// pingCommand returns the command, given where the sockets are.
func pingCommand(dir string) *cobra.Command {
	a := &question{name: "ping", dir: dir}
	p := &pinger{interval: 1, wait: 1}
	cmd := &cobra.Command{
		Use:               "ping PEER",
		Short:             "Ask a peer inside the tunnel whether it is there",
		Long:              pingHelp,
		Example:           "  campagnol ping 10.9.0.2\n  campagnol ping -c 3 bob",
		Args:              a.onePeer,
		ValidArgsFunction: a.complete,
		SilenceUsage:      true,
		SilenceErrors:     true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.check(); err != nil {
				return err
			}
			p.peer, p.out, p.json = args[0], cmd.OutOrStdout(), a.json
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return a.with(func(c *control.Client) error { return p.run(ctx, c.Ping) })
		},
	}
	a.flags(cmd)
	f := cmd.Flags()
	f.IntVarP(&p.count, "count", "c", 0, "stop after `N` pings; 0: when interrupted")
	f.Float64VarP(&p.interval, "interval", "i", p.interval, "wait `SECONDS` between two pings")
	f.Float64VarP(&p.wait, "wait", "W", p.wait, "wait `SECONDS` for an answer")
	return cmd
}

// minPingInterval is the least time between two pings, in seconds.
const minPingInterval = 0.01

// A pinger asks a peer again and again.
type pinger struct {
	peer           string
	count          int
	interval, wait float64 // seconds
	json           bool
	out            io.Writer

	sent, answered int
	name           string
	least, most    float64
	sum, squares   float64
}

// check refuses options that make no sense.
func (p *pinger) check() error {
	most := control.MaxWait.Seconds()
	switch {
	case p.count < 0:
		return cli.WithHint(fmt.Errorf("ping: %d is no number of pings", p.count), "-c 3 stops after three; 0 goes on until it is interrupted")
	case !(p.interval >= minPingInterval && p.interval <= 3600):
		return cli.WithHint(fmt.Errorf("ping: %v s is no time between two pings", p.interval), "-i takes %v to 3600 seconds", minPingInterval)
	case !(p.wait >= 0.001 && p.wait <= most):
		return cli.WithHint(fmt.Errorf("ping: %v s is no time to wait for an answer", p.wait), "-W takes 0.001 to %v seconds", most)
	}
	return nil
}

// run pings until it is enough or ctx is done. A client that is just taking over a new
// configuration counts as no answer.
func (p *pinger) run(ctx context.Context, ping func(context.Context, string, time.Duration) (*control.Pong, []byte, error)) error {
	began := time.Now()
	ticker := time.NewTicker(time.Duration(p.interval * float64(time.Second)))
	defer ticker.Stop()
	for p.count == 0 || p.sent < p.count {
		pong, raw, err := ping(ctx, p.peer, time.Duration(p.wait*float64(time.Second)))
		if ctx.Err() != nil {
			break // it was not given the time to be answered
		}
		var refused *control.Error
		if err != nil && !(errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable && p.sent > 0) {
			return err
		}
		if err != nil {
			pong, raw = &control.Pong{Reason: err.Error()}, nil
		}
		if err := p.note(pong, raw); err != nil {
			return err
		}
		if p.count != 0 && p.sent == p.count {
			break
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
	}
	return p.finish(time.Since(began))
}

// note takes and shows what has come of a ping.
func (p *pinger) note(pong *control.Pong, raw []byte) error {
	p.sent++
	if pong.Answered {
		t := pong.RTTSeconds
		if p.answered == 0 || t < p.least {
			p.least = t
		}
		p.answered++
		p.most = max(p.most, t)
		p.sum += t
		p.squares += t * t
	}
	var b bytes.Buffer
	if p.json {
		if raw == nil {
			return nil
		}
		if err := json.Compact(&b, raw); err != nil {
			return err
		}
		b.WriteByte('\n')
	} else {
		b.WriteString(p.line(pong))
	}
	_, err := p.out.Write(b.Bytes())
	return err
}

// line returns what there is to say of a ping.
func (p *pinger) line(pong *control.Pong) string {
	var b strings.Builder
	if p.sent == 1 {
		p.name = human.Printable(p.peer)
		if pong.VPNAddress.IsValid() {
			p.name = addrText(pong.VPNAddress)
		}
		fmt.Fprintf(&b, "PING %s inside the tunnel\n", who(p.name, pong.Name))
	}
	if pong.OpenedSeconds > 0 {
		fmt.Fprintf(&b, "a tunnel was opened in %s\n", millisText(pong.OpenedSeconds))
	}
	if !pong.Answered {
		fmt.Fprintf(&b, "no answer from %s: seq=%d: %s\n", p.name, p.sent, human.OrDash(pong.Reason))
		return b.String()
	}
	fmt.Fprintf(&b, "answer from %s: seq=%d time=%s path=%s", p.name, p.sent, millisText(pong.RTTSeconds), human.Printable(pong.Path.String()))
	var about []string
	if pong.PathKind != "" {
		about = append(about, human.Printable(pong.PathKind))
	}
	if pong.PathRTTSeconds > 0 {
		about = append(about, millisText(pong.PathRTTSeconds))
	}
	if len(about) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(about, ", "))
	}
	return b.String() + "\n"
}

// A pingSummary is the last line for programs.
type pingSummary struct {
	Sent     int     `json:"sent"`
	Answered int     `json:"answered"`
	Least    float64 `json:"rtt_min_seconds,omitempty"`
	Mean     float64 `json:"rtt_avg_seconds,omitempty"`
	Most     float64 `json:"rtt_max_seconds,omitempty"`
	Spread   float64 `json:"rtt_mdev_seconds,omitempty"`
}

// finish shows what has come of all pings, and returns the exit status as an error.
func (p *pinger) finish(took time.Duration) error {
	s := pingSummary{Sent: p.sent, Answered: p.answered}
	if n := float64(p.answered); n > 0 {
		s.Least, s.Most, s.Mean = p.least, p.most, p.sum/n
		s.Spread = math.Sqrt(max(0, p.squares/n-s.Mean*s.Mean))
	}
	var b bytes.Buffer
	if p.json {
		line, err := json.Marshal(&s)
		if err != nil {
			return err
		}
		b.Write(append(line, '\n'))
	} else if p.sent > 0 {
		fmt.Fprintf(&b, "\n--- %s ping statistics ---\n", p.name)
		fmt.Fprintf(&b, "%d sent, %d answered, %.3g%% loss, time %d ms\n", s.Sent, s.Answered, 100*float64(s.Sent-s.Answered)/float64(s.Sent), took.Milliseconds())
		if s.Answered > 0 {
			fmt.Fprintf(&b, "rtt min/avg/max/mdev = %.3f/%.3f/%.3f/%.3f ms\n", 1000*s.Least, 1000*s.Mean, 1000*s.Most, 1000*s.Spread)
		}
	}
	if _, err := p.out.Write(b.Bytes()); err != nil {
		return err
	}
	if p.answered == 0 {
		return &cli.ExitError{Code: 1}
	}
	return nil
}
