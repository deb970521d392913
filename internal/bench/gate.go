package main

import (
	"fmt"
	"math"
)

// The names of the tools.
const (
	toolDirect      = "direct"
	toolOurs        = "ours"
	toolWireGuard   = "wireguard-go"
	toolNebula      = "nebula"
	toolNebulaTuned = "nebula-tuned"
)

// A gate is what a figure of ours has to reach.
type gate struct {
	path, figure string
	than         string  // the tool that we are compared with; empty for a bound in the figure's unit
	bound        float64 // of the ratio, or in the figure's unit
}

// gates are the goals that the data path was built for, all with respect to the
// same run, and that Nebula is left behind in whatever is fast or saves the
// processor.
var gates = allGates()

func allGates() []gate {
	all := []gate{
		{pathVeth, stepTCP1, toolWireGuard, 1.9},
		{pathPackets, stepTCP1, toolWireGuard, 2.2},
		{pathPacketsGRO, stepTCP1, toolWireGuard, 1.7},
		{pathVeth, stepTCP4, toolWireGuard, 2.3},
		{pathVeth, stepBoth, toolWireGuard, 1.9},
		{pathVeth, stepTCP1 + ofCPU, toolWireGuard, 0.40},
		{pathVeth, stepTCP4 + ofCPU, toolWireGuard, 0.40},
		{pathVeth, stepUDP1200, toolWireGuard, 3},
		{pathVeth, stepUDP64, toolWireGuard, 3},
		{pathVeth, figPingAdded, toolWireGuard, 0.8},
		{pathVeth, figLoadMean, toolWireGuard, 0.4},
		{pathVeth, figLoadP99, toolWireGuard, 0.4},
		{pathVeth, figRSSLoad, "", 40},
		{pathVeth, figCold, "", 10},
	}
	for _, p := range paths {
		for _, f := range figures {
			if f.class == throughput || f.class == cpu || f.class == packets {
				all = append(all, gate{p.id, f.id, toolNebula, 1})
			}
		}
	}
	return all
}

// A verdict is what became of a gate.
type verdict struct {
	Path    string  `json:"path"`
	Figure  string  `json:"figure"`
	Than    string  `json:"than,omitempty"`
	Bound   float64 `json:"bound"`
	Value   float64 `json:"value"`
	Reached bool    `json:"reached"`
}

// judge returns what became of the gates whose figures were measured.
func (r *report) judge() []verdict {
	var all []verdict
	for _, g := range gates {
		value := r.reached(g)
		if math.IsNaN(value) {
			continue
		}
		f, _ := figureOf(g.figure)
		all = append(all, verdict{
			Path: g.path, Figure: g.figure, Than: g.than, Bound: g.bound, Value: value,
			Reached: f.less && value <= g.bound || !f.less && value >= g.bound,
		})
	}
	return all
}

// reached returns how far we are with a gate, and not a number if that is
// unknown. Nebula is whichever of its settings does better.
func (r *report) reached(g gate) float64 {
	switch g.than {
	case "":
		return orNaN(r.spread(g.path, toolOurs, g.figure))
	case toolNebula:
		return worse(g.figure,
			orNaN(r.ratio(g.path, toolOurs, toolNebula, g.figure)),
			orNaN(r.ratio(g.path, toolOurs, toolNebulaTuned, g.figure)))
	}
	return orNaN(r.ratio(g.path, toolOurs, g.than, g.figure))
}

// worse returns the worse of two values of a figure, or the one that is a
// number.
func worse(id string, v, w float64) float64 {
	f, _ := figureOf(id)
	switch {
	case math.IsNaN(v):
		return w
	case math.IsNaN(w):
		return v
	case f.less:
		return max(v, w)
	}
	return min(v, w)
}

// orNaN returns the median, and not a number if there are no values.
func orNaN(s spread) float64 {
	if s.Count == 0 {
		return math.NaN()
	}
	return s.Median
}

// goal says in words what a gate asks for.
func (v verdict) goal() string {
	f, _ := figureOf(v.Figure)
	sign := "≥"
	if f.less {
		sign = "≤"
	}
	if v.Than == "" {
		return fmt.Sprintf("%s %g %s", sign, v.Bound, f.unit)
	}
	return fmt.Sprintf("%s %g × %s", sign, v.Bound, v.Than)
}

// measured says in words what was reached.
func (v verdict) measured() string {
	if v.Than == "" {
		f, _ := figureOf(v.Figure)
		return f.format(v.Value) + " " + f.unit
	}
	return fmt.Sprintf("%.2f ×", v.Value)
}

// title says in words what a gate is about.
func (v verdict) title() string {
	f, _ := figureOf(v.Figure)
	p, _ := pathOf(v.Path)
	return f.fullTitle() + " (" + p.title + ")"
}
