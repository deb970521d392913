package main

import (
	"math"
	"strings"
	"testing"
)

// TestGates checks the list of gates: everything in it exists, nothing is in it
// twice, and a bound says that we are better.
func TestGates(t *testing.T) {
	t.Parallel()
	type key struct{ path, figure, than string }
	seen := map[key]bool{}
	for _, g := range gates {
		f, okFigure := figureOf(g.figure)
		if _, okPath := pathOf(g.path); !okFigure || !okPath {
			t.Errorf("gate %+v is about something that does not exist", g)
		}
		if k := (key{g.path, g.figure, g.than}); seen[k] {
			t.Errorf("there are two gates for %v", k)
		} else {
			seen[k] = true
		}
		if g.than != "" && (f.less && g.bound > 1 || !f.less && g.bound < 1) {
			t.Errorf("gate %+v lets us be worse than %s", g, g.than)
		}
	}
	for _, k := range []key{
		{pathVeth, stepTCP1, toolWireGuard}, {pathPackets, stepTCP1, toolWireGuard}, {pathPacketsGRO, stepTCP1, toolWireGuard},
		{pathVeth, figRSSLoad, ""}, {pathVeth, figCold, ""},
		{pathPackets, stepBoth + ofCPU, toolNebula}, {pathPacketsGRO, stepUDP64, toolNebula},
	} {
		if !seen[k] {
			t.Errorf("there is no gate for %v", k)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	tcp := func(tool string, v ...float64) given { return given{pathVeth, tool, stepTCP1, v} }
	cpu := func(tool string, v ...float64) given { return given{pathVeth, tool, stepTCP1 + ofCPU, v} }
	for _, c := range []struct {
		name  string
		given []given
		want  string // figure, than, value, whether it is reached
	}{
		{"nothing measured", nil, ""},
		{"only we", []given{tcp(toolOurs, 9)}, ""},
		{"only the others", []given{tcp(toolWireGuard, 9), tcp(toolNebula, 9)}, ""},
		{"fast", []given{tcp(toolOurs, 19), tcp(toolWireGuard, 10)}, "tcp1 wireguard-go 1.90 true"},
		{"not fast enough", []given{tcp(toolOurs, 18), tcp(toolWireGuard, 10)}, "tcp1 wireguard-go 1.80 false"},
		{"the median counts", []given{tcp(toolOurs, 10, 30, 20), tcp(toolWireGuard, 10, 10, 10)}, "tcp1 wireguard-go 2.00 true"},
		{"thrifty", []given{cpu(toolOurs, 3), cpu(toolWireGuard, 10)}, "tcp1.cpu wireguard-go 0.30 true"},
		{"not thrifty enough", []given{cpu(toolOurs, 5), cpu(toolWireGuard, 10)}, "tcp1.cpu wireguard-go 0.50 false"},
		{"bound in a unit", []given{{pathVeth, toolOurs, figRSSLoad, []float64{39, 41, 40}}}, "rss.load  40.00 true"},
		{"over it", []given{{pathVeth, toolOurs, figCold, []float64{11}}}, "cold  11.00 false"},
		{"ahead of Nebula", []given{tcp(toolOurs, 5), tcp(toolNebula, 4)}, "tcp1 nebula 1.25 true"},
		{"ahead of the one, not of the other", []given{tcp(toolOurs, 5), tcp(toolNebula, 4), tcp(toolNebulaTuned, 10)}, "tcp1 nebula 0.50 false"},
		{"the other way round", []given{tcp(toolOurs, 5), tcp(toolNebula, 10), tcp(toolNebulaTuned, 4)}, "tcp1 nebula 0.50 false"},
		{"only the tuned one", []given{tcp(toolOurs, 5), tcp(toolNebulaTuned, 4)}, "tcp1 nebula 1.25 true"},
		{"less work than one, more than the other", []given{cpu(toolOurs, 5), cpu(toolNebula, 10), cpu(toolNebulaTuned, 4)}, "tcp1.cpu nebula 1.25 false"},
	} {
		var got []string
		for _, v := range reportOf(c.given...).judge() {
			got = append(got, v.Figure+" "+v.Than+" "+figure{digits: 2}.format(v.Value)+map[bool]string{true: " true", false: " false"}[v.Reached])
		}
		if got := strings.Join(got, "; "); got != c.want {
			t.Errorf("%s: the verdicts are %q, want %q", c.name, got, c.want)
		}
	}
}

// TestJudgeAll checks that a whole report has a verdict on every gate.
func TestJudgeAll(t *testing.T) {
	t.Parallel()
	r := fullReport()
	if got, want := len(r.Gates), len(gates); got != want {
		t.Errorf("a whole report has %d verdicts, want %d", got, want)
	}
	if !r.missed() { // twice as good is not enough for all of them
		t.Error("no gate is missed")
	}
	for _, v := range r.Gates {
		if v.Than == toolNebula && !v.Reached {
			t.Errorf("twice as good as Nebula, but missed: %+v", v)
		}
	}
	if (&report{Gates: []verdict{{Reached: true}}}).missed() {
		t.Error("with everything reached, something is missed")
	}
}

func TestWorse(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	for _, c := range []struct {
		figure     string
		v, w, want float64
	}{
		{stepTCP1, 2, 3, 2}, {stepTCP1, 3, 2, 2}, {figCold, 2, 3, 3}, {figCold, 3, 2, 3},
		{stepTCP1, nan, 3, 3}, {stepTCP1, 3, nan, 3}, {figCold, nan, 3, 3},
	} {
		if got := worse(c.figure, c.v, c.w); got != c.want {
			t.Errorf("the worse %s of %v and %v is %v, want %v", c.figure, c.v, c.w, got, c.want)
		}
	}
	if got := worse(stepTCP1, nan, nan); !math.IsNaN(got) {
		t.Errorf("the worse of nothing is %v", got)
	}
}

func TestVerdictInWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v    verdict
		want string
	}{
		{
			verdict{Path: pathVeth, Figure: stepTCP1, Than: toolWireGuard, Bound: 1.9, Value: 2.345},
			"TCP, 1 stream (veth as it is): ≥ 1.9 × wireguard-go, 2.35 ×",
		},
		{
			verdict{Path: pathPackets, Figure: stepUDP64 + ofCPU, Than: toolNebula, Bound: 1, Value: 0.5},
			"UDP, 64 bytes, loss < 1 %, processor time (every packet crosses): ≤ 1 × nebula, 0.50 ×",
		},
		{
			verdict{Path: pathVeth, Figure: figRSSLoad, Bound: 40, Value: 20.4},
			"memory of the larger daemon, after all of the above (veth as it is): ≤ 40 MB, 20 MB",
		},
		{
			verdict{Path: pathVeth, Figure: figCold, Bound: 10, Value: 7.61},
			"first packet to first reply, new tunnel (veth as it is): ≤ 10 ms, 7.6 ms",
		},
	} {
		if got := c.v.title() + ": " + c.v.goal() + ", " + c.v.measured(); got != c.want {
			t.Errorf("a verdict reads\n%q, want\n%q", got, c.want)
		}
	}
}
