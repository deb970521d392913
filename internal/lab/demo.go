package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// DemoOptions say what [Demo] shows.
type DemoOptions struct {
	Mode     string // what the VPN carries: "tun", IP packets, or "tap", Ethernet frames; "" means tun
	Underlay string // what is below the VPN: "ipv4", "ipv6" or "dual"; "" means ipv4

	Peers   int           // how many; 0 means 2, or 3 in mode tap
	NATs    [2]Kind       // of the peers in turn: peer1, peer3, … have the first
	RDVMode string        // of the RDV: "open", "mixed" or "strict"; "" means open, or strict in mode tap, over IPv6 and with Relay
	Relay   bool          // the RDV is a relay, too
	Size    int64         // of the transfer, in bytes; at least 1 MB
	Keep    bool          // leave everything running at the end
	Timeout time.Duration // for everything together; 0 means 3 minutes

	Client  string    // path of the client's program
	Server  string    // path of the RDV's; empty: see FindBinary
	Certify Certifier // makes certificates

	// Report is told every step as it is done. It is called by one goroutine.
	Report func(Step)
}

// check fills in defaults and refuses what makes no sense.
func (o *DemoOptions) check() error {
	if err := o.checkUnderlay(); err != nil {
		return err
	}
	if err := o.checkRelay(); err != nil {
		return err
	}
	if err := o.checkMode(); err != nil {
		return err
	}
	if o.Peers == 0 {
		o.Peers = 2
	}
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Minute
	}
	if o.RDVMode == "" {
		o.RDVMode = openRDV
	}
	switch {
	case o.Peers < 2 || o.Peers > maxPeers:
		return fmt.Errorf("lab: %d peers are not possible, 2 to %d are", o.Peers, maxPeers)
	case o.Size < minTransfer:
		return fmt.Errorf("lab: a transfer of %s proves nothing, it has to be %s at least", FormatBytes(uint64(max(0, o.Size))), FormatBytes(minTransfer))
	case !slices.Contains(rdvModes, o.RDVMode):
		return fmt.Errorf("lab: %q is not a mode of the rendezvous server: use %s", o.RDVMode, strings.Join(rdvModes, ", "))
	case o.Timeout < 0:
		return fmt.Errorf("lab: a time-out of %v is not possible", o.Timeout)
	}
	return nil
}

// openRDV is the mode of an RDV without a certificate. In the others it has one, and
// all clients are to register over an authenticated channel.
const openRDV = "open"

// rdvModes are the modes that an RDV can have.
var rdvModes = []string{openRDV, "mixed", "strict"}

// authenticates reports whether the RDV has a certificate.
func (o *DemoOptions) authenticates() bool { return o.RDVMode != "" && o.RDVMode != openRDV }

// minTransfer is the smallest transfer that stands out from what a rendezvous
// server sees without it.
const minTransfer = 1_000_000

// A Step is one line of the demonstration.
type Step struct {
	Name string  `json:"step"`
	Time float64 `json:"time"` // seconds since the beginning
	OK   bool    `json:"ok"`
	Text string  `json:"text"`           // for people
	Data any     `json:"data,omitempty"` // the same for programs
}

// A DemoError is a step that failed.
type DemoError struct {
	Step string
	Err  error
	Logs []LogTail // of the programs that may know why
}

// A LogTail is the end of a program's log.
type LogTail struct {
	Who  string `json:"who"`
	Tail string `json:"tail"`
}

func (e *DemoError) Error() string { return fmt.Sprintf("%s: %v", e.Step, e.Err) }
func (e *DemoError) Unwrap() error { return e.Err }

// ErrInterrupted is returned by [Demo] when its context ends.
var ErrInterrupted = errors.New("lab: interrupted")

// Demo brings up a rendezvous server and clients behind NATs, shows that they
// find each other and what they do then, and removes everything. It returns nil
// if all that was to be seen was seen, and a *DemoError for the first step
// that was not.
func Demo(ctx context.Context, o DemoOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	w, err := newKernelWorld(o)
	if err != nil {
		return err
	}
	return runDemo(ctx, w, o)
}

