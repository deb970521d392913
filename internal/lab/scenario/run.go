package scenario

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"campagnol/internal/lab/frame"
)

// Options say how patient Run is. Zero is a default that suits a kernel.
type Options struct {
	// Grace is how long what a step brings about at once may take: 5 s, of
	// which only a busy machine needs more than the first moment.
	Grace time.Duration

	// Patience is how long the end of a timer may take: 20 s.
	Patience time.Duration

	// Settle is how long frames are waited for after the marker, for fabrics
	// that let frames overtake each other: 10 ms.
	Settle time.Duration

	// Tags are in every frame.
	Tags []frame.Tag

	// Log is told about every step. nil is nobody.
	Log func(format string, args ...any)
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&o.Grace, 5 * time.Second}, {&o.Patience, 20 * time.Second}, {&o.Settle, 10 * time.Millisecond}} {
		if *d.value == 0 {
			*d.value = d.or
		}
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	return o
}

// pollPause is between two looks at a state that may change.
const pollPause = 30 * time.Millisecond

// A runner runs a scenario. Owned by one goroutine.
type runner struct {
	f     Fabric
	s     Scenario
	o     Options
	id    string // tells our frames from those of other runs
	count int    // of probes and markers
	want  map[int]State
}

// Run plays a scenario on a fabric. The error says what a port does other than
// it should, and after which step.
func Run(ctx context.Context, f Fabric, s Scenario, o Options) error {
	r := &runner{f: f, s: s, o: o.withDefaults(), id: rand.Text()[:8], want: map[int]State{}}
	for _, step := range s.Steps {
		start := time.Now()
		if err := r.step(ctx, step); err != nil {
			return fmt.Errorf("scenario %s: %s: %w", s.Name, step.Name, err)
		}
		r.o.Log("%s: %s (%v)", s.Name, step.Name, time.Since(start).Round(time.Millisecond))
	}
	return nil
}

// step does a step and waits until what it should bring about is there.
func (r *runner) step(ctx context.Context, s Step) error {
	for port, state := range s.Want {
		r.want[port] = state
	}
	limit := r.o.Grace
	if s.Later {
		limit = r.o.Patience
	}
	if err := r.report(ctx, s); err != nil {
		return err
	}
	if err := pause(ctx, s.Wait); err != nil {
		return err
	}
	reported := time.Now()
	for deadline := reported.Add(limit); ; {
		err := r.check(ctx)
		if err == nil || errors.Is(err, errFabric) || time.Now().After(deadline) {
			return err
		}
		if err := pause(ctx, pollPause); err != nil {
			return err
		}
		if s.Again > 0 && time.Since(reported) >= s.Again {
			reported = time.Now()
			if err := r.report(ctx, s); err != nil {
				return err
			}
		}
	}
}

// pause lets time pass.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errFabric, context.Cause(ctx))
	case <-timer.C:
		return nil
	}
}

// errFabric marks errors of the fabric, which no waiting mends.
var errFabric = errors.New("fabric")

// report sends the report of a step, and waits until the fabric has it.
func (r *runner) report(ctx context.Context, s Step) error {
	if s.Report.Kind == frame.NoMessage {
		return nil
	}
	h := frame.Header{Src: hostMAC(s.Port, s.Host), SrcIP: hostAddr(s.Port, s.Host, r.s.Group.Is6()), Tags: r.o.Tags}
	if err := r.send(s.Port, frame.Membership(h, s.Report)); err != nil {
		return err
	}
	from := r.cursors()
	marker, err := r.mark(s.Port)
	if err != nil {
		return err
	}
	for port := range r.f.Ports() {
		if port != s.Port {
			if _, err := r.awaitMarker(ctx, port, from[port], marker); err != nil {
				return err
			}
		}
	}
	return nil
}

// hostMAC and hostAddr return the addresses of a host behind a port.
func hostMAC(port int, host byte) frame.MAC { return frame.MAC{0x02, 0xce, 0, byte(port), 0, host + 1} }

func hostAddr(port int, host byte, is6 bool) netip.Addr {
	if is6 {
		a := netip.MustParseAddr("fe80::").As16()
		a[13], a[15] = byte(port), host+1
		return netip.AddrFrom16(a)
	}
	return netip.AddrFrom4([4]byte{198, 51, byte(port), host + 1})
}

