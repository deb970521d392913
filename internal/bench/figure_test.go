package main

import (
	"slices"
	"strings"
	"testing"
)

// TestFigures checks the list of figures: each has a name and a title of its own,
// and belongs to a step.
func TestFigures(t *testing.T) {
	t.Parallel()
	ids, titles := map[string]bool{}, map[string]bool{}
	for i, f := range figures {
		if ids[f.id] || titles[f.fullTitle()] {
			t.Errorf("figure %+v is there twice, by its name or by its title", f)
		}
		ids[f.id], titles[f.fullTitle()] = true, true
		if !slices.Contains(steps, f.step) || f.unit == "" {
			t.Errorf("figure %+v has no step or no unit", f)
		}
		if strings.HasPrefix(f.title, "…") && (i == 0 || figures[i-1].step != f.step) {
			t.Errorf("the title of figure %s goes on with that of another step", f.id)
		}
		if more := f.class == throughput || f.class == packets; more == f.less {
			t.Errorf("of figure %s, less is better: %v", f.id, f.less)
		}
		if got, ok := figureOf(f.id); !ok || got != f {
			t.Errorf("figureOf(%q) = %+v, %v", f.id, got, ok)
		}
	}
	for _, id := range []string{figPing, figPingAdded, figPingP99, figLoadMean, figLoadP99, figLoadLost, figRSSIdle, figRSSLoad, figCold} {
		if !ids[id] {
			t.Errorf("there is no figure %s", id)
		}
	}
	for _, step := range []string{stepTCP1, stepTCP4, stepBoth, stepUDP1200, stepUDP64} {
		if !ids[step] || !ids[step+ofCPU] {
			t.Errorf("step %s has no figure of its name, or none of what it costs", step)
		}
	}
	if f, ok := figureOf("speed"); ok {
		t.Errorf("there is a figure of speed: %+v", f)
	}
}

func TestFullTitle(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		stepTCP1:         "TCP, 1 stream",
		stepTCP4 + ofCPU: "TCP, 4 streams, processor time",
		figPingAdded:     "idle ping, median, added over no tunnel",
		figCold:          "first packet to first reply, new tunnel",
	} {
		f, _ := figureOf(id)
		if got := f.fullTitle(); got != want {
			t.Errorf("the title of %s is %q, want %q", id, got, want)
		}
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id   string
		v    float64
		want string
	}{
		{stepTCP1, 2.675, "2.67"}, {figPing, 0.0004, "0.000"}, {figRSSIdle, 24.6, "25"}, {stepUDP64, 1234.56, "1234.6"},
	} {
		f, _ := figureOf(c.id)
		if got := f.format(c.v); got != c.want {
			t.Errorf("%v of %s is written %q, want %q", c.v, c.id, got, c.want)
		}
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	if got, want := strings.Join(pathNames(), " "), "veth packets packets-gro"; got != want {
		t.Errorf("the paths are %q, want %q", got, want)
	}
	for _, p := range paths {
		if got, ok := pathOf(p.id); !ok || got != p || p.title == "" || p.text == "" {
			t.Errorf("pathOf(%q) = %+v, %v", p.id, got, ok)
		}
	}
	if p, ok := pathOf("wifi"); ok {
		t.Errorf("there is a path wifi: %+v", p)
	}
}