// runDemo is Demo in any world.
func runDemo(ctx context.Context, w world, o DemoOptions) error {
	inTime, cancel := context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("the demonstration has taken %v", o.Timeout))
	defer cancel()
	d := &demo{world: w, o: o, start: time.Now()}
	for i := range o.Peers {
		d.plan = append(d.plan, o.NATs[i%2])
	}
	err := d.show(inTime)
	switch {
	case err != nil && ctx.Err() != nil:
		// Whatever failed, it did so because we were told to stop.
		err = ErrInterrupted
		d.report("interrupted", false, nil, "interrupted, removing everything")
	case err != nil:
		var failed *DemoError
		if errors.As(err, &failed) {
			d.report(failed.Step, false, failed.Logs, "FAILED: %v", failed.Err)
		}
	}
	return errors.Join(err, d.finish(err))
}

// finish keeps or removes what is there.
func (d *demo) finish(failure error) error {
	var kept error
	if d.o.Keep && !errors.Is(failure, ErrInterrupted) {
		var lines []string
		if lines, kept = d.world.Keep(); kept == nil {
			for _, line := range lines {
				d.report("kept", true, nil, "%s", line)
			}
			return nil
		}
		d.report("kept", false, nil, "FAILED: %v", kept)
	}
	if err := d.world.Close(); err != nil {
		d.report("removed", false, nil, "FAILED: %v", err)
		return errors.Join(kept, &DemoError{Step: "removed", Err: err})
	}
	d.report("removed", true, nil, "programs ended; namespaces, NATs and files removed")
	return kept
}

// A demo is a demonstration on its way. Owned by one goroutine.
type demo struct {
	world world
	o     DemoOptions
	start time.Time
	plan  []Kind // of the peers' NATs

	clients time.Time // when the first was started
}

// report tells a step.
func (d *demo) report(step string, ok bool, data any, format string, args ...any) {
	d.o.Report(Step{
		Name: step, Time: time.Since(d.start).Seconds(), OK: ok,
		Text: fmt.Sprintf(format, args...), Data: data,
	})
}

// fail returns the error of a step, with the logs of those who may know more.
func (d *demo) fail(step string, err error, who ...int) error {
	failed := &DemoError{Step: step, Err: err}
	for _, w := range who {
		failed.Logs = append(failed.Logs, LogTail{nameOf(w), d.world.Tail(w)})
	}
	return failed
}

// show goes through all steps.
func (d *demo) show(ctx context.Context) error {
	for _, part := range []func(context.Context) error{d.build, d.measure, d.certify, d.startServer, d.startClients} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	if d.o.Mode == modeTAP {
		return d.showFrames(ctx)
	}
	if d.o.Relay {
		return d.showRelay(ctx)
	}
	before, err := d.world.ServerTraffic()
	if err != nil {
		return d.fail("direct", err)
	}
	direct, hopeless := pairs(d.plan, d.o.direct)
	if d.o.Underlay == underlayDual && len(hopeless) > 0 {
		d.report("no-path", true, nil, "%d pairs have no direct path over IPv4; whether they find one over IPv6 is left open", len(hopeless))
		hopeless = nil
	}
	for _, p := range direct {
		if err := d.connect(ctx, p); err != nil {
			return err
		}
	}
	if err := d.checkHopeless(ctx, hopeless); err != nil {
		return err
	}
	from, to := hub(direct)
	if len(to) == 0 {
		d.report("skipped", true, nil, "no pair has a direct path: no broadcast, no transfer")
		return nil
	}
	if err := d.broadcast(ctx, from, to); err != nil {
		return err
	}
	if err := d.transfer(ctx, from, to[0], before); err != nil {
		return err
	}
	return d.idle(ctx, from, to[0])
}

// A pair is two peers.
type pair struct{ a, b int }

// pairs returns the pairs of peers that theory gives a direct path, and the
// others.
func pairs(plan []Kind, meet func(a, b Kind) bool) (direct, hopeless []pair) {
	for a := range plan {
		for b := a + 1; b < len(plan); b++ {
			if meet(plan[a], plan[b]) {
				direct = append(direct, pair{a, b})
			} else {
				hopeless = append(hopeless, pair{a, b})
			}
		}
	}
	return direct, hopeless
}

// hub returns the peer with the most direct paths, and where they lead.
func hub(direct []pair) (from int, to []int) {
	paths := map[int][]int{}
	for _, p := range direct {
		paths[p.a] = append(paths[p.a], p.b)
		paths[p.b] = append(paths[p.b], p.a)
	}
	for _, p := range direct {
		for _, peer := range []int{p.a, p.b} {
			if len(paths[peer]) > len(to) {
				from, to = peer, paths[peer]
			}
		}
	}
	return from, to
}