// cursors returns how many frames came out of each port so far.
func (r *runner) cursors() []int {
	all := make([]int, r.f.Ports())
	for port := range all {
		all[port] = len(r.f.Capture(port, 0))
	}
	return all
}

// mark sends a marker into a port and returns its content.
func (r *runner) mark(port int) ([]byte, error) {
	r.count++
	marker := fmt.Appendf(nil, "marker %s %d.", r.id, r.count)
	h := frame.Header{
		Src: hostMAC(port, 200), SrcIP: hostAddr(port, 200, false),
		DstIP: netip.AddrFrom4([4]byte{255, 255, 255, 255}), Tags: r.o.Tags,
	}
	return marker, r.send(port, frame.UDP(h, markerPort, markerPort, marker))
}

// Ports of our datagrams. 9 is the one for datagrams that nobody wants.
const (
	markerPort = 9
	probePort  = 5005
)

func (r *runner) send(port int, b []byte) error {
	if err := r.f.Send(port, b); err != nil {
		return fmt.Errorf("%w: send into port %d: %w", errFabric, port, err)
	}
	return nil
}

// awaitMarker waits until a marker comes out of a port, and returns all frames
// up to then.
func (r *runner) awaitMarker(ctx context.Context, port, from int, marker []byte) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Patience)
	defer cancel()
	for {
		frames := r.f.Capture(port, from)
		if slices.ContainsFunc(frames, func(b []byte) bool { return bytes.Contains(b, marker) }) {
			return frames, nil
		}
		if err := r.f.Await(ctx, port, from+len(frames)); err != nil {
			return nil, fmt.Errorf("%w: a broadcast does not come out of port %d: %w", errFabric, port, err)
		}
	}
}

// check finds out what every port wants and compares it with what it should.
func (r *runner) check(ctx context.Context) error {
	sources := append(slices.Clone(r.s.Sources), r.s.Stranger())
	passed, err := r.probe(ctx, sources)
	if err != nil {
		return err
	}
	var wrong []string
	for port := 1; port < r.f.Ports(); port++ {
		state := r.want[port]
		for i, source := range sources {
			want := 0
			if state.Passes(source) {
				want = 1
			}
			if got := passed[port][i]; got != want {
				wrong = append(wrong, fmt.Sprintf("a frame from %v comes out of port %d %d times, want %d", source, port, got, want))
			}
		}
		if inspector, ok := r.f.(Inspector); ok {
			got, err := inspector.State(port, r.s.Group)
			if err != nil {
				return fmt.Errorf("%w: %w", errFabric, err)
			}
			if got.String() != state.String() {
				wrong = append(wrong, fmt.Sprintf("port %d believes %v, want %v", port, got, state))
			}
		}
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// probe sends a frame from every source and returns, for every port, how often
// each came out.
func (r *runner) probe(ctx context.Context, sources []netip.Addr) ([][]int, error) {
	from := r.cursors()
	tokens := make([][]byte, len(sources))
	for i, source := range sources {
		r.count++
		tokens[i] = fmt.Appendf(nil, "probe %s %d.", r.id, r.count)
		h := frame.Header{Src: hostMAC(0, 100), SrcIP: source, DstIP: r.s.Group, TTL: 8, Tags: r.o.Tags}
		if err := r.send(0, frame.UDP(h, probePort, probePort, tokens[i])); err != nil {
			return nil, err
		}
	}
	marker, err := r.mark(0)
	if err != nil {
		return nil, err
	}
	for port := 1; port < r.f.Ports(); port++ {
		if _, err := r.awaitMarker(ctx, port, from[port], marker); err != nil {
			return nil, err
		}
	}
	if err := pause(ctx, r.o.Settle); err != nil {
		return nil, err
	}
	passed := make([][]int, r.f.Ports())
	for port := range passed {
		passed[port] = make([]int, len(tokens))
		for _, b := range r.f.Capture(port, from[port]) {
			for i, token := range tokens {
				if bytes.Contains(b, token) {
					passed[port][i]++
				}
			}
		}
	}
	if slices.Max(passed[0]) > 0 {
		return nil, fmt.Errorf("%w: a frame comes back out of the port that it went into", errFabric)
	}
	return passed, nil
}
