package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/version"
)

// A tool brings up a tunnel between two hosts, or leaves them as they are.
type tool interface {
	// info says what the tool is.
	info() toolInfo
	// prepare builds the tool's programs, the slow part.
	prepare(ctx context.Context) error
	// start starts the tool's daemons, and returns when they are ready for a
	// first packet. If it fails, the lab ends what it has started.
	start(ctx context.Context, p place) (*tunnel, error)
}

// A place is where a tool is started: two hosts with a cable.
type place struct {
	lab  *lab.Lab
	a, b *lab.Host
}

// A tunnel is what was started.
type tunnel struct {
	a, b    endpoint       // of the traffic
	daemons []*lab.Process // whose use of processor and memory counts
	others  []*lab.Process // that are needed, but carry no traffic
}

// startPatience is how long daemons may take until they are ready.
const startPatience = 20 * time.Second

// The network inside of all tunnels.
const insideBits = 24

var (
	insideA = netip.MustParseAddr("10.9.0.1")
	insideB = netip.MustParseAddr("10.9.0.2")
)

// inside returns the ends of the traffic through a tunnel.
func (p place) inside(daemons []*lab.Process, others ...*lab.Process) *tunnel {
	return &tunnel{a: endpoint{p.a, insideA}, b: endpoint{p.b, insideB}, daemons: daemons, others: others}
}

// folder makes a folder for a tool's files, which goes with the lab.
func (p place) folder(name string) (string, error) {
	dir := filepath.Join(p.lab.Dir(), name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("bench: make a folder: %w", err)
	}
	return dir, nil
}

// await waits for a line of a daemon's log.
func await(ctx context.Context, p *lab.Process, message string) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if _, err := p.Await(ctx, time.Time{}, lab.Pattern{Message: message}); err != nil {
		return withTail(err, p)
	}
	return nil
}

// withTail adds the end of a daemon's log to an error.
func withTail(err error, p *lab.Process) error { return fmt.Errorf("%w\n%s", err, p.Tail()) }

// ended returns an error if one of the tunnel's processes has ended.
func (t *tunnel) ended() error {
	var errs []error
	for _, p := range append(t.daemons, t.others...) {
		select {
		case <-p.Exited():
			errs = append(errs, withTail(fmt.Errorf("bench: %v has ended", p), p))
		default:
		}
	}
	return errors.Join(errs...)
}

// newTool returns the tool with the given name. folder is for programs that are
// built for this run only: those of ours, which may be changed at any time.
func newTool(name string, o options, folder string) (tool, error) {
	switch name {
	case toolDirect:
		return direct{}, nil
	case toolOurs:
		return &campagnol{folder: folder, profiled: o.profiles != ""}, nil
	}
	cache, err := cacheFolder()
	if err != nil {
		return nil, err
	}
	switch name {
	case toolWireGuard:
		return &wireGuard{cache: cache}, nil
	case toolNebula:
		return &nebula{cache: cache, version: o.nebula, profile: nebulaUsual}, nil
	case toolNebulaTuned:
		return &nebula{cache: cache, version: o.nebula, profile: nebulaTuned}, nil
	}
	return nil, fmt.Errorf("bench: there is no tool %q", name)
}

// direct is no tunnel at all.
type direct struct{}

func (direct) info() toolInfo {
	return toolInfo{Name: toolDirect, Title: "no tunnel", Settings: "the cable itself, MTU 1500"}
}

func (direct) prepare(context.Context) error { return nil }

func (direct) start(_ context.Context, p place) (*tunnel, error) {
	return &tunnel{a: endpoint{p.a, p.a.Addr()}, b: endpoint{p.b, p.b.Addr()}}, nil
}

// oursInfo says what we are.
func oursInfo() toolInfo {
	return toolInfo{
		Name: toolOurs, Title: "Campagnol", Version: version.Version,
		Settings: "the defaults: DTLS 1.2 with AES-128-GCM, MTU 1419, found through campagnol_rdv",
	}
}
