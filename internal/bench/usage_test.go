package main

import (
	"errors"
	"math"
	"testing"
	"time"
)

func TestUntil(t *testing.T) {
	t.Parallel()
	const s = time.Second
	start := time.Unix(1000, 0)
	first := reading{
		at: start, machine: cpuTimes{count: 2, idle: 100 * s}, daemons: 7 * s, own: 9 * s, kernel: 3 * s,
	}
	for _, c := range []struct {
		name string
		last reading
		want usage
	}{
		{
			"all ours",
			reading{start.Add(10 * s), cpuTimes{2, 105 * s, 0}, 17 * s, 22 * s, 5 * s},
			usage{10 * s, 10 * s, 0},
		},
		{
			"others have a core",
			reading{start.Add(10 * s), cpuTimes{2, 101 * s, 0}, 8 * s, 15 * s, 6 * s},
			usage{10 * s, s, 1},
		},
		{
			"ticks that are late make no negative load",
			reading{start.Add(s), cpuTimes{2, 102*s + 20*time.Millisecond, 0}, 7 * s, 9 * s, 3 * s},
			usage{s, 0, 0},
		},
		{"no time", first, usage{}},
	} {
		got := first.until(c.last)
		if got.wall != c.want.wall || got.daemons != c.want.daemons || math.Abs(got.foreign-c.want.foreign) > 1e-9 {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestQuietest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		foreign []float64 // of one attempt after the other
		tries   int
		best    int // the attempt that is taken
		made    int
	}{
		{"quiet at once", []float64{0.1}, 3, 0, 1},
		{"quiet at last", []float64{0.5, 0.4, 0.05}, 3, 2, 3},
		{"never quiet", []float64{0.5, 0.2, 0.4}, 3, 1, 3},
		{"the first is the best", []float64{0.3, 0.5}, 2, 0, 2},
		{"one try", []float64{0.9}, 1, 0, 1},
	} {
		n := -1
		got, made, err := quietest(0.1, c.tries, func() (attempt, error) {
			n++
			return attempt{values: map[string]float64{"n": float64(n)}, foreign: c.foreign[n]}, nil
		})
		if err != nil || made != c.made || got.values["n"] != float64(c.best) {
			t.Errorf("%s: attempt %v of %d, %v, want %d of %d", c.name, got.values["n"], made, err, c.best, c.made)
		}
	}
	broken := errors.New("broken")
	if _, made, err := quietest(0.1, 3, func() (attempt, error) { return attempt{}, broken }); err != broken || made != 1 {
		t.Errorf("a measurement that fails: %v after %d tries, want %v after 1", err, made, broken)
	}
}
